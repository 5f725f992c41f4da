"""Rules that leave pairs out of training: each has a name, a count, and examples of what it left out.

Two texts are the same if they differ in white space and Unicode form (NFC) at most. All rules look at that form of a
text. The corpus is read in order and never held: what was seen before is remembered as a hash of 8 bytes, so a pair is
taken for one of n others by mistake with a chance of n / 2^64.
"""

from __future__ import annotations

import math
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
import xxhash

from ..config import Cleaning
from .readers import Pair

EXAMPLES = 10  # kept of each rule
SHOWN = 500  # characters of a text in an example
# Characters added to both sides before they are compared: the lengths of short texts say little.
SHORT = 10

# Every rule in the order they are asked, with what is said of the pairs it left out. The first that applies counts.
SAID = {
    "empty": "with an empty side",
    "characters": "longer than {} characters",
    "words": "longer than {} words",
    "copies": "whose target is the source",
    "script": "in another script",
    "numbers": "with other digits",
    "ratio": "with a side {} times as long as the other",
    "leaks": "also in dev or test",
    "duplicates": "duplicates",
    "same_source": "with a source seen before",
    "long": "longer than {} tokens",  # asked last, once there are tokens: `shards.build_shards`
}
# What `heedful check` tries of the rules that a recipe leaves off.
SUGGESTED = Cleaning(same_source=True, copies=True, script=True, numbers=True, ratio=3.0, characters=1000, words=200)


class Example(msgspec.Struct, frozen=True):
    """A pair that was left out and the "file:line" it comes from; long texts are cut, with "…" at the end."""

    where: str
    source: str
    target: str


class Dropped(msgspec.Struct):
    """What one rule left out: how many pairs, and the first of them. `limit` is null for a rule without one."""

    rule: str
    limit: float | None = None
    count: int = 0
    examples: list[Example] = msgspec.field(default_factory=list)

    def add(self, pair: Pair) -> None:
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(Example(pair.where, cut(pair.source), cut(pair.target)))

    def __str__(self) -> str:
        return f"{self.count} {SAID[self.rule].format('' if self.limit is None else f'{self.limit:g}')}"


class Characters:
    """How often each character occurs in texts; counted a million at a time, which is ten times as fast as singly."""

    def __init__(self) -> None:
        self._counts = np.zeros(128, np.int64)
        self._waiting: list[str] = []
        self._size = 0

    def add(self, text: str) -> None:
        self._waiting.append(text)
        self._size += len(text)
        if self._size > 1 << 20:
            self._count()

    def counts(self) -> dict[str, int]:
        """Each character that occurs, and how often, in the order of Unicode."""
        self._count()
        return {chr(point): int(self._counts[point]) for point in np.flatnonzero(self._counts)}

    def _count(self) -> None:
        points = np.frombuffer("".join(self._waiting).encode("utf-32-le", "surrogatepass"), "<u4")
        found = np.bincount(points, minlength=len(self._counts))
        found[: len(self._counts)] += self._counts
        self._counts, self._waiting, self._size = found, [], 0


class Norms:
    """What is usual in a corpus: the script of each side, and how many characters a target has for one of its source.

    Gathered from pairs as they are read, before `Cleaner` judges them by it.
    """

    def __init__(self) -> None:
        self.characters = (Characters(), Characters())
        self._ratios: Counter[int] = Counter()  # of 64 x log2(target / source)

    def add(self, pair: Pair, source: str, target: str) -> None:
        """A pair, and its sides in the form of `canonical`."""
        self.characters[0].add(pair.source)
        self.characters[1].add(pair.target)
        if source and target:
            self._ratios[round(64 * math.log2(len(target) / len(source)))] += 1

    def scripts(self) -> tuple[str | None, str | None]:
        """The script that most letters of each side have; None where there are no letters."""
        found = [scripts(characters.counts()) for characters in self.characters]
        first, second = (max(count, key=lambda name: (count[name], name), default=None) for count in found)
        return first, second

    def ratio(self) -> float:
        """The median of target by source, in characters; 1 where there are no pairs."""
        rest = self._ratios.total() // 2
        for step in sorted(self._ratios):
            rest -= self._ratios[step]
            if rest < 0:
                return float(2 ** (step / 64))
        return 1.0


class Seen:
    """A set of hashes that answers whether one is new; 12 to 23 bytes for each (open addressing in a flat array)."""

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 << 10))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, number: int) -> bool:
        return bool(self._slots[self._place(number or 1)])

    def add(self, number: int) -> bool:
        """Put it in; True if it was not there."""
        number = number or 1  # zero is an empty slot
        place = self._place(number)
        if self._slots[place]:
            return False
        self._slots[place] = number
        self._count += 1
        if 10 * self._count > 7 * len(self._slots):
            before, self._slots = self._slots, array("Q", bytes(16 * len(self._slots)))
            for one in before:
                if one:
                    self._slots[self._place(one)] = one
        return True

    def _place(self, number: int) -> int:
        """The slot that holds it, or the empty one where it belongs."""
        slots, last = self._slots, len(self._slots) - 1
        place = number & last
        while slots[place] not in (0, number):
            place = (place + 1) & last
        return place


class Memory(NamedTuple):
    """Hashes that the rules look up: dev and test pairs, and what the corpora judged so far kept."""

    known: Seen
    pairs: Seen
    sources: Seen


class Cleaner:
    """Judges the pairs of a corpus one after another, in their order, by the rules that are on.

    `norms` is asked only by the rules that `needs_norms` names; `memory` may be shared with other corpora.
    With `all_rules` the rules that are off are tried on the pairs that stay, by `SUGGESTED`, and counted in `others`.
    """

    def __init__(self, rules: Cleaning, norms: Norms, memory: Memory, all_rules: bool = False) -> None:
        on = enabled(rules)
        tests = _tests(rules, norms, memory)
        self._on = [(Dropped(name, limit_of(rules, name)), tests[name]) for name in on]
        self._off: list[tuple[Dropped, Test]] = []
        if all_rules:
            tests = _tests(SUGGESTED, norms, memory)
            off = [name for name in enabled(SUGGESTED) if name not in on]
            self._off = [(Dropped(name, limit_of(SUGGESTED, name)), tests[name]) for name in off]

    @property
    def dropped(self) -> list[Dropped]:
        """What the rules that are on left out so far."""
        return [dropped for dropped, _ in self._on]

    @property
    def others(self) -> list[Dropped]:
        """What each other rule alone would leave out besides."""
        return [dropped for dropped, _ in self._off]

    def keeps(self, pair: Pair) -> bool:
        """Whether the pair stays; if not, the first rule that says so counts it."""
        source, target = canonical(pair.source), canonical(pair.target)
        for dropped, test in self._on:
            if test(source, target):
                dropped.add(pair)
                return False
        for dropped, test in self._off:
            if test(source, target):
                dropped.add(pair)
        return True


def enabled(rules: Cleaning) -> list[str]:
    """The names of the rules that are on, in the order they are asked. "empty" always is."""
    return [name for name in SAID if name == "empty" or getattr(rules, name, None)]


def limit_of(rules: Cleaning, name: str) -> float | None:
    """The limit of a rule; None for one that has none."""
    value = getattr(rules, name, None)
    return None if value is None or isinstance(value, bool) else float(value)


def needs_norms(rules: Cleaning) -> bool:
    """Whether the corpus must be read once before it can be judged."""
    return rules.script or rules.ratio is not None


def gather(pairs: Iterable[Pair]) -> Norms:
    """The norms of a corpus."""
    norms = Norms()
    for pair in pairs:
        norms.add(pair, canonical(pair.source), canonical(pair.target))
    return norms


def canonical(text: str) -> str:
    """A text as it is compared: NFC, white space as one space, none at the ends."""
    if "  " in text or not text.isprintable():  # else the only white space is single spaces
        text = " ".join(text.split())
    text = text.strip(" ")
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def hash_of(*texts: str) -> int:
    """64 bits for texts in the form of `canonical`, in which no line feed is left."""
    return xxhash.xxh3_64_intdigest("\n".join(texts).encode("utf-8", "surrogatepass"))


def cut(text: str) -> str:
    """At most SHOWN characters of a text."""
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


class _Scripts(dict[str, str | None]):
    """Character -> its script, worked out once: the first word of its Unicode name ("CYRILLIC SMALL LETTER A").

    Han, Hiragana, Katakana and Bopomofo are one, "CJK", for they are written together. None for what is no letter.
    Compatibility forms (full width, mathematical alphabets, ordinals) count as what they stand for.
    """

    def __missing__(self, character: str) -> str | None:
        name = None
        if unicodedata.category(character) in ("Lu", "Ll", "Lt", "Lo"):
            name = unicodedata.name(unicodedata.normalize("NFKC", character)[0], "OTHER").split()[0]
            name = "CJK" if name in ("HIRAGANA", "KATAKANA", "BOPOMOFO") else name
        self[character] = name
        return name


_SCRIPT = _Scripts()


def scripts(characters: Mapping[str, int]) -> dict[str, int]:
    """How many of the counted characters are letters of each script."""
    found: dict[str, int] = {}
    for character, count in characters.items():
        if name := _SCRIPT[character]:
            found[name] = found.get(name, 0) + count
    return found


Test = Callable[[str, str], bool]


def _tests(rules: Cleaning, norms: Norms, memory: Memory) -> dict[str, Test]:
    """A function for each rule that is on, which says whether a pair goes."""
    limit: Any = rules
    tests: dict[str, Test] = {
        "empty": lambda source, target: not source or not target,
        "characters": lambda source, target: max(len(source), len(target)) > limit.characters,
        "words": lambda source, target: max(source.count(" "), target.count(" ")) >= limit.words,
        "copies": lambda source, target: source == target,
        "numbers": lambda source, target: _digits(source) != _digits(target),
        "leaks": lambda source, target: hash_of(source, target) in memory.known,
        "duplicates": lambda source, target: not memory.pairs.add(hash_of(source, target)),
        "same_source": lambda source, target: not memory.sources.add(hash_of(source)),
    }
    if rules.script:
        first, second = map(_script_test, norms.scripts())
        tests["script"] = lambda source, target: first(source) or second(target)
    if rules.ratio is not None:
        tests["ratio"] = _ratio_test(rules.ratio, norms.ratio())
    return tests


def _ratio_test(most: float, usual: float) -> Test:
    # Both sides are scaled half way, so that it does not matter which of them is the source.
    half = math.sqrt(usual)

    def test(source: str, target: str) -> bool:
        one, other = len(source) * half + SHORT, len(target) / half + SHORT
        return max(one, other) > most * min(one, other)

    return test


def _script_test(script: str | None) -> Callable[[str], bool]:
    """A function that says whether less than half of a text's letters are of the script."""
    harmless: set[str] = set()  # characters that are of the script, or no letters

    def foreign(text: str) -> bool:
        characters = set(text)
        if characters <= harmless:
            return False
        harmless.update(one for one in characters if _SCRIPT[one] in (None, script))
        found = scripts(Counter(text))
        return 2 * found.get(script or "", 0) < sum(found.values())

    return foreign


_DIGITS = re.compile(r"\d+")


def _digits(text: str) -> list[str]:
    """The digits of a text, sorted: "1,000.5" and "1.000,5" have the same, whatever numerals they are written in."""
    found = "".join(_DIGITS.findall(text))
    if not found.isascii():
        found = "".join(str(unicodedata.decimal(digit)) for digit in found)
    return sorted(found)
