"""How well things are found again: recall at k and the median rank."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]


def ranks(order: Ids, right: npt.NDArray[np.bool_]) -> Ids:
    """The rank [queries], from 1, of each query's best right candidate; `order` [queries, candidates] is best first.

    `right` [queries, candidates] says which candidates are right; each query must have one.
    """
    found: Ids = np.take_along_axis(right, order, axis=1).argmax(axis=1) + 1
    return found


def retrieval(rank: Ids) -> Mapping[str, float]:
    """Recall at 1, 5 and 10 in percent (a query counts if a right candidate is among the first k), and median rank."""
    recall = {f"recall at {k}": 100.0 * float((rank <= k).mean()) for k in (1, 5, 10)}
    return recall | {"median rank": float(np.median(rank))}


def chance(candidates: int, right: float = 1.0, k: int = 10) -> float:
    """Recall at k in percent of a drawn order, where `right` of the candidates are right."""
    missed = np.prod([max(0.0, candidates - right - i) / max(1, candidates - i) for i in range(min(k, candidates))])
    return 100.0 * float(1.0 - missed)
