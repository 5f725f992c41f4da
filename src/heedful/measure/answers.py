"""Exact match and F1 of answers, as SQuAD's official scripts count them, and the best threshold for "no answer".

The scripts are evaluate-v1.1.py (Rajpurkar et al. 2016, 6.1) and evaluate-v2.0.py (Rajpurkar et al. 2018). They differ
where an answer is nothing but punctuation and articles: in 2.0 it is no answer at all.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

Rules = Literal["1.1", "2.0"]

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLE = re.compile(r"\b(a|an|the)\b")


class Score(NamedTuple):
    """Of one answer: 1 or 0, and between 0 and 1."""

    exact: float
    f1: float


class Threshold(NamedTuple):
    """Answers with null odds above `odds` are better not given; then the mean score is `score`."""

    odds: float
    score: float


def normalise(text: str) -> str:
    """In lower case, without punctuation (ASCII's), articles and more than one space between words."""
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def rules_of(answers: Sequence[Sequence[str]]) -> Rules:
    """Those of the script that these right answers are for: 2.0 where a question has none."""
    return "1.1" if all(answers) else "2.0"


def score(predicted: str, answers: Sequence[str], rules: Rules = "2.0") -> Score:
    """The best over all right answers; without any, only "" is right."""
    if rules == "2.0":
        answers = [answer for answer in answers if normalise(answer)]
    pairs = [(exact(predicted, answer), f1(predicted, answer, rules)) for answer in answers or ("",)]
    return Score(*map(max, zip(*pairs, strict=True)))


def exact(predicted: str, answer: str) -> float:
    """1 if both are the same once normalised, else 0."""
    return float(normalise(predicted) == normalise(answer))


def f1(predicted: str, answer: str, rules: Rules = "2.0") -> float:
    """The harmonic mean of precision and recall of words, each counted as often as it occurs in both."""
    said, right = normalise(predicted).split(), normalise(answer).split()
    if rules == "2.0" and not (said and right):
        return float(said == right)
    shared = sum((Counter(said) & Counter(right)).values())
    if not shared:
        return 0.0
    precision, recall = shared / len(said), shared / len(right)
    return 2 * precision * recall / (precision + recall)


def best_threshold(odds: Sequence[float], scores: Sequence[float], answerable: Sequence[bool]) -> Threshold:
    """The null odds up to which answers should be given, for the highest mean score.

    `odds` and `scores` are of the best answer that is not "" to each question. Not to answer scores 1 where there is no
    answer. Of equal thresholds the lowest is taken, and one below all odds where it is best never to answer.
    """
    order = sorted(range(len(odds)), key=lambda place: odds[place])
    now = float(sum(not one for one in answerable))
    best = Threshold(odds[order[0]] - 1.0 if order else 0.0, now)
    for place, number in enumerate(order):
        now += scores[number] if answerable[number] else -1.0
        last_of_equals = place + 1 == len(order) or odds[order[place + 1]] > odds[number]
        if last_of_equals and now > best.score + 1e-9:
            best = Threshold(odds[number], now)
    return Threshold(best.odds, best.score / max(len(odds), 1))
