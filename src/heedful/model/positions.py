"""Positions as data: every scheme is a function of (query position, key position), never of an axis index."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .plan import Attend


def sinusoids(positions: int, width: int, arrangement: str) -> Tensor:
    """[positions, width] sines and cosines of wave lengths 2 pi to 10000 x 2 pi (Vaswani et al. 2017, 3.5).

    "interleaved" alternates sine and cosine as the paper does; "halves" puts all sines first (Marian), and so does
    "fairseq", whose last wave length is 10000 x 2 pi (as in tensor2tensor) and whose odd last column is 0.
    """
    position = torch.arange(positions, dtype=torch.float64)[:, None]
    even = torch.arange(0, width, 2, dtype=torch.float64)
    base = torch.tensor(10000.0, dtype=torch.float64)
    table = torch.zeros(positions, width, dtype=torch.float64)
    if arrangement == "fairseq":
        half = width // 2
        angle = position * torch.pow(base, -torch.arange(half, dtype=torch.float64) / max(1, half - 1))
        table[:, :half], table[:, half : 2 * half] = angle.sin(), angle.cos()
        return table.float()
    angle = position / torch.pow(base, even / width)
    if arrangement == "halves":
        half = (width + 1) // 2
        table[:, :half] = angle.sin()
        table[:, half:] = angle.cos()[:, : width - half]
    else:
        table[:, 0::2] = angle.sin()
        table[:, 1::2] = angle.cos()[:, : width // 2]
    return table.float()


def rotation(positions: Tensor, head_width: int, base: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines [tokens, head width] of rotary positions (Su et al. 2021, 3.4.2), halves paired."""
    frequency = torch.pow(
        base, -torch.arange(0, head_width, 2, dtype=torch.float64, device=positions.device) / head_width
    )
    angle = positions.double()[:, None] * frequency
    angle = torch.cat([angle, angle], -1)
    return angle.cos().float(), angle.sin().float()


def rotate(states: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """`states` [..., tokens, head width] turned by their positions; `turn` broadcasts against it."""
    cosine, sine = (part.to(states.dtype) for part in turn)
    half = states.shape[-1] // 2
    turned = torch.cat([-states[..., half:], states[..., :half]], -1)
    return states * cosine + turned * sine


def alibi_slopes(heads: int) -> Tensor:
    """Slope of each head's linear penalty (Press et al. 2022, 3): a geometric series starting at 2^(-8 / heads)."""
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2.0 ** (-8.0 * (i + 1) / power) for i in range(power)]
    # Heads beyond the power of two take every second slope of the next finer series, as the authors do.
    slopes += [2.0 ** (-4.0 * (2 * i + 1) / power) for i in range(heads - power)]
    return torch.tensor(slopes)


def bucket(distance: Tensor, buckets: int, furthest: int, two_sided: bool) -> Tensor:
    """T5's relative buckets (Raffel et al. 2020, 2.1) of `distance` = key position - query position.

    Half the buckets (of each side, if two-sided) are exact; the rest grow logarithmically up to `furthest`.
    """
    result = torch.zeros_like(distance)
    if two_sided:
        buckets //= 2
        result = (distance > 0).long() * buckets
        distance = distance.abs()
    else:
        distance = (-distance).clamp(min=0)
    exact = buckets // 2
    if not 0 < exact < furthest:
        raise ValueError(
            f"{buckets} relative buckets a side need at least 2, and a distance above {exact}, not {furthest}"
        )
    far = exact + (
        torch.log(distance.clamp(min=1).float() / exact) / math.log(furthest / exact) * (buckets - exact)
    ).long().clamp(max=buckets - exact - 1)
    return result + torch.where(distance < exact, distance, far)


def relative_bias(attend: Attend, query: Tensor, key: Tensor, table: Tensor | None) -> Tensor | None:
    """What positions add to the scores: [rows or 1, heads, queries, keys], or None where the scheme adds nothing.

    `query` and `key` are positions [rows or 1, 1, queries, 1] and [rows or 1, 1, 1, keys]; `table` [buckets, heads].
    """
    if attend.positions == "alibi":
        distance = (query - key).abs()
        return -distance * alibi_slopes(attend.heads).to(distance.device)[:, None, None]
    if attend.positions == "buckets":
        assert table is not None, "relative buckets need their table"
        index = bucket(key - query, attend.buckets, attend.bucket_distance, two_sided=attend.mask == "open")
        return table[index[:, 0]].permute(0, 3, 1, 2)
    return None
