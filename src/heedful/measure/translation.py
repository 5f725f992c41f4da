"""How good translations are: hypotheses scored against references, line by line and as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from .metrics import Options, metrics


@dataclass(frozen=True)
class Scores:
    """A system's scores. `values` are 0 to 100 by metric (of TER less is better, and it may exceed 100).

    `exact` is the share of lines that equal a reference, 0 to 1. `statistics` [lines, numbers] by metric is what the
    scores were made of (see metrics.py).
    """

    lines: int
    values: dict[str, float]
    signatures: dict[str, str]
    exact: float
    statistics: dict[str, np.ndarray]


class Scorer:
    """References, one set or several, against which any number of systems are scored.

    >>> Scorer([["Der Bus kommt um acht ."]])(["Der Bus kommt um neun ."]).values["BLEU"]
    53.7284965911771

    UserError if there is no line, if sets are unequally long, or if `options` ask for what is not installed.
    """

    def __init__(self, references: Sequence[Sequence[str]], options: Options | None = None) -> None:
        if not references or not references[0]:
            raise UserError("the references have no lines; there is nothing to score")
        for number, one in enumerate(references, 1):
            check_lengths(f"reference {number}", one, "reference 1", references[0])
        self.references = references
        self.options = options or Options()
        self.metrics = metrics(references, self.options)

    def __call__(self, hypotheses: Sequence[str], name: str = "the hypotheses") -> Scores:
        """Scores of one system; UserError naming both counts if the lines are not as many as the references'."""
        check_lengths(name, hypotheses, "the reference", self.references[0])
        statistics = {metric.name: metric.statistics(hypotheses) for metric in self.metrics.values()}
        fold = str.lower if self.options.lowercase else str
        equal = [
            fold(line) in map(fold, lines)
            for line, *lines in zip(hypotheses, *self.references, strict=True)
        ]  # fmt: skip
        return Scores(
            len(hypotheses),
            {name: self.metrics[name].score(table) for name, table in statistics.items()},
            {metric.name: metric.signature for metric in self.metrics.values()},
            sum(equal) / len(equal),
            statistics,
        )

    def sentences(self, scores: Scores, metric: str = "chrF2") -> np.ndarray:
        """The metric of each line by itself [lines]."""
        return self.metrics[metric].formula(scores.statistics[metric])


def check_lengths(name: str, lines: Sequence[str], other: str, others: Sequence[str]) -> None:
    """UserError unless there are as many lines as others."""
    if len(lines) != len(others):
        raise UserError(
            f"{name}: {counted(len(lines))}, but {other} has {counted(len(others))}; each line needs its counterpart"
        )


def counted(lines: int) -> str:
    """How many lines, as text."""
    return f"{lines:,} line{'' if lines == 1 else 's'}"
