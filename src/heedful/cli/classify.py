"""`heedful classify`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .endings import stream_of


def classify(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE", help="Texts, one a line, or records in .tsv .csv .jsonl; default: standard input."
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option("-m", "--model", metavar="RUN", help="Default: the last run of classify here.")
    ] = None,
    best: Annotated[int, typer.Option(min=1, max=1000, help="So many labels, likeliest first.")] = 1,
    fields: Annotated[
        str | None, typer.Option(metavar="A,B", help="Columns or keys of the texts; default: as in training.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="An object a line, with all probabilities.")] = False,
) -> None:
    """Give each text its label: a line for each line, the label, a tab and its probability."""
    from ..tasks.classify.calling import Asked, classify_lines

    asked = Asked(model, best, as_json, tuple(name.strip() for name in fields.split(",")) if fields else ())
    named = [] if [*map(str, files or ["-"])] == ["-"] else files or []
    lines = None if named else stream_of(sys.stdin, "input", "FILE")
    classify_lines(asked, named, lines, stream_of(sys.stdout, "output", "a place to write"))
