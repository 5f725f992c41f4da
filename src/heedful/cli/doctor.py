"""`heedful doctor`."""

from __future__ import annotations


def doctor() -> None:
    """Print what this machine and installation offer."""
    from ..doctor import report

    print(report(), end="")
