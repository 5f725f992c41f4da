"""Several models with one vocabulary, decoded as one: the mean of their probabilities at every token.

The mean is taken of probabilities, as fairseq and Marian's users know it, not of log-probabilities: a token that one
model thinks impossible may still be said. So every search works, and the same model twice answers as it does alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import UserError
from ..model.embeddings import TokenInput
from .stepper import Stepper

if TYPE_CHECKING:
    from .engine import Decoded


def mixture(logits: Sequence[Tensor]) -> Tensor:
    """The logarithm [rows, vocab] of the mean of the probabilities that these logits stand for."""
    together = torch.stack([each.float().log_softmax(-1) for each in logits])
    return together.logsumexp(0) - math.log(len(logits))


class Ensemble:
    """A stepper over one of each model."""

    def __init__(self, steppers: Sequence[Stepper]) -> None:
        self.steppers = steppers

    def prefill(self, prompt: TokenInput) -> Tensor:
        return mixture([steps.prefill(prompt) for steps in self.steppers])

    def step(self, tokens: Tensor, parents: Tensor | None = None) -> Tensor:
        return mixture([steps.step(tokens, parents) for steps in self.steppers])

    def fork(self, slots: int) -> None:
        for steps in self.steppers:
            steps.fork(slots)

    def keep(self, rows: Tensor) -> None:
        for steps in self.steppers:
            steps.keep(rows)


class Together:
    """What the engine asks of `Decoded`, of several models at once. UserError if they cannot be decoded as one."""

    def __init__(self, parts: Sequence[Decoded]) -> None:
        if not parts:
            raise UserError("no model to decode; give one, or a list of one or more")
        self.parts, first = parts, parts[0]
        self.options, self.prompted = first.options, first.prompted
        self.vocab, self.device = first.vocab, first.device
        alike = lambda part: (part.vocab, part.reads and part.reads.vocab, part.source is None, part.device)
        for number, part in enumerate(parts):
            if alike(part) != alike(first):
                raise UserError(
                    f"models 0 and {number} differ in vocabulary ({first.vocab} and {part.vocab} tokens), device or "
                    "kind (with or without a source); an ensemble needs all three the same"
                )

    def check(self, number: int, ids: Sequence[int]) -> None:
        for part in self.parts:
            part.check(number, ids)

    def longest(self, tokens: int) -> int:
        return min(part.longest(tokens) for part in self.parts)

    def evaluate(self) -> None:
        for part in self.parts:
            part.evaluate()

    def begin(self, rows: Sequence[Sequence[int]]) -> tuple[Stepper, Tensor]:
        begun = [part.begin(rows) for part in self.parts]
        return Ensemble([steps for steps, _ in begun]), mixture([logits for _, logits in begun])
