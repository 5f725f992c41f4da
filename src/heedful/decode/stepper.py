"""One decoding step: from the newest tokens to the logits of the next ones.

`Model.step` serves every plan. For plans of the usual kind on a CPU in fp32 the step is lowered: a flat list of actions
on buffers that are laid out once, with the weights at hand (`lowered.py`). Both give the same numbers to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from ..model.cache import Cache
from ..model.embeddings import TokenInput
from ..model.hardware import Choices
from ..model.layout import Layout
from ..model.model import Model
from ..model.plan import Head
from ..model.probe import addresses


class Stepper(Protocol):
    """Goes from token to token, for the rows of one batch; holds their cache."""

    def prefill(self, prompt: TokenInput) -> Tensor:
        """Read the prompt of every row; logits [rows, vocab] of what follows."""
        ...

    def step(self, tokens: Tensor, parents: Tensor | None = None) -> Tensor:
        """Logits [rows x slots, vocab] after these tokens [rows x slots]; the next step may overwrite them.

        Each hypothesis descends from the one at `parents` [rows, slots] of the step before (None: from itself).
        """
        ...

    def fork(self, slots: int) -> None:
        """From here every row has `slots` hypotheses."""
        ...

    def keep(self, rows: Tensor) -> None:
        """Only these rows go on."""
        ...


class ModelStepper:
    """Any plan, by `Model.step`."""

    def __init__(
        self, model: Model, head: Head, rows: int, states: Mapping[str, Tensor], layouts: Mapping[str, Layout]
    ) -> None:
        self.model, self.head, self.stream = model, head.name, head.streams[0]
        self.states, self.layouts = states, layouts
        self.cache = Cache(rows, 1, next(model.parameters()).device)
        model.settle(self.stream, states, layouts, self.cache)

    def prefill(self, prompt: TokenInput) -> Tensor:
        states = self.model.prefill(self.stream, prompt, self.states, self.layouts, self.cache)
        ends = torch.from_numpy(prompt.layout.starts + prompt.layout.lengths - 1).to(states.device)
        return self.model.logits(self.head, {self.stream: states}, {}, ends)

    def step(self, tokens: Tensor, parents: Tensor | None = None) -> Tensor:
        self.cache.grow(parents)
        states = self.model.step(self.stream, tokens, self.cache)
        return self.model.logits(self.head, {self.stream: states}, {})

    def fork(self, slots: int) -> None:
        self.cache.fork(slots)

    def keep(self, rows: Tensor) -> None:
        self.cache.keep(rows)


def stepper(
    model: Model,
    head: Head,
    rows: int,
    states: Mapping[str, Tensor],
    layouts: Mapping[str, Layout],
    choices: Choices | None = None,
) -> Stepper:
    """The fastest stepper that this model's plan allows; one that a probe is felt by, where it watches what is
    decoded."""
    from .lowered import LoweredStepper
    from .lowering import lowered

    weights = None if _watched(model, head.streams[0]) else lowered(model, head, choices)
    if weights is None:
        return ModelStepper(model, head, rows, states, layouts)
    return LoweredStepper(model, head, weights, rows, states, layouts)


def _watched(model: Model, stream: str) -> bool:
    """Whether a probe wants anything of a stream."""
    probe = model.probe
    return probe is not None and any(
        probe.wants(address) for address in addresses(model.plan) if address.startswith(f"{stream}.")
    )
