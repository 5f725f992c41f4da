"""A finished classifier: texts in, labels and their probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch

from ...data.labelled import Example
from ...data.spelled import Spelled, Words
from ...errors import UserError
from ...model.model import Model
from ...text.tokenizer import Tokenizer
from ..finding import find, load_for
from .preparing import Kept, table_of
from .training import answers

AT_A_TIME = 2048  # texts


class Answer(msgspec.Struct, frozen=True):
    """What a classifier says of a text: labels with their probabilities, likeliest first.

    With several labels an example, `labels` are those more likely than not, likeliest first, and each probability
    stands for itself. For a number `value` is it, and there are no labels.
    """

    labels: tuple[str, ...]
    chances: dict[str, float]
    value: float | None = None

    @property
    def label(self) -> str:
        """The answer as a word: the label, labels with commas in between, or the number."""
        return f"{self.value:.6g}" if self.value is not None else ",".join(self.labels)


class Classifier:
    """`kept` says what its answers are; texts of more than `longest` tokens are cut."""

    def __init__(self, model: Model, tokenizer: Tokenizer, kept: Kept, longest: int) -> None:
        self.model, self.tokenizer, self.kept, self.longest = model, tokenizer, kept, longest

    @property
    def labels(self) -> list[str]:
        return list(self.kept.labels)

    @property
    def pairs(self) -> bool | None:
        """Whether it reads pairs of texts; None: both, as it is not known what a model of another library was for."""
        return self.kept.pairs

    def classify(self, texts: Sequence[str] | Sequence[tuple[str, str]]) -> list[Answer]:
        """An answer for each text, or pair of texts; UserError for what is neither."""
        chances = self.chances(texts)
        if self.kept.kind == "number":
            return [Answer((), {}, float(value)) for value in chances[:, 0]]
        found = []
        for row in chances:
            order = np.argsort(-row, kind="stable")
            ranked = {self.kept.labels[place]: float(row[place]) for place in order}
            likely = [label for label, chance in ranked.items() if chance > 0.5]
            found.append(Answer(tuple(likely) if self.kept.kind == "several" else (next(iter(ranked)),), ranked))
        return found

    def chances(self, texts: Sequence[str] | Sequence[tuple[str, str]]) -> np.ndarray:
        """Probabilities [texts, labels] in the order of `labels`; numbers [texts, 1] as they were in training."""
        if isinstance(texts, str):
            raise UserError("classify takes a list of texts, not one text: classify([text])")
        examples = [Example(self._texts(given, number), "", "") for number, given in enumerate(texts)]
        parts = [self._chances(examples[n : n + AT_A_TIME]) for n in range(0, len(examples), AT_A_TIME)]
        return np.concatenate(parts) if parts else np.zeros((0, self.kept.outputs))

    def _texts(self, given: object, number: int) -> tuple[str, ...]:
        texts = (given,) if isinstance(given, str) else given
        if not isinstance(texts, (tuple, list)) or not all(isinstance(text, str) for text in texts):
            raise UserError(f"text {number} is {given!r}, not a text")
        if len(texts) not in ((1, 2) if self.pairs is None else (1 + self.pairs,)):
            known = {None: "one or two", True: "pairs", False: "one"}[self.pairs]
            raise UserError(f"text {number} is {len(texts)} texts; this model reads {known}")
        return tuple(texts)

    @torch.no_grad()
    def _chances(self, examples: list[Example]) -> np.ndarray:
        words = Words(self.tokenizer)
        table, _ = table_of(examples, words, self.longest)
        device = next(self.model.parameters()).device
        logits = answers(self.model, Spelled(table, words.spellings(), self.tokenizer, self.longest), device)
        if self.kept.kind == "number":
            return np.asarray(logits * self.kept.deviation + self.kept.mean)
        if self.kept.kind == "several":
            return np.asarray(1.0 / (1.0 + np.exp(-logits)))
        powers = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(powers / powers.sum(1, keepdims=True))


def load(path: str | Path) -> Classifier:
    """The classifier in a folder of a run or a model; UserError if it is another task's, or damaged."""
    model, extra, tokenizer = load_for(path, "classify")
    try:
        kept, longest = msgspec.convert(extra.get("answers"), Kept), msgspec.convert(extra.get("longest"), int)
    except msgspec.ValidationError as error:
        raise UserError(f"{find(path) / 'config.json'}: {error}; copy the model again") from None
    outputs = model.heads["label"].plan.outputs if "label" in model.heads else 0
    if outputs != kept.outputs or longest < 4:
        raise UserError(f"{find(path) / 'config.json'}: {outputs} outputs for {kept.outputs} labels; copy it again")
    return Classifier(model, tokenizer, kept, longest)
