"""`heedful show`."""

from __future__ import annotations

from typing import Annotated

import typer


def show(what: Annotated[str, typer.Argument(metavar="PRESET|MODEL", help="A preset's name, or a folder.")]) -> None:
    """Print an architecture: streams, steps, parameters, cost."""
    from ..show import show as describe

    print(describe(what), end="")
