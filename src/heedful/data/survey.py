"""What is in a corpus: how much, how long, which characters, what is there twice, what is in two corpora."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate

from msgspec import Struct

from .cleaning import EXAMPLES, Example, Norms, Seen, canonical, cut, hash_of, scripts
from .readers import Pair

RARE = 5  # a character seen less often is rare: a model can hardly learn it
SHOWN = 20  # rare or odd characters that are listed


class Lengths(Struct):
    """How long texts are: mean, percentiles (half, 95 and 99 of 100 texts are no longer), longest."""

    mean: float
    p50: int
    p95: int
    p99: int
    longest: int


class Character(Struct):
    """A character with its Unicode name, and how often it occurs."""

    character: str
    name: str
    count: int


class Side(Struct):
    """The texts of one side. `scripts` counts letters; `rare` characters occur less than RARE times; `odd` ones are
    control, invisible, private and replacement characters. Of these two the first SHOWN are listed."""

    words: Lengths
    characters: Lengths
    different_characters: int
    scripts: dict[str, int]
    rare_count: int
    rare: list[Character]
    odd_count: int
    odd: list[Character]
    repeated: int  # texts that were there before


class Overlap(Struct):
    """Pairs of a corpus that are also in the training files, and those of which the source alone is."""

    of: int
    pairs: int
    sources: int
    examples: list[Example]


class Survey:
    """Statistics of a corpus, gathered pair by pair. Memory: some 70 bytes a pair."""

    def __init__(self) -> None:
        self.pairs, self.empty, self.duplicates = 0, 0, 0
        self.norms = Norms()
        self.seen = Seen()
        self._sides = (_Gathering(), _Gathering())

    def add(self, pair: Pair) -> None:
        source, target = canonical(pair.source), canonical(pair.target)
        self.norms.add(pair, source, target)
        self.pairs += 1
        self.empty += not source or not target
        self.duplicates += not self.seen.add(hash_of(source, target))
        self._sides[0].add(source)
        self._sides[1].add(target)

    def side(self, number: int) -> Side:
        """The statistics of the source (0) or the target (1)."""
        return self._sides[number].summary(self.norms.characters[number].counts())

    @property
    def sources(self) -> Seen:
        """The hashes of all sources."""
        return self._sides[0].seen


def overlap(pairs: Iterable[Pair], train: Sequence[Survey]) -> Overlap:
    """How much of some pairs is also in the training corpora."""
    found = Overlap(0, 0, 0, [])
    for pair in pairs:
        source, target = canonical(pair.source), canonical(pair.target)
        found.of += 1
        both = hash_of(source, target)
        if any(both in survey.seen for survey in train):
            found.pairs += 1
            if len(found.examples) < EXAMPLES:
                found.examples.append(Example(pair.where, cut(pair.source), cut(pair.target)))
        elif any(hash_of(source) in survey.sources for survey in train):
            found.sources += 1
    return found


class _Gathering:
    """The counts behind a `Side`."""

    def __init__(self) -> None:
        self.words: Counter[int] = Counter()
        self.lengths: Counter[int] = Counter()
        self.seen = Seen()
        self.repeated = 0

    def add(self, text: str) -> None:
        self.words[text.count(" ") + bool(text)] += 1
        self.lengths[len(text)] += 1
        self.repeated += bool(text) and not self.seen.add(hash_of(text))

    def summary(self, characters: dict[str, int]) -> Side:
        order = sorted(characters.items(), key=lambda item: (item[1], item[0]))
        rare = [(character, count) for character, count in order if count < RARE]
        odd = [(character, count) for character, count in reversed(order) if _odd(character)]
        return Side(
            words=lengths(self.words),
            characters=lengths(self.lengths),
            different_characters=len(order),
            scripts=dict(sorted(scripts(characters).items(), key=lambda item: (-item[1], item[0]))),
            rare_count=len(rare),
            rare=[_character(*one) for one in rare[:SHOWN]],
            odd_count=len(odd),
            odd=[_character(*one) for one in odd[:SHOWN]],
            repeated=self.repeated,
        )


def lengths(counts: Counter[int]) -> Lengths:
    """Exact mean and percentiles of counted lengths; zeros where there are none."""
    total = counts.total()
    if not total:
        return Lengths(0.0, 0, 0, 0, 0)
    order = sorted(counts)
    passed = list(accumulate(counts[length] for length in order))
    # The shortest length that so many hundredths of the texts do not exceed.
    half, most, nearly_all = (order[bisect_left(passed, percent * total / 100)] for percent in (50, 95, 99))
    mean = sum(length * count for length, count in counts.items()) / total
    return Lengths(mean, half, most, nearly_all, order[-1])


def _odd(character: str) -> bool:
    """Whether it is likely to be damage: not to be seen, or a mark for what could not be read."""
    return character == "\ufffd" or (unicodedata.category(character)[0] == "C" and character != "\t")


def _character(character: str, count: int) -> Character:
    name = unicodedata.name(character, unicodedata.category(character))
    return Character(character, f"U+{ord(character):04X} {name}", count)
