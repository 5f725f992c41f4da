"""Rows of unequal length end to end in one array: the two operations everything else is made of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]


def spans(starts: Ids, lengths: Ids) -> Ids:
    """Indices of many spans end to end: spans([5, 0], [2, 3]) is [5, 6, 0, 1, 2]."""
    ends = np.cumsum(lengths)
    places: Ids = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)
    return places


def sums(values: npt.NDArray[np.integer], lengths: Ids) -> Ids:
    """The sum of each row's values; an empty row gives 0."""
    running: Ids = np.concatenate([np.zeros(1, np.int64), np.cumsum(values, dtype=np.int64)])
    ends = np.cumsum(lengths)
    totals: Ids = running[ends] - running[ends - lengths]
    return totals


def offsets(lengths: Ids) -> Ids:
    """Where each row begins, and where the last one ends."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
