"""A label for each word of a sentence: names of people and places, parts of speech."""

from .judging import close, evaluate, farewell, write_report
from .preparing import complete, prepare
from .tagger import Tagger, load
from .training import build

__all__ = ["Tagger", "build", "close", "complete", "evaluate", "farewell", "load", "prepare", "write_report"]
