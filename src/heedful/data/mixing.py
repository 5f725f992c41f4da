"""How often the examples of each corpus are seen in an epoch, where corpora are mixed by weight or temperature."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..config import Data
from ..errors import UserError
from ..text.draws import draws
from .shards import Ids


def times(data: Data, sizes: Sequence[int], tags: Sequence[str | None]) -> list[float] | None:
    """How often each corpus is seen in an epoch; None: once each. `sizes` are in examples, `tags` their languages.

    By temperature T a language (or, without tags, a corpus) of n of all N examples is drawn with probability
    p ~ n^(1/T) (Arivazhagan et al. 2019, 4.1), so it is seen p N / n times in an epoch, which has N examples still.
    """
    if data.temperature is None:
        return list(data.weights) or None
    together: dict[object, int] = {}
    keys = [number if tag is None else tag for number, tag in enumerate(tags)]
    for key, size in zip(keys, sizes, strict=True):
        together[key] = together.get(key, 0) + size
    shares = {key: size ** (1 / data.temperature) for key, size in together.items()}
    scale = sum(sizes) / sum(shares.values())
    return [shares[key] / together[key] * scale for key in keys]


class Mixture:
    """The examples of every epoch, numbered through all corpora; a pure function of (seed, epoch).

    A corpus of n examples seen w times in an epoch is an endless row of shuffled rounds of all n; an epoch takes the
    next w n of it. So with weight 0.5 each example is seen in every second epoch, with 2.5 two or three times in each.
    """

    def __init__(self, sizes: Sequence[int], weights: Sequence[float], seed: int) -> None:
        self.sizes, self.seed = list(sizes), seed
        self.counts = [
            max(1, round(size * weight)) if weight else 0 for size, weight in zip(sizes, weights, strict=True)
        ]
        if not any(self.counts):
            raise UserError("data.weights are all 0: nothing is left to train on")

    def epoch(self, epoch: int) -> Ids:
        """The examples of an epoch, corpus after corpus; one may be there several times."""
        firsts = np.cumsum([0, *self.sizes])
        return np.concatenate([firsts[number] + self._taken(number, epoch) for number in range(len(self.sizes))])

    def _taken(self, number: int, epoch: int) -> Ids:
        size, count = self.sizes[number], self.counts[number]
        if not count:
            return np.empty(0, np.int64)
        begin, end = epoch * count, (epoch + 1) * count
        rounds = range(begin // size, -(-end // size))
        row = [np.argsort(draws(self.seed, turn, 2, number, np.arange(size)), kind="stable") for turn in rounds]
        first = begin - rounds[0] * size
        return np.concatenate(row)[first : first + count]
