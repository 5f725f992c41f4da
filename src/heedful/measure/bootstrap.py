"""How sure a score is, and whether two systems differ: paired bootstrap resampling (Koehn 2004), seeded.

Lines are drawn with replacement, the same for every system. Draws, interval and p-value are sacreBLEU's (`--paired-bs`)
with one exception: where it counts resamples beyond the real difference, equal ones count here as well, so that a
system compared with itself has p = 1 and not the smallest p there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .metrics import Metric

RESAMPLES, SEED = 1000, 12345  # sacreBLEU's
DRAWN_AT_ONCE = 2_000_000  # lines; bounds the memory, changes no figure


@dataclass(frozen=True)
class Interval:
    """The middle 95 % of a resampled figure."""

    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """The score of `second` less that of `first`; over the resamples the difference's mean, its middle 95 %, and the
    share in which `second` was the better one (Koehn's figure; an equal resample counts half).

    `p` is how often chance alone gives as large a difference: sacreBLEU's estimate.
    """

    metric: str
    first: str
    second: str
    difference: float
    mean: float
    interval: Interval
    wins: float
    p: float
    lower_is_better: bool

    @property
    def verdict(self) -> str:
        """At the usual level of 5 %."""
        if self.p >= 0.05:
            return "not told apart"
        return "better" if (self.difference < 0) == self.lower_is_better else "worse"


def resample(metric: Metric, systems: Sequence[np.ndarray], resamples: int = RESAMPLES, seed: int = SEED) -> np.ndarray:
    """Scores [systems, resamples] of statistics [lines, numbers] of each system, on the same lines for all."""
    lines = len(systems[0])
    generator = np.random.default_rng(seed)
    at_once = max(1, DRAWN_AT_ONCE // lines)
    parts = []
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        drawn = generator.integers(0, lines, size=(rows, lines)) + lines * np.arange(rows)[:, None]
        # How often each line was drawn; times the statistics it is one matrix product instead of a gather.
        times = np.bincount(drawn.ravel(), minlength=rows * lines).reshape(rows, lines).astype(np.float64)
        parts.append([metric.formula(times @ table.astype(np.float64)) for table in systems])
    return np.concatenate(parts, axis=1)


def interval(scores: np.ndarray) -> Interval:
    """The middle 95 % of scores [resamples]."""
    ordered = np.sort(scores)
    cut = len(ordered) // 40
    return Interval(float(ordered[cut]), float(ordered[len(ordered) - cut - 1]))


def compare(
    metric: Metric, names: tuple[str, str], scores: tuple[float, float], resampled: tuple[np.ndarray, np.ndarray]
) -> Comparison:
    """The second system against the first: names, scores on all lines, and scores [resamples] on the same resamples."""
    difference = scores[1] - scores[0]
    differences = resampled[1] - resampled[0]
    sizes = np.abs(differences)
    beyond = int((sizes - sizes.mean() >= abs(difference)).sum())
    gains = -differences if metric.lower_is_better else differences
    return Comparison(
        metric.name,
        *names,
        difference,
        float(differences.mean()),
        interval(differences),
        float(((gains > 0) + 0.5 * (gains == 0)).mean()),
        (beyond + 1) / (len(sizes) + 1),
        metric.lower_is_better,
    )
