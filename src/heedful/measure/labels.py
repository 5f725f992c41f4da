"""How good classes, sets of labels and numbers are: counts, F1, calibration, correlation. Plain numbers in and out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Rates(NamedTuple):
    """Of one label: right among those said, found among those that are, and the harmonic mean of both; 0 where there
    is nothing to divide by. `count` is how often it is the answer, `said` how often it was given."""

    precision: float
    recall: float
    f1: float
    count: int
    said: int


class Bin(NamedTuple):
    """Answers given with a probability in (low, high]: how many, how sure on average, which share of them is right."""

    low: float
    high: float
    count: int
    sure: float
    right: float


def rates(right: int, said: int, count: int) -> Rates:
    """From how many answers of a label are right, how often it was said, and how often it is the answer."""
    precision, recall = right / said if said else 0.0, right / count if count else 0.0
    return Rates(precision, recall, 2 * right / (said + count) if said + count else 0.0, count, said)


def confusion(wanted: Ids, said: Ids, labels: int) -> Ids:
    """How often each label [row] was answered by each [column]."""
    table: Ids = np.bincount(wanted * labels + said, minlength=labels * labels).reshape(labels, labels)
    return table


def by_label(table: Ids) -> list[Rates]:
    """For each label of a confusion matrix."""
    return [rates(int(table[n, n]), int(table[:, n].sum()), int(table[n].sum())) for n in range(len(table))]


def by_set(wanted: npt.NDArray[np.bool_], said: npt.NDArray[np.bool_]) -> list[Rates]:
    """For each label of sets of labels, [examples, labels]."""
    counts = zip((wanted & said).sum(0).tolist(), said.sum(0).tolist(), wanted.sum(0).tolist(), strict=True)
    return [rates(*one) for one in counts]


def macro_f1(found: Sequence[Rates]) -> float:
    """The mean F1 of the labels that are an answer or were said."""
    known = [one.f1 for one in found if one.count or one.said]
    return sum(known) / len(known) if known else 0.0


def micro(found: Sequence[Rates]) -> Rates:
    """Of all labels together."""
    right = sum(round(one.recall * one.count) for one in found)
    return rates(right, sum(one.said for one in found), sum(one.count for one in found))


def reliability(sure: Floats, right: npt.NDArray[np.bool_], bins: int = 10) -> list[Bin]:
    """Answers by how sure they were given, in equal bins of probability (Guo et al. 2017, 2); empty bins too."""
    place = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    most = np.maximum(counts, 1)
    means = np.bincount(place, sure, bins) / most, np.bincount(place, right, bins) / most
    return [Bin(n / bins, (n + 1) / bins, int(counts[n]), float(means[0][n]), float(means[1][n])) for n in range(bins)]


def calibration_error(found: Sequence[Bin]) -> float:
    """The expected calibration error: how far sureness and share of right answers are apart, a mean over answers."""
    total = sum(one.count for one in found)
    return sum(one.count * abs(one.sure - one.right) for one in found) / total if total else 0.0


def pearson(first: Floats, second: Floats) -> float:
    """The linear correlation; 0 where either does not vary."""
    one, other = first - first.mean(), second - second.mean()
    size = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / size if size else 0.0


def spearman(first: Floats, second: Floats) -> float:
    """The correlation of ranks; equal values share the mean of theirs."""
    return pearson(_ranks(first), _ranks(second))


def _ranks(values: Floats) -> Floats:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: Floats = (ends - (counts - 1) / 2)[place]
    return ranks


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927): where the true one is, if the examples are drawn at random."""
    if not count:
        return 0.0, 1.0
    z, share = 1.959964, right / count
    middle, half = share + z * z / (2 * count), z * math.sqrt(share * (1 - share) / count + z * z / (4 * count**2))
    return max(0.0, (middle - half) / (1 + z * z / count)), min(1.0, (middle + half) / (1 + z * z / count))
