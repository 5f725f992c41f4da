"""`heedful fill`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UserError
from .endings import stream_of


def fill(
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT", help="Texts with [MASK] where a word is to be filled in.")
    ] = None,
    files: Annotated[
        list[Path] | None,
        typer.Option("--file", metavar="FILE", help="Texts, one a line; - is standard input; repeatable."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option("-m", "--model", metavar="RUN", help="Default: the last run of fill here.")
    ] = None,
    best: Annotated[int, typer.Option(min=1, max=1000, help="Guesses for each mask.")] = 5,
    mask: Annotated[str, typer.Option(metavar="WORD", help="What is written for a hidden word.")] = "[MASK]",
    as_json: Annotated[bool, typer.Option("--json", help="An object a line: text, and guesses for each mask.")] = False,
) -> None:
    """Fill in hidden words: the likeliest of each text given; of files and standard input, a line for each line."""
    if texts and files:
        raise UserError("give texts or --file FILE, not both")
    from ..tasks.fill.calling import Asked, fill_lines, fill_texts

    asked = Asked(model, best, mask, as_json)
    if texts:
        return fill_texts(asked, texts)
    named = [] if [*map(str, files or ["-"])] == ["-"] else files or []
    lines = None if named else stream_of(sys.stdin, "input", "TEXT or --file FILE")
    fill_lines(asked, named, lines, stream_of(sys.stdout, "output", "a place to write"))
