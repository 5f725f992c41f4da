"""The mean of several checkpoints' weights (Vaswani et al. 2017, 6.1 averages the last 5 or 20)."""

from __future__ import annotations

import torch
from torch import Tensor

from .checkpoint import Checkpoint


def average(checkpoints: list[Checkpoint], stem: str = "model") -> dict[str, Tensor]:
    """The mean of the fp32 weights, added up in fp64 in the order given; one tensor's worth of memory at a time.

    `stem` "ema" averages the running averages instead.
    """
    names = list(checkpoints[0].tensors(stem))
    mean = {}
    for name in names:
        parts = [checkpoint.tensors(stem, [name])[name] for checkpoint in checkpoints]
        total = torch.zeros(parts[0].shape, dtype=torch.float64)
        for part in parts:
            total += part
        mean[name] = (total / len(parts)).to(parts[0].dtype)
    return mean
