"""Words of a raw text with their places in it, about as the corpora of tagging cut them: white space ends a word,
punctuation around it is apart, inside ("all-rounder", "U.N.", "1,000.5") it stays."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# Letters to come apart at the end of a word ("John's", "didn't"), as in the Penn Treebank.
_CLITIC = re.compile(r"(?:n['’]t|['’](?:s|re|ve|ll|d|m))$", re.IGNORECASE)
_INITIALS = re.compile(r"(?:[^\W\d_]\.)+$")
_INSIDE = re.compile(r"(?<!\d)[,;!?()\[\]\"“”…]|[,;!?()\[\]\"“”…](?!\d)|--+|\.{2,}")


def cut(text: str) -> list[tuple[int, int]]:
    """Where each word begins and ends, in order; nothing but white space is left out."""
    return [span for chunk in re.finditer(r"\S+", text) for span in _words(text, chunk.start(), chunk.end())]


def _words(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    if _CLITIC.fullmatch(text, start, end):
        yield start, end
        return
    while start < end and not _letter(text[start]):
        stop = _run(text, start, end)
        yield start, stop
        start = stop
    tail: list[tuple[int, int]] = []
    while end > start and not _letter(text[end - 1]):
        if text[end - 1] == "." and _INITIALS.match(text, start, end):
            break
        begin = end - 1
        while begin > start and text[begin - 1] == text[end - 1]:
            begin -= 1
        tail.append((begin, end))
        end = begin
    for match in [*_INSIDE.finditer(text, start, end)]:
        yield from _parted(text, start, match.start())
        yield match.span()
        start = match.end()
    yield from _parted(text, start, end)
    yield from reversed(tail)


def _parted(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A word, and what comes apart at its end."""
    clitic = _CLITIC.search(text, start, end) if end > start else None
    if clitic is not None and clitic.start() > start:
        yield start, clitic.start()
        start = clitic.start()
    if end > start:
        yield start, end


def _run(text: str, start: int, end: int) -> int:
    """Where a run of one character ends."""
    stop = start + 1
    while stop < end and text[stop] == text[start]:
        stop += 1
    return stop


def _letter(character: str) -> bool:
    """Letters, digits and the marks on them, as every script has them."""
    return unicodedata.category(character)[0] in "LMN" or character == "_"
