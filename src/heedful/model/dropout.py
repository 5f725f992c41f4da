"""Dropout (Srivastava et al. 2014) drawn as bytes on a CPU: several times cheaper there than torch's own.

One random byte decides for one number, so p is rounded to the nearest 1/256 and the kept values are scaled by the
rounded rate. Other devices use torch's dropout. Both draw from torch's global generator.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


class _ByteDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx, states: Tensor, rate: int) -> Tensor:  # type: ignore[no-untyped-def]
        count = states.numel()
        words = torch.empty((count + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        random = words.view(torch.uint8)[:count].view(states.shape)
        ctx.save_for_backward(random)
        ctx.rate = rate
        return _apply(states, random, rate)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[no-untyped-def]
        (random,) = ctx.saved_tensors
        return _apply(gradient, random, ctx.rate), None


def _apply(states: Tensor, random: Tensor, rate: int) -> Tensor:
    # Comparing in floating point is what torch vectorises; comparing bytes and multiplying by the mask is slower.
    return random.to(states.dtype).ge_(rate - 0.5).mul_(256 / (256 - rate)).mul_(states)


def dropout(states: Tensor, p: float, training: bool) -> Tensor:
    """`states` with a share `p` of its numbers zeroed and the rest scaled up; unchanged outside training."""
    if not training or p == 0.0:
        return states
    if states.device.type != "cpu":
        return functional.dropout(states, p)
    rate = min(round(p * 256), 255)
    return states if rate == 0 else _ByteDropout.apply(states, rate)
