"""`heedful report RUN`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run, finished or not.")],
    score: Annotated[
        bool, typer.Option("--score", help="Translate the validation set once more, for new scores.")
    ] = False,
) -> None:
    """Write RUN/report.html: curves, data, samples, scores, recipe."""
    from ..tasks.runs import report

    for line in report(run, score):
        print(line)
