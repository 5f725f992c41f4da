"""How well the right one of many is found: ranks, recall, mean reciprocal rank, and what chance would give."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

KS = (1, 5, 10)
AT_A_TIME = 1024  # queries: so many rows of likenesses exist at once


def ranks(queries: Vectors, answers: Vectors, groups: Ids) -> Ids:
    """The rank, from 1, of each query's answer (the one in the same row) among all answers [n].

    Rows that have a number of their `groups` [n, k] in common say the same: they are no rivals. A rival that is just
    as like counts as better, so that vectors which are all alike find nothing.
    """
    places, rows = np.arange(len(queries)), []
    for first in range(0, len(queries), AT_A_TIME):
        some = places[first : first + AT_A_TIME]
        alike = queries[some] @ answers.T
        own = np.take_along_axis(alike, some[:, None], 1)
        rivals = ~(groups[some, None, :] == groups[None, :, :]).any(-1)
        rows.append(1 + (rivals & (alike >= own)).sum(1))
    return np.concatenate(rows) if rows else np.zeros(0, np.int64)


def found_last(queries: Vectors, answers: Vectors, groups: Ids, most: int) -> list[tuple[int, int, int]]:
    """The queries whose answers came last, at most so many: (query, the rival that came first, the answer's rank)."""
    found = ranks(queries, answers, groups)
    worst = [query for query in np.argsort(-found, kind="stable")[:most].tolist() if found[query] > 1]
    if not worst:
        return []
    rivals = ~(groups[worst, None, :] == groups[None, :, :]).any(-1)
    first = np.where(rivals, queries[worst] @ answers.T, -np.inf).argmax(1)
    return [(query, int(first[place]), int(found[query])) for place, query in enumerate(worst)]


def first_right(order: Ids, right: npt.NDArray[np.bool_]) -> Ids:
    """The rank [queries], from 1, of each query's best right candidate; `order` [queries, candidates] is best first.

    `right` [queries, candidates] says which candidates are right; each query must have one.
    """
    found: Ids = np.take_along_axis(right, order, axis=1).argmax(axis=1) + 1
    return found


def recall(found: Ids, most: int) -> float:
    """The share of ranks that are `most` or less."""
    return float((found <= most).mean()) if len(found) else 0.0


def reciprocal(found: Ids) -> float:
    """The mean of 1 / rank."""
    return float((1.0 / found).mean()) if len(found) else 0.0


def scores(first: Vectors, second: Vectors, groups: Ids) -> dict[str, float]:
    """Recall at 1, 5 and 10 and the mean reciprocal rank, of the second ones by the first ("there") and back; "recall"
    is that at 10, both ways."""
    ways = {"there": ranks(first, second, groups), "back": ranks(second, first, groups)}
    found = {f"recall{most}_{way}": recall(one, most) for way, one in ways.items() for most in KS}
    found |= {f"mrr_{way}": reciprocal(one) for way, one in ways.items()}
    return {"recall": (found["recall10_there"] + found["recall10_back"]) / 2, **found}


def retrieval(found: Ids) -> dict[str, float]:
    """Recall at 1, 5 and 10 in percent and the median rank."""
    return {f"recall at {most}": 100.0 * recall(found, most) for most in KS} | {"median rank": float(np.median(found))}


def chance(candidates: int, right: float = 1.0, most: int = 10) -> float:
    """Recall at `most` in percent of a drawn order, where `right` of the candidates are right."""
    places = range(min(most, candidates))
    missed = np.prod([max(0.0, candidates - right - place) / max(1, candidates - place) for place in places])
    return 100.0 * float(1.0 - missed)
