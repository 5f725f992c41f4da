"""How good answers are: those to held-out questions while a model learns, and those of a finished one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...data.questions import Question
from ...data.windows import Reading, contexts_of, wanted, windows_of
from ...measure.answers import Score, Threshold, best_threshold, rules_of, score
from ...model.model import Model
from ...text.tokenizer import Tokenizer
from ...train.validation import Sample, Validation
from .answerer import Answer, Answerer, read_windows

SAMPLES = 4


class Judged(NamedTuple):
    """A question, what was said, and how good that is by the official rules; also had the best candidate been said."""

    question: Question
    answer: Answer
    score: Score
    candidate: Score


def judge(questions: Sequence[Question], answers: Sequence[Answer]) -> list[Judged]:
    """Every answer beside its question."""
    right = [[one.text for one in question.answers] for question in questions]
    rules = rules_of(right)
    found = []
    for question, answer, texts in zip(questions, answers, right, strict=True):
        candidate = answer.best[0].text if answer.best else ""
        found.append(Judged(question, answer, score(answer.text, texts, rules), score(candidate, texts, rules)))
    return found


def right_of(question: Question) -> str:
    """The right answers, to be read."""
    return " | ".join(dict.fromkeys(answer.text for answer in question.answers)) or "(no answer)"


def best_with(judged: Sequence[Judged]) -> Threshold:
    """The null odds up to which answering gives the highest F1 on these questions, and that F1."""
    asked = [one for one in judged if one.answer.null_odds is not None]
    odds = [one.answer.null_odds or 0.0 for one in asked]
    best = best_threshold(odds, [one.candidate.f1 for one in asked], [bool(one.question.answers) for one in asked])
    others = sum(one.score.f1 for one in judged if one.answer.null_odds is None)  # of empty contexts
    return Threshold(best.odds, (best.score * len(asked) + others) / max(len(judged), 1))


def threshold_of(judged: Sequence[Judged]) -> float | None:
    """The best threshold; None where every question has an answer."""
    return None if all(one.question.answers for one in judged) else best_with(judged).odds


def mean(scores: Sequence[Score]) -> Score:
    """Exact match and F1 of many; 0 of none."""
    count = max(len(scores), 1)
    return Score(sum(one.exact for one in scores) / count, sum(one.f1 for one in scores) / count)


class Heldout:
    """Held-out questions, cut into windows once, for every validation of a model."""

    def __init__(self, questions: Sequence[Question], tokenizer: Tokenizer, reading: Reading, model: Model) -> None:
        self.questions, self.answerer = questions, Answerer(model, tokenizer, reading)
        self.contexts = contexts_of(tokenizer, (one.context for one in questions))
        asked = tokenizer.encode_many([one.question for one in questions])
        self.windows = [
            list(windows_of(tokenizer, ids, self.contexts[one.context], reading))
            for one, ids in zip(questions, asked, strict=True)
        ]
        # What has no known place cannot be measured by the loss, only by its words.
        self.wanted = [
            [] if one.wrong else [wanted(one, self.contexts[one.context], window) for window in windows]
            for one, windows in zip(questions, self.windows, strict=True)
        ]

    def validation(self) -> Validation:
        """Loss in nats a window, exact match and F1 (with the best threshold, where some have no answer)."""
        judged, loss = self._read()
        self.answerer.threshold = threshold_of(judged)
        answers = [self._said(one.answer) for one in judged]
        said = judge(self.questions, answers)
        scores = mean([one.score for one in said])
        shown = list(zip(self.questions, answers, strict=True))[:SAMPLES]
        samples = tuple(Sample(one.question, right_of(one), answer.text) for one, answer in shown)
        return Validation({"loss": loss, "exact": scores.exact, "f1": scores.f1}, samples)

    def threshold(self) -> float | None:
        """The best threshold for the weights as they are."""
        return threshold_of(self._read()[0])

    def _said(self, answer: Answer) -> Answer:
        threshold, odds = self.answerer.threshold, answer.null_odds
        if threshold is None or odds is None or odds <= threshold:
            return answer
        return Answer("", None, None, None, 1.0, odds, None, answer.best)

    def _read(self) -> tuple[list[Judged], float]:
        """The best candidates and the mean loss."""
        answerer = self.answerer
        answerer.threshold = None
        flat = [window for own in self.windows for window in own]
        logits = iter(read_windows(answerer.model, flat, answerer.device))
        answers, losses = [], []
        for question, windows, places in zip(self.questions, self.windows, self.wanted, strict=True):
            own = [next(logits) for _ in windows]
            losses += [_loss(one, place) for one, place in zip(own, places, strict=False)]
            answers.append(answerer.choose(self.contexts[question.context], windows, own))
        return judge(self.questions, answers), float(np.mean(losses)) if losses else 0.0


def _loss(logits: npt.NDArray[np.float32], place: tuple[int, int]) -> float:
    """The mean negative log-likelihood of both places, as `objectives.span` has it."""
    exact = logits.astype(np.float64)
    highest = exact.max(0)
    total = highest + np.log(np.exp(exact - highest).sum(0))
    return float((total - exact[list(place), [0, 1]]).mean())
