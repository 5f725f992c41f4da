"""`heedful tag`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UserError
from .endings import stream_of


def tag(
    texts: Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="Texts whose words get labels.")] = None,
    files: Annotated[
        list[Path] | None,
        typer.Option("--file", metavar="FILE", help="Texts, one a line; - is standard input; repeatable."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option("-m", "--model", metavar="RUN", help="Default: the last run of tag here.")
    ] = None,
    spaced: Annotated[bool, typer.Option("--spaced", help="Words are cut already: they end at spaces alone.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="An object a line: words and entities with their places and scores.")
    ] = False,
    columns: Annotated[bool, typer.Option("--conll", help="Columns of word and label, as CoNLL has them.")] = False,
) -> None:
    """Label the words of texts, names for example: a line for each line, with what was found in brackets."""
    if texts and files:
        raise UserError("give texts or --file FILE, not both")
    if as_json and columns:
        raise UserError("--json or --conll, not both")
    from ..tasks.tag.calling import Asked, tag_lines, tag_texts

    asked = Asked(model, "json" if as_json else "columns" if columns else "text", spaced)
    if texts:
        return tag_texts(asked, texts)
    named = [] if [*map(str, files or ["-"])] == ["-"] else files or []
    lines = None if named else stream_of(sys.stdin, "input", "TEXT or --file FILE")
    tag_lines(asked, named, lines, stream_of(sys.stdout, "output", "a place to write"))
