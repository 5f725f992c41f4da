"""Masked language models: encoders pretrained on plain text (Devlin et al. 2019), which fill in hidden words."""

from pathlib import Path

from .closing import close, evaluate, write_report
from .filler import Filled, Filler, Guess, load
from .task import build, complete, prepare

__all__ = [
    "Filled",
    "Filler",
    "Guess",
    "build",
    "close",
    "complete",
    "evaluate",
    "farewell",
    "load",
    "prepare",
    "write_report",
]


def farewell(run: Path) -> str:
    """What to do with the finished run."""
    return f'fill in words with: heedful fill "... [MASK] ..." -m {run}; go on from it with: --from {run}'
