"""A running average of the weights (Polyak & Juditsky 1992), kept in fp32 beside them.

After update t it moves towards the weights by 1 - min(decay, (1 + t) / (10 + t)): young averages forget quickly, so
that the first weights do not stay in them for long. The ramp is that of TensorFlow's ExponentialMovingAverage.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .checkpoint import require_same


class Ema:
    """The average of named fp32 weights; it begins as a copy of them."""

    def __init__(self, weights: Mapping[str, Tensor], decay: float) -> None:
        self.decay = decay
        self.weights = {name: weight.detach().clone() for name, weight in weights.items()}

    @torch.no_grad()
    def update(self, weights: Mapping[str, Tensor], updates: int) -> None:
        """Take in the weights after so many updates."""
        decay = min(self.decay, (1 + updates) / (10 + updates))
        torch._foreach_lerp_(list(self.weights.values()), [weights[name] for name in self.weights], 1.0 - decay)

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Take over an average from a checkpoint. UserError if it is another model's."""
        require_same(weights, self.weights)
        for name, weight in self.weights.items():
            weight.copy_(weights[name])
