"""One table: what gets which initialisation. Drawn by file address, in order, from one seeded generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .plan import Plan


def _xavier(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Uniform with variance 2 / (inputs + outputs) (Glorot & Bengio 2010, equation 16)."""
    bound = math.sqrt(6.0 / (shape[0] + shape[-1]))
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def _normal(shape: tuple[int, ...], generator: torch.Generator, deviation: float) -> Tensor:
    return torch.empty(shape).normal_(0.0, deviation, generator=generator)


def _truncated(shape: tuple[int, ...], generator: torch.Generator, deviation: float) -> Tensor:
    """Normal, redrawn outside two deviations (Devlin et al. 2019, released code)."""
    return torch.nn.init.trunc_normal_(torch.empty(shape), 0.0, deviation, -2 * deviation, 2 * deviation, generator)


def initial(plan: Plan, name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """The first value of one parameter.

    - every norm weight 1, every bias 0;
    - "transformer": Xavier-uniform matrices, embeddings N(0, 1 / width) as in the authors' code;
    - "bert": truncated N(0, 0.02) throughout (Devlin et al. 2019), in models narrower than BERT-base's 768 wider as
      the root of the width: queries and keys there would be so short that attention takes thousands of steps to wake;
    - "gpt2": N(0, 0.02), positions N(0, 0.01), projections into the residual scaled by 1 / sqrt(how many there are)
      (Radford et al. 2019, 2.3).
    """
    leaf = name.rsplit(".", 2)[-2:]
    if leaf[0] in ("norm", "attended_norm", "box_norm"):
        return torch.ones(shape) if leaf[1] == "weight" else torch.zeros(shape)
    if leaf[1] == "bias":
        return torch.zeros(shape)
    if leaf[1] in ("buckets", "first"):
        return _normal(shape, generator, 0.02)
    embedding = leaf[0] in ("tokens", "positions", "segments", "tasks")
    if plan.initialization == "transformer":
        return _normal(shape, generator, shape[1] ** -0.5) if embedding else _xavier(shape, generator)
    if plan.initialization == "bert":
        width = min(stream.width for stream in plan.streams)
        return _truncated(shape, generator, 0.02 * max(1.0, math.sqrt(768 / width)))
    if leaf[0] == "positions":
        return _normal(shape, generator, 0.01)
    residual = leaf[0] == "output" and not name.startswith("heads.")
    count = sum(len(block.attends) + (block.feedforward is not None) for _, _, block in plan.blocks())
    return _normal(shape, generator, 0.02 / math.sqrt(count) if residual else 0.02)
