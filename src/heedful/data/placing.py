"""Placeholders in training pairs, from which a model learns to carry them over.

What must survive (`text.spans`) and stands on both sides is the same placeholder on both. So that captions teach them
too, other pairs have a second form, with placeholders that are invented: at the ends, in the place of words that
correspond, around one. In each epoch a share of the pairs is read in that form, other pairs every time.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xxhash

from ..text.draws import draws
from ..text.placeholders import Marked
from ..text.ragged import spans
from ..text.spans import Span, find, touching
from .lexicon import WORD
from .shards import Ids, Shards

SECOND = ".placed"  # ends the names of the streams that hold the second form
FEW = 3  # words of a pair that become placeholders, at most
MOST = 100_000  # pairs with a second form of their own; more would teach nothing new
_END = re.compile(r"[.!?。！？…]*\s*\Z")


class Edit(NamedTuple):
    """A placeholder goes in the place of source[start:end] and of target[target_start:target_end]."""

    start: int
    end: int
    target_start: int
    target_end: int

    def around(self) -> list[Edit]:
        """Two placeholders, before and after what this one would replace."""
        return [
            Edit(self.start, self.start, self.target_start, self.target_start),
            Edit(self.end, self.end, self.target_end, self.target_end),
        ]


class Placing:
    """Gives pairs the placeholders 1 ... `count`; what becomes of a pair is a function of (seed, its number).

    With a `lexicon` of words that correspond (`lexicon.learn_lexicon`) pairs get their second form as well.
    """

    def __init__(self, count: int, seed: int, lexicon: Mapping[str, str] | None = None) -> None:
        self.count, self.seed, self.lexicon = count, seed, lexicon

    def __call__(self, number: int, pair: Sequence[str]) -> tuple[str | Marked, ...]:
        """Source and target of pair `number`, and with a lexicon both again, in the second form."""
        source, target = pair[:2]
        edits = self._common(touching(find(source)), touching(find(target)))
        first = self._placed(number, source, target, edits)
        if self.lexicon is None:
            return first
        if edits or number >= MOST or not source.strip() or not target.strip():
            return first * 2
        return first + self._placed(number, source, target, self._invented(number, source, target))

    def _placed(self, number: int, source: str, target: str, edits: list[Edit]) -> tuple[str | Marked, str | Marked]:
        edits = sorted(edits)[: self.count]
        if not edits:
            return source, target
        # Any of the placeholders, so that all are taught; in the order of the source, as in translating.
        shuffled = sorted(range(1, self.count + 1), key=lambda n: self._draw(number, f"order {n}", 1 << 30))
        places = list(zip(edits, sorted(shuffled[: len(edits)]), strict=True))
        return (
            _marked(source, [(edit.start, edit.end, n) for edit, n in places]),
            _marked(target, [(edit.target_start, edit.target_end, n) for edit, n in places]),
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
        assert self.lexicon is not None
        sides = [{match[0]: match.span() for match in WORD.finditer(text)} for text in (source, target)]
        often = [Counter(WORD.findall(text)) for text in (source, target)]
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


class Alternating:
    """Shards of pairs in two forms as one: which it is, is a function of (seed, epoch, example). See `Shards`."""

    def __init__(self, shards: Shards, share: float, seed: int) -> None:
        self.shards, self.share, self.seed = shards, share, seed
        self.streams = tuple(name for name in shards.streams if not name.endswith(SECOND))

    def __len__(self) -> int:
        return len(self.shards)

    def lengths(self, stream: str, epoch: int | None = None) -> Ids:
        """The number of tokens of every example in an epoch; without one, of the first form."""
        first = self.shards.lengths(stream, epoch)
        if epoch is None:
            return first
        return np.where(self._second(np.arange(len(self)), epoch), self.shards.lengths(stream + SECOND, epoch), first)

    def rows(self, stream: str, examples: npt.NDArray[np.integer], epoch: int | None = None) -> tuple[Ids, Ids]:
        """The ids of the examples end to end, and their lengths."""
        if epoch is None:
            return self.shards.rows(stream, examples)
        second = self._second(examples, epoch)
        parts = [
            self.shards.rows(name, np.asarray(examples)[own], epoch)
            for name, own in ((stream, ~second), (stream + SECOND, second))
        ]
        order = np.argsort(np.concatenate([np.flatnonzero(~second), np.flatnonzero(second)]))
        ids, lengths = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return ids[spans((np.cumsum(lengths) - lengths)[order], lengths[order])], lengths[order]

    def _second(self, examples: npt.NDArray[np.integer], epoch: int) -> npt.NDArray[np.bool_]:
        return draws(self.seed, epoch, 2, np.asarray(examples)) < np.uint64(self.share * (2.0**64 - 2**11))
