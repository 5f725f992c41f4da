"""The position-wise network of a block, and the activations by name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import plan
from .norms import norm
from .probe import Probe, see


def gelu_quick(states: Tensor) -> Tensor:
    """x sigmoid(1.702 x), the approximation of Hendrycks & Gimpel 2016, 2."""
    return states * torch.sigmoid(1.702 * states)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu_,  # in place: both a fresh product of a linear layer, which does not need it again
    "gelu": functional.gelu,
    "gelu_tanh": lambda states: functional.gelu(states, approximate="tanh"),
    "gelu_quick": gelu_quick,
    "silu": functional.silu,
    "tanh": torch.tanh,
    "none": lambda states: states,
}


class FeedForward(nn.Module):
    """output(activation(inner(x))), or output(activation(gate(x)) * inner(x)) where gated. The block uses `norm`."""

    def __init__(self, sizes: plan.FeedForward, width: int, around: plan.Norm) -> None:
        super().__init__()
        self.inner = nn.Linear(width, sizes.width, bias=sizes.bias)
        self.gate = nn.Linear(width, sizes.width, bias=sizes.bias) if sizes.gated else None
        self.output = nn.Linear(sizes.width, width, bias=sizes.bias)
        self.norm = norm(around, width)
        self.activation = ACTIVATIONS[sizes.activation]

    def forward(self, states: Tensor, probe: Probe | None = None, address: str = "") -> Tensor:
        """states [tokens, width] -> [tokens, width]."""
        inner = self.inner(states)
        inner = self.activation(inner) if self.gate is None else self.activation(self.gate(states)) * inner
        return see(probe, address, "output", self.output(see(probe, address, "inner", inner)))
