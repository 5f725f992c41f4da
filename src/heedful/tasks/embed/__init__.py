"""Vectors of texts: an encoder trained on pairs that mean the same (Reimers & Gurevych 2019), and search with it."""

from pathlib import Path

from .closing import close, evaluate, write_report
from .embedder import Embedder, Hit, load
from .task import build, complete, prepare

__all__ = ["Embedder", "Hit", "build", "close", "complete", "evaluate", "farewell", "load", "prepare", "write_report"]


def farewell(run: Path) -> str:
    """What to do with the finished run."""
    return f'search with: heedful search "..." --in FILE -m {run}; vectors: heedful embed FILE -o vectors.npy -m {run}'
