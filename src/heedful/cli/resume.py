"""`heedful resume RUN`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def resume(run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run that was stopped.")]) -> None:
    """Continue a run exactly where it stopped."""
    from ..tasks.runs import resume as go_on

    raise typer.Exit(go_on(run, launch=True))
