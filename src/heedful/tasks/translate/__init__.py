"""Translation: from parallel text to a trained encoder-decoder, and from lines to their translations."""

from pathlib import Path

from ...data.parallel import prepare
from .lines import translate_stream
from .sizes import complete
from .task import Translation as build
from .translator import Translator, load

__all__ = ["Translator", "build", "complete", "farewell", "load", "prepare", "translate_stream"]


def farewell(run: Path) -> str:
    """What to do with the finished run."""
    return f"translate with: heedful translate -m {run}"
