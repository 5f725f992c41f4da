"""Texts, or pairs of texts, to a label, several labels or a number."""

from .classifier import Classifier, load
from .judging import close, evaluate, farewell, write_report
from .preparing import complete, prepare
from .training import build

__all__ = ["Classifier", "build", "close", "complete", "evaluate", "farewell", "load", "prepare", "write_report"]
