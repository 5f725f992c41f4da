"""Where a system is good: its scores by length, and how many words it finds by how often training showed them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .translation import Scorer, Scores
from .words import words

# Lowest and highest, both included; None: no highest.
LENGTHS: tuple[tuple[int, int | None], ...] = ((0, 0), (1, 5), (6, 10), (11, 20), (21, 40), (41, None))
FREQUENCIES: tuple[tuple[int, int | None], ...] = ((0, 0), (1, 1), (2, 5), (6, 20), (21, 100), (101, None))


@dataclass(frozen=True)
class LengthClass:
    """The lines of `name` words ("6-10"): how many, and their corpus scores; None where there is no line."""

    name: str
    lines: int
    bleu: float | None
    chrf: float | None


@dataclass(frozen=True)
class FrequencyClass:
    """The reference's words that training showed `name` times ("2-5"), and how many of them the system wrote."""

    name: str
    words: int
    found: int

    @property
    def recall(self) -> float | None:
        """The share found, 0 to 1; None without words."""
        return self.found / self.words if self.words else None


def length_classes(lines: Sequence[str]) -> np.ndarray:
    """Which of LENGTHS each line is in [lines], by its words (see words.py); an empty line is in class 0."""
    return np.array([_class(len(words(line)), LENGTHS) for line in lines])


def by_length(scorer: Scorer, scores: Scores, classes: np.ndarray) -> list[LengthClass]:
    """Scores of the lines of each class, every class listed; `classes` is from `length_classes`."""
    found = []
    for number, (low, high) in enumerate(LENGTHS):
        chosen = classes == number
        values = [
            scorer.metrics[name].score(scores.statistics[name][chosen]) if chosen.any() else None
            for name in ("BLEU", "chrF2")
        ]
        found.append(LengthClass(class_name(low, high), int(chosen.sum()), *values))
    return found


def by_frequency(
    hypotheses: Sequence[str], references: Sequence[str], counts: Counter[str], lowercase: bool = False
) -> list[FrequencyClass]:
    """Recall of the reference's words by their count in training, every class listed.

    A word that the reference has twice is found twice only if the line's hypothesis has it twice. `counts` is from
    `words.count_words`, over the target side of the training text as written; `lowercase` folds it too.
    """
    fold = str.lower if lowercase else str
    if lowercase:
        given, counts = counts, Counter()
        for word, count in given.items():
            counts[word.lower()] += count
    total, found = [0] * len(FREQUENCIES), [0] * len(FREQUENCIES)
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        written = Counter(words(fold(hypothesis)))
        for word, count in Counter(words(fold(reference))).items():
            number = _class(counts[word], FREQUENCIES)
            total[number] += count
            found[number] += min(count, written[word])
    names = (class_name(low, high) for low, high in FREQUENCIES)
    return [FrequencyClass(*row) for row in zip(names, total, found, strict=True)]


def class_name(low: int, high: int | None) -> str:
    """The bounds of a class as text."""
    return f"{low}+" if high is None else f"{low}" if low == high else f"{low}-{high}"


def _class(value: int, classes: Sequence[tuple[int, int | None]]) -> int:
    return next(number for number, (_, high) in enumerate(classes) if high is None or value <= high)
