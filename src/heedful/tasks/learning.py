"""A task as the training loop sees it, put together from functions; what every task but translation is trained by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..model.embeddings import TokenInput
from ..model.heads import Labels
from ..model.layout import Layout
from ..model.model import Model
from ..model.plan import Tokens
from ..train.validation import Validation


@dataclass
class Batch:
    """One micro-batch on the model's device. `tokens` is what the loss is a mean over: of the head that counts most."""

    tokens: int
    inputs: dict[str, Any]
    labels: dict[str, Labels]


def twice(given: TokenInput) -> TokenInput:
    """All rows, and all rows again after them: what R-drop compares."""
    lengths = np.concatenate([given.layout.lengths] * 2)
    segments = None if given.segments is None else torch.cat([given.segments] * 2)
    return TokenInput(torch.cat([given.ids] * 2), Layout.packed(lengths, given.layout.device), segments)


def segmented(model: Model, segments: torch.Tensor) -> torch.Tensor | None:
    """Segment ids for a model that tells texts apart by them; RoBERTa's kind has but one segment."""
    embedding = model.plan.stream("text").embedding
    return segments if isinstance(embedding, Tokens) and embedding.segments > 1 else None


@dataclass
class Learning:
    """`epoch` gives an epoch's micro-batches, `batch` one of them, `scores` a validation, `save` RUN/model."""

    model: Model
    epoch: Callable[[int], Sequence[Any]]
    batch: Callable[[Any, int], Batch]
    scores: Callable[[Model], Validation]
    save: Callable[[Path, Model], None]

    @property
    def width(self) -> int:
        return self.model.plan.streams[0].width

    def micro_batches(self, epoch: int) -> Sequence[Any]:
        return self.epoch(epoch)

    def collate(self, micro_batch: Any, epoch: int) -> Batch:
        return self.batch(micro_batch, epoch)

    def validate(self, model: nn.Module) -> Validation:
        assert isinstance(model, Model)
        return self.scores(model)

    def finish(self, run: Path, model: nn.Module) -> None:
        assert isinstance(model, Model)
        self.save(run / "model", model)
