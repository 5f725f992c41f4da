"""What validations give, and what a run has learnt from them: which was the best, and how long ago that was."""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec import Struct, field

HIGHER_IS_BETTER = frozenset({"chrf", "bleu", "accuracy", "f1", "exact", "recall", "correlation"})

Scores = dict[str, float | None]  # None stands for what is not a finite number: JSON has no other


class Sample(Struct, frozen=True):
    """What the model makes of one held-out example."""

    source: str
    reference: str
    output: str


class Validation(Struct, frozen=True):
    """Scores of the held-out data, at least "loss" and what `training.metric` names; and a few examples to look at."""

    scores: Mapping[str, float]
    samples: tuple[Sample, ...] = ()


class Validated(Struct, frozen=True):
    """The scores of a step."""

    step: int
    scores: Scores


class Standings(Struct):
    """Part of the state of a run. `recent` are the steps validated last, newest last, as many as are averaged.

    `stale` counts the validations since the best one.
    """

    recent: list[int] = field(default_factory=list)
    best: Validated | None = None
    last: Validated | None = None
    stale: int = 0

    @property
    def best_step(self) -> int | None:
        return None if self.best is None else self.best.step

    def take(self, step: int, scores: Mapping[str, float], metric: str, recent: int) -> bool:
        """Count a validation; whether it is the best so far. Where two are equal the first is the better one."""
        self.last = Validated(step, {name: score if math.isfinite(score) else None for name, score in scores.items()})
        self.recent = [*self.recent, step][-recent:]
        best = self.best is None or better(metric, scores[metric], self.best.scores[metric])
        if best := best and math.isfinite(scores[metric]):
            self.best = self.last
        self.stale = 0 if best else self.stale + 1
        return best


def better(metric: str, score: float, than: float | None) -> bool:
    """Whether a score beats another."""
    return than is None or (score > than if metric in HIGHER_IS_BETTER else score < than)


def described(scores: Mapping[str, float | None]) -> str:
    """Scores in words."""
    return "  ".join(f"{name} {math.nan if score is None else score:.4g}" for name, score in scores.items())
