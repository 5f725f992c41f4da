"""One evaluation: every figure about one or more systems against the same references, as values and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ..errors import UserError
from . import breakdown
from .bootstrap import RESAMPLES, SEED, Comparison, Interval, compare, interval, resample
from .breakdown import FrequencyClass, LengthClass
from .metrics import Options
from .translation import Scorer, Scores, check_lengths, counted

MOST_SYSTEMS = 6  # as many as the pictures have colours
FEW_LINES = 100


@dataclass(frozen=True)
class System:
    """A system and its figures. `sentences` [lines]: chrF2 of each line; `frequencies` is empty without counts."""

    name: str
    hypotheses: Sequence[str]
    scores: Scores
    intervals: dict[str, Interval]
    lengths: list[LengthClass]
    frequencies: list[FrequencyClass]
    sentences: np.ndarray


@dataclass(frozen=True)
class Evaluation:
    """Systems against references; `comparisons` of each later system with the first, metric by metric.

    `length_of` says whose words `length_classes` [lines] count: "source", or "reference" where no source was given.
    """

    source: Sequence[str] | None
    references: Sequence[Sequence[str]]
    systems: list[System]
    comparisons: list[Comparison]
    length_of: str
    length_classes: np.ndarray
    options: Options
    resamples: int
    seed: int
    notes: list[str]

    @property
    def lines(self) -> int:
        return len(self.references[0])

    @property
    def signatures(self) -> dict[str, str]:
        return self.systems[0].scores.signatures

    def as_dict(self) -> dict[str, object]:
        """Every figure and signature, ready for JSON; scores unrounded."""
        return {
            "lines": self.lines,
            "references": len(self.references),
            "options": asdict(self.options),
            "signatures": dict(self.signatures),
            "bootstrap": {"resamples": self.resamples, "seed": self.seed, "interval": 0.95},
            "length_of": self.length_of,
            "systems": [_system(one) for one in self.systems],
            "comparisons": [{**asdict(one), "verdict": one.verdict} for one in self.comparisons],
            "notes": list(self.notes),
        }


def evaluate(
    references: Sequence[Sequence[str]],
    hypotheses: Mapping[str, Sequence[str]],
    *,
    source: Sequence[str] | None = None,
    counts: Counter[str] | None = None,
    options: Options | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Evaluation:
    """Score each system's lines, by name, against one or more sets of references, and compare the later with the first.

    `counts` are the words of the training text's target side (`words.count_words`). Lengths and rare words look at the
    first set of references only. UserError naming both counts where lines are not equally many.
    """
    require_few(len(hypotheses))
    if resamples < 1:
        raise UserError(f"{resamples} resamples; bootstrap resampling needs at least 1 and is usually given 1000")
    scorer = Scorer(references, options)
    if source is not None:
        check_lengths("the source", source, "the reference", references[0])
    scores = {name: scorer(lines, name) for name, lines in hypotheses.items()}
    resampled = {
        metric.name: dict(
            zip(
                scores,
                resample(metric, [one.statistics[metric.name] for one in scores.values()], resamples, seed),
                strict=True,
            )
        )
        for metric in scorer.metrics.values()
    }
    classes = breakdown.length_classes(references[0] if source is None else source)
    systems = [
        System(
            name,
            hypotheses[name],
            one,
            {metric: interval(of[name]) for metric, of in resampled.items()},
            breakdown.by_length(scorer, one, classes),
            []
            if counts is None
            else breakdown.by_frequency(hypotheses[name], references[0], counts, scorer.options.lowercase),
            scorer.sentences(one),
        )
        for name, one in scores.items()
    ]
    return Evaluation(
        source, references, systems, _comparisons(scorer, scores, resampled),
        "reference" if source is None else "source", classes, scorer.options, resamples, seed,
        _notes(references, hypotheses),
    )  # fmt: skip


def require_few(systems: int) -> None:
    """UserError for more systems than can be told apart, or none."""
    if not 1 <= systems <= MOST_SYSTEMS:
        raise UserError(f"{systems} systems to evaluate; give 1 to {MOST_SYSTEMS}")


def _comparisons(
    scorer: Scorer, scores: Mapping[str, Scores], resampled: Mapping[str, Mapping[str, np.ndarray]]
) -> list[Comparison]:
    """Of every later system with the first, metric by metric."""
    first, *others = scores
    return [
        compare(
            metric,
            (first, other),
            (scores[first].values[metric.name], scores[other].values[metric.name]),
            (resampled[metric.name][first], resampled[metric.name][other]),
        )
        for other in others
        for metric in scorer.metrics.values()
    ]


def _notes(references: Sequence[Sequence[str]], hypotheses: Mapping[str, Sequence[str]]) -> list[str]:
    """What a reader should know before believing the figures."""
    notes = []
    lines = len(references[0])
    if lines < FEW_LINES:
        notes.append(f"only {counted(lines)}: intervals and p-values need some hundreds to mean much")
    for number, one in enumerate(references, 1):
        if empty := _empty(one):
            notes.append(f"reference {number}: {empty:,} of {counted(lines)} empty")
    for name, one in hypotheses.items():
        if empty := _empty(one):
            notes.append(f"{name}: {empty:,} of {counted(lines)} empty")
        if (apart := sum(line.endswith(" .") for line in one)) > lines / 10:
            notes.append(
                f"{name}: in {counted(apart)} the full stop is set apart; sacreBLEU wants text that is not tokenised"
            )
    return notes


def _empty(lines: Sequence[str]) -> int:
    return sum(not line.strip() for line in lines)


def _system(one: System) -> dict[str, object]:
    return {
        "name": one.name,
        "scores": {name: {"score": value, **asdict(one.intervals[name])} for name, value in one.scores.values.items()},
        "exact_match": one.scores.exact,
        "by_length": [asdict(part) for part in one.lengths],
        "by_training_frequency": [{**asdict(part), "recall": part.recall} for part in one.frequencies],
    }
