"""`heedful search`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def search(
    queries: Annotated[list[str], typer.Argument(metavar="QUERY", help="What to look for; several are answered each.")],
    files: Annotated[list[Path], typer.Option("--in", metavar="FILE", help="Texts, one a line; repeatable.")],
    model: Annotated[
        Path | None, typer.Option("-m", "--model", metavar="RUN", help="Default: the last run of embed here.")
    ] = None,
    vectors: Annotated[
        Path | None, typer.Option(metavar="NPY", help="The lines' vectors, made before by heedful embed -o.")
    ] = None,
    best: Annotated[int, typer.Option(min=1, max=100_000, help="So many lines.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="An object a query.")] = False,
) -> None:
    """Find the lines of files that are most like a text, by the cosine of their vectors."""
    from ..tasks.embed.calling import search as find

    find(model, queries, files, vectors, best, as_json)
