"""Several shards read as one corpus, each with ids of its own in front of its rows (tags of languages)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .placing import Alternating
from .shards import Ids, Shards


class Part(NamedTuple):
    """Shards, and the ids put before every row of a stream, by its name."""

    shards: Shards | Alternating
    before: Mapping[str, tuple[int, ...]] = {}


class Corpora:
    """Examples of all parts, numbered through; the same look-ups as `Shards`."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = list(parts)
        self.streams = parts[0].shards.streams
        self._ends = np.cumsum([len(part.shards) for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def lengths(self, stream: str, epoch: int | None = None) -> Ids:
        """The number of tokens of every example in an epoch, tags included."""
        return np.concatenate([part.shards.lengths(stream, epoch) + self._extra(part, stream) for part in self.parts])

    def rows(self, stream: str, examples: npt.NDArray[np.integer], epoch: int | None = None) -> tuple[Ids, Ids]:
        """The ids of the examples end to end, in the given order, and their lengths."""
        if len(self.parts) == 1 and not self.parts[0].before.get(stream):
            return self.parts[0].shards.rows(stream, examples, epoch)
        of = np.searchsorted(self._ends, examples, side="right")
        found: list[Ids] = [np.empty(0, np.int64)] * len(examples)
        for number, part in enumerate(self.parts):
            mine = np.flatnonzero(of == number)
            first = int(self._ends[number - 1]) if number else 0
            ids, lengths = part.shards.rows(stream, np.asarray(examples)[mine] - first, epoch)
            before = np.array(part.before.get(stream, ()), np.int64)
            for place, row in zip(mine, np.split(ids, np.cumsum(lengths)[:-1]) if len(mine) else [], strict=True):
                found[place] = np.concatenate([before, row])
        return np.concatenate(found), np.array([len(row) for row in found], np.int64)

    def _extra(self, part: Part, stream: str) -> int:
        return len(part.before.get(stream, ()))
