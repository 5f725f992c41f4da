"""`heedful embed`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UserError
from .endings import stream_of


def embed(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Texts, one a line; default: standard input.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option("-m", "--model", metavar="RUN", help="Default: the last run of embed here.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="A new .npy or .jsonl file; default: JSON lines."),
    ] = None,
) -> None:
    """Make a vector of each line; products of two are the cosine of their texts' likeness."""
    from ..tasks.embed.calling import embed_files, embed_lines

    named = [] if [*map(str, files or ["-"])] == ["-"] else files or []
    if output is not None:
        if not named:
            raise UserError("with --output name the FILE whose lines are meant")
        print(embed_files(model, named, output), file=sys.stderr)
        return
    lines = None if named else stream_of(sys.stdin, "input", "a FILE")
    embed_lines(model, named, lines, stream_of(sys.stdout, "output", "--output FILE"))
