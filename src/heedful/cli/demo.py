"""`heedful demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the run and its page go.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="What everything random follows from.")] = 1,
) -> None:
    """Train a translator of dates, prices and names in two minutes."""
    from ..demo.run import run_demo

    run_demo(out, seed)
