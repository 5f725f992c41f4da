"""Terminology: words and phrases whose translation is given."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ..errors import UserError
from .spans import SPACELESS, Span

LONGEST_FILE = 32 * 2**20  # bytes
LONGEST_TERM = 200  # characters of a term, and of its translation
_FIRST = re.compile(rf"[{SPACELESS}]|[^\W{SPACELESS}]+|[^\w\s]")

_GOES_ON = re.compile(rf"(?<=[^\W{SPACELESS}])[^\W{SPACELESS}]")  # in the midst of a word


class Terms:
    """Terms to find in a text. Of several at a place the longest is taken; it ends where a word ends.

    A term without capital letters is found in any case ("router", "Router"); one with capitals only as it is written.
    The translation stands as it was given.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.targets = dict(pairs)
        self._lengths: dict[str, list[int]] = {}  # of the terms that begin with a word, longest first
        for length, term in sorted({(-len(term), term) for term in self.targets}):
            first = _FIRST.match(term)
            if first is None:
                raise UserError(f"the term {term!r} begins with a space or is empty")
            known = self._lengths.setdefault(first[0].lower(), [])
            if not known or known[-1] != -length:
                known.append(-length)

    @classmethod
    def load(cls, path: str | Path) -> Terms:
        """The terms of a file of lines "term TAB translation"; blank lines are skipped. UserError says file:line."""
        try:
            with Path(path).open("rb") as file:
                content = file.read(LONGEST_FILE + 1)
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
        if len(content) > LONGEST_FILE:
            raise UserError(f"{path}: longer than {LONGEST_FILE:,} bytes; a terminology is smaller than that")
        pairs: dict[str, tuple[str, int]] = {}
        for number, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
            where = f"{path}:{number}"
            try:
                line = raw.decode("utf-8").strip("\r")
            except UnicodeDecodeError:
                raise UserError(f"{where}: not UTF-8; save the file as UTF-8") from None
            if not line.strip():
                continue
            term, _, target = (part.strip() for part in line.partition("\t"))
            if not term or not target or "\t" in target:
                raise UserError(f"{where}: must be a term, one tab, and its translation")
            if max(len(term), len(target)) > LONGEST_TERM:
                raise UserError(f"{where}: longer than {LONGEST_TERM} characters; a term is a few words")
            known, first = pairs.setdefault(term, (target, number))
            if known != target:
                raise UserError(f"{where}: {term!r} has another translation in line {first}; keep one of them")
        return cls((term, target) for term, (target, _) in pairs.items())

    def find(self, text: str) -> list[Span]:
        """The terms in a text, in order, each with its translation."""
        spans, place = [], 0
        for first in _FIRST.finditer(text):
            if first.start() < place:
                continue
            for length in self._lengths.get(first[0].lower(), ()):
                end = first.start() + length
                found = text[first.start() : end]
                target = self.targets.get(found) or self.targets.get(found.lower())
                if target and len(found) == length and not _GOES_ON.match(text, end):
                    spans.append(Span(first.start(), end, "term", target))
                    place = end
                    break
        return spans
