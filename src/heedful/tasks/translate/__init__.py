"""Translation: from parallel text to a trained encoder-decoder, and from lines to their translations."""

from pathlib import Path

from ...config import Recipe
from ...data import parallel
from ...text.terms import Terms
from .answers import Answer
from .closing import close, write_report
from .distill import make_corpus
from .given import keep_given
from .lines import translate_lines
from .several import load_all, load_checkpoint, together
from .sizes import complete
from .task import Translation as build
from .translator import Translator, load

__all__ = [
    "Answer",
    "Terms",
    "Translator",
    "build",
    "close",
    "complete",
    "farewell",
    "load",
    "load_all",
    "load_checkpoint",
    "make_corpus",
    "prepare",
    "together",
    "translate_lines",
    "write_report",
]


def prepare(recipe: Recipe, folder: Path) -> list[str]:
    """Make the run's data in `folder`, or find it there; what the run starts and learns from is copied there too."""
    lines, tokenizers = keep_given(recipe.training, folder)
    return [*lines, *parallel.prepare(recipe, folder, tokenizers)]


def farewell(run: Path) -> str:
    """What to do with the finished run."""
    return f"translate with: heedful translate -m {run}"
