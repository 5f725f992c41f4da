"""Writing: from plain text to a trained language model, and from the beginning of a text to what follows."""

from .closing import close, farewell, write_report
from .scoring import evaluate
from .task import build, complete, prepare
from .writer import Writer, Written, load

__all__ = [
    "Writer",
    "Written",
    "build",
    "close",
    "complete",
    "evaluate",
    "farewell",
    "load",
    "prepare",
    "write_report",
]
