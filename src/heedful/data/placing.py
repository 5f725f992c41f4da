"""Placeholders in training pairs, from which a model learns to carry them over.

What must survive (`text.spans`) and stands on both sides is the same placeholder on both. In a share of the other pairs
placeholders are invented, so that captions teach them too: at the ends, in the place of words that correspond, around
one. What is done to a pair is a function of (seed, number of the pair).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import xxhash

from ..text.placeholders import Marked
from ..text.spans import Span, find, touching
from .lexicon import WORD

Text = str | Marked

FEW = 3  # words of a pair that become placeholders, at most
_END = re.compile(r"[.!?。！？…]*\s*\Z")


class Edit(NamedTuple):
    """A placeholder goes in the place of source[start:end] and of target[target_start:target_end]."""

    start: int
    end: int
    target_start: int
    target_end: int

    def around(self) -> list[Edit]:
        """Two placeholders, before and after what this one would replace."""
        return [Edit(self.start, self.start, self.target_start, self.target_start),
                Edit(self.end, self.end, self.target_end, self.target_end)]  # fmt: skip


class Placing:
    """`count` placeholders are there to be taught (0: pairs stay as they are), in a `share` of pairs by invention.

    `lexicon`: words that correspond, source to target (`lexicon.learn_lexicon`).
    """

    def __init__(self, count: int, share: float, seed: int, lexicon: Mapping[str, str]) -> None:
        self.count, self.share, self.seed, self.lexicon = count, share, seed, lexicon

    def __call__(self, number: int, pair: tuple[str, str]) -> tuple[Text, Text]:
        """Pair `number` with the same placeholders on both sides, each once; or as it is."""
        source, target = pair
        if not self.count:
            return pair
        edits = self._common(touching(find(source)), touching(find(target)))
        if not edits and self._draw(number, "share", 1 << 30) < self.share * (1 << 30):
            edits = self._invented(number, source, target)
        if not edits or not source.strip() or not target.strip():
            return pair
        edits = sorted(edits)[: self.count]
        # Any of the placeholders, so that all are taught; in the order of the source, as in translating.
        shuffled = sorted(range(1, self.count + 1), key=lambda n: self._draw(number, f"order {n}", 1 << 30))
        numbers = sorted(shuffled[: len(edits)])
        return (
            _marked(source, [(edit.start, edit.end, n) for edit, n in zip(edits, numbers, strict=True)]),
            _marked(target, [(edit.target_start, edit.target_end, n) for edit, n in zip(edits, numbers, strict=True)]),
        )

    def _draw(self, number: int, what: str, limit: int) -> int:
        return xxhash.xxh3_64_intdigest(f"{self.seed} {number} {what}".encode()) % limit

    def _common(self, source: Sequence[Span], target: Sequence[Span]) -> list[Edit]:
        """What stands on both sides; of several that are equal, the first belongs to the first."""
        places = defaultdict(list)
        for span in reversed(target):
            places[span.text].append(span)
        pairs = ((span, places[span.text].pop()) for span in source if places[span.text])
        return [Edit(one.start, one.end, other.start, other.end) for one, other in pairs]

    def _invented(self, number: int, source: str, target: str) -> list[Edit]:
        corresponding = self._corresponding(source, target)
        corresponding.sort(key=lambda edit: self._draw(number, f"word {edit.start}", 1 << 30))
        kind = self._draw(number, "kind", 4) if corresponding else 3
        if kind == 0:
            return corresponding[0].around()
        edits = corresponding[: 1 + self._draw(number, "words", FEW)] if kind < 3 else []
        return edits + (self._at_ends(number, source, target) if kind > 1 else [])

    def _at_ends(self, number: int, source: str, target: str) -> list[Edit]:
        first, last = Edit(0, len(source), 0, len(target)).around()
        stops = [match.start() for match in map(_END.search, (source, target)) if match]
        _, stop = Edit(0, stops[0], 0, stops[1]).around()
        return [[first], [last], [first, last], [first, stop]][self._draw(number, "ends", 4)]

    def _corresponding(self, source: str, target: str) -> list[Edit]:
        """Words that stand once on each side: pairs of the lexicon, and equal ones that are not short ("in")."""
        sides = [{match[0]: match.span() for match in WORD.finditer(text)} for text in (source, target)]
        often = [Counter(match[0] for match in WORD.finditer(text)) for text in (source, target)]
        edits = []
        for word, place in sides[0].items():
            same = word if len(word) > 3 or not word.islower() else ""
            other = self.lexicon.get(word, same)
            if often[0][word] == 1 == often[1][other]:
                edits.append(Edit(*place, *sides[1][other]))
        return edits


def _marked(text: str, places: list[tuple[int, int, int]]) -> Marked:
    """The text with placeholder `number` in the place of text[start:end] for each (start, end, number)."""
    places.sort()
    ends = zip([0, *(end for _, end, _ in places)], [*(start for start, _, _ in places), len(text)], strict=True)
    return Marked(tuple(text[start:end] for start, end in ends), tuple(number for _, _, number in places))
