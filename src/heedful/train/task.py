"""All that the training loop knows of a task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from .validation import Validation


class Losses(Protocol):
    """Sums over the scored tokens of one head; `loss` is differentiable and smoothed, `nll` is neither."""

    loss: Tensor
    nll: Tensor
    correct: Tensor
    count: int


class Batch(Protocol):
    """A micro-batch. `tokens` counts its real target tokens before the forward pass: the loss is a mean over them."""

    tokens: int
    inputs: Any
    labels: Any


class Task(Protocol):
    """A model and its data. `width` is the model's, which the "noam" schedule scales with.

    `model(inputs, labels, smoothing)` returns Losses by head. `micro_batches` is a pure function of the epoch and of
    nothing else; `collate` puts one of them on the model's device; `validate` finds the model in fp32 and evaluation
    mode, and leaves it as it was; `finish` writes RUN/model from the final fp32 weights.
    """

    model: nn.Module
    width: int

    def micro_batches(self, epoch: int) -> Sequence[Any]: ...
    def collate(self, micro_batch: Any, epoch: int) -> Batch: ...
    def validate(self, model: nn.Module) -> Validation: ...
    def finish(self, run: Path, model: nn.Module) -> None: ...
