"""What a word is when translations are taken apart: what spaces separate, without the punctuation around it.

Chinese characters and kana, which no spaces separate, stand alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

# Han (with its extensions and compatibility forms), hiragana and katakana, and the punctuation among them.
UNSPACED = (
    "\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
    "\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
)
PARTS = re.compile(f"[{UNSPACED}]|[^{UNSPACED}]+")


class Piece(NamedTuple):
    """A word, or punctuation beside words."""

    text: str
    word: bool


def words(text: str) -> list[str]:
    """The words of a line, in order, as written."""
    return [piece.text for chunk in text.split() for piece in pieces(chunk) if piece.word]


def pieces(chunk: str) -> tuple[Piece, ...]:
    """The pieces of text without spaces: "(don't!)" is "(", "don't" and "!". Joined they are the text again."""
    if chunk.isascii() and chunk.isalnum():  # most are, and then there is nothing to look for
        return (Piece(chunk, True),)
    start, end = 0, len(chunk)
    while start < end and _mark(chunk[start]):
        start += 1
    while end > start and _mark(chunk[end - 1]):
        end -= 1
    parts = (chunk[:start], *PARTS.findall(chunk[start:end]), chunk[end:])
    return tuple(Piece(part, not all(map(_mark, part))) for part in parts if part)


def count_words(lines: Iterable[str]) -> Counter[str]:
    """How often each word occurs, for `breakdown.by_frequency`. The lines of a file are read one by one.

    >>> count_words(["One bus, one ticket."])["one"]
    1
    """
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(words(line))
    return counts


def _mark(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS"
