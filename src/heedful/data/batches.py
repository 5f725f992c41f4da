"""Which examples go into which batch: near lengths together, shuffled, the same for the same seed and epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..errors import UserError
from ..text.draws import draws

Ids = npt.NDArray[np.int64]

# Noisy data have targets of one word with sources of hundreds: no batch holds more than this many times its budget.
MOST_OTHER = 4


class Examples(Protocol):
    """What batches are made of: `Shards`, or several of them as one."""

    @property
    def streams(self) -> tuple[str, ...]: ...
    def __len__(self) -> int: ...
    def lengths(self, stream: str, epoch: int | None = None) -> Ids: ...


class Batches:
    """The order of training: batches of at most `batch_tokens` real target tokens (each with its end token).

    `target` names the stream whose tokens are counted; the other streams together stay within 4 times that budget.
    A single example beyond the budget is a batch of its own. Examples are shuffled, sorted by length inside windows of
    `window` examples (small enough to mix, large enough to have equal lengths), cut, and the batches are shuffled.
    `drawn` gives the examples of an epoch, some several times, others not at all (`mixing.Mixture`); else each is there
    once.
    """

    def __init__(
        self,
        shards: Examples,
        batch_tokens: int,
        seed: int,
        window: int = 20_000,
        target: str | None = None,
        drawn: Callable[[int], Ids] | None = None,
    ) -> None:
        if batch_tokens < 1:
            raise UserError(f"training.batch_tokens = {batch_tokens} is below 1")
        self.shards, self.batch_tokens, self.seed, self.window = shards, batch_tokens, seed, window
        self.target = target if target is not None else shards.streams[-1]
        self.drawn = drawn or (lambda epoch: np.arange(len(shards)))
        self.others = [name for name in shards.streams if name != self.target]

    def epoch(self, epoch: int) -> list[Ids]:
        """The example numbers of every batch of an epoch; each one drawn is in exactly one. A pure function."""
        lengths = self.shards.lengths(self.target, epoch) + 1
        others = sum((self.shards.lengths(name, epoch) for name in self.others), np.zeros(len(lengths), np.int64))
        drawn = self.drawn(epoch)
        order = drawn[np.argsort(draws(self.seed, epoch, 0, np.arange(len(drawn))), kind="stable")]
        order = self._sorted(order, lengths, others)
        batches = list(self._cut(order, lengths[order], others[order]))
        shuffled = np.argsort(draws(self.seed, epoch, 1, np.arange(len(batches))), kind="stable")
        return [batches[number] for number in shuffled]

    def in_order(self) -> list[Ids]:
        """Every example once, without sampling, near lengths together, longest last: for validation."""
        lengths = self.shards.lengths(self.target) + 1
        others = sum((self.shards.lengths(name) for name in self.others), np.zeros(len(lengths), np.int64))
        order = np.lexsort((others, lengths))
        return list(self._cut(order, lengths[order], others[order]))

    def _sorted(self, order: Ids, lengths: Ids, others: Ids) -> Ids:
        """Each window sorted by (target, other) length; every second one downwards, so that neighbours meet evenly."""
        sorted_windows = []
        for number, first in enumerate(range(0, len(order), self.window)):
            window = order[first : first + self.window]
            window = window[np.lexsort((others[window], lengths[window]))]
            sorted_windows.append(window[::-1] if number % 2 else window)
        return np.concatenate(sorted_windows)

    def _cut(self, order: Ids, lengths: Ids, others: Ids) -> Iterator[Ids]:
        ends, other_ends = np.cumsum(lengths), np.cumsum(others)
        first = 0
        while first < len(order):
            used, other_used = ends[first] - lengths[first], other_ends[first] - others[first]
            last = np.searchsorted(ends, used + self.batch_tokens, side="right")
            other_last = np.searchsorted(other_ends, other_used + MOST_OTHER * self.batch_tokens, side="right")
            stop = max(first + 1, int(min(last, other_last)))
            yield order[first:stop]
            first = stop
