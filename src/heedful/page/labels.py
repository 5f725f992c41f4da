"""Words of a record as labels of pictures: nothing invisible or too wide, and nothing that turns what is beside it."""

from __future__ import annotations

import unicodedata

from rich.cells import cell_len

from .render import visible

ISOLATE, END = "\u2068", "\u2069"  # Unicode's first-strong isolate: what is between has a direction of its own
INK = str.maketrans({"\n": "↵", "\t": "⇥"})


def inked(text: str) -> str:
    """A text with something to see in it, on one line."""
    shown = visible(text).translate(INK)
    return shown if shown.strip() else shown.replace(" ", "␣") or "·"


def cells(text: str) -> int:
    """The columns that a terminal gives a text; about half an em each in print."""
    return cell_len(text)


def fitted(text: str, most: int) -> str:
    """A text in at most `most` columns, cut with an ellipsis where it is longer."""
    if len(text) <= 8 * most and cells(text) <= most:
        return text
    kept = ""
    for character in text[: 8 * most]:
        if cells(kept + character) > most - 1:
            break
        kept += character
    return kept + "…"


def isolated(text: str) -> str:
    """A text that may be written right to left, so that it leaves the order of its neighbours alone."""
    turns = any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in text)
    return f"{ISOLATE}{text}{END}" if turns else text


def label(text: str, most: int = 22) -> str:
    """`inked`, `fitted` and `isolated`; not escaped."""
    return isolated(fitted(inked(text), most))
