"""Seeded draws that keep to one split: a value belongs to training, development or test by its hash, for ever."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

Split = Literal["train", "dev", "test"]
Domain = Literal["date", "time", "number", "country", "language"]
Value = tuple[Domain, int]  # a day's ordinal, minutes since midnight, hundredths, or a set of names as bits

T = TypeVar("T")
MASK = (1 << 64) - 1
# Under the number's salt 1 and 2 belong to training, so that singular and plural of every unit are taught.
SALT: dict[Domain, int] = {"date": 1, "time": 2, "number": 4, "country": 3, "language": 5}


def splitmix(state: int) -> int:
    """A 64-bit mix (Steele et al. 2014, figure 16): the same on every machine and in every version of everything."""
    state = (state + 0x9E3779B97F4A7C15) & MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return state ^ (state >> 31)


def split_of(value: Value) -> Split:
    """Where a value may occur: one in ten only in test, one in ten only in development, the rest only in training."""
    domain, key = value
    state = splitmix(SALT[domain])
    while True:
        state = splitmix(state ^ (key & MASK))
        key >>= 64
        if not key:
            break
    residue = state % 10
    return "test" if residue == 0 else "dev" if residue == 1 else "train"


class Draw:
    """A stream of draws, a function of (seed, split) alone."""

    def __init__(self, seed: int, split: Split) -> None:
        self.split = split
        self.state = splitmix(splitmix(seed & MASK) ^ ("train", "dev", "test").index(split))

    def below(self, count: int) -> int:
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        return (splitmix(self.state) * count) >> 64

    def between(self, low: int, high: int) -> int:
        """Both ends included."""
        return low + self.below(high - low + 1)

    def choice(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def sample(self, size: int, count: int) -> list[int]:
        """`count` different numbers below `size`, in random order."""
        chosen: list[int] = []
        while len(chosen) < count:
            number = self.below(size)
            if number not in chosen:
                chosen.append(number)
        return chosen

    def value(self, domain: Domain, draw: Callable[[], int]) -> Value:
        """Draws until the value belongs to the split."""
        for _ in range(10_000):
            value = (domain, draw())
            if split_of(value) == self.split:
                return value
        raise AssertionError(f"no {domain} of this range belongs to the {self.split} split")
