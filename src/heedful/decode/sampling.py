"""Drawing tokens by chance: temperature, top-k, top-p, min-p. What a text draws depends on it and the seed alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import UserError


@dataclass(frozen=True)
class Sampling:
    """From which part of the distribution to draw; limits apply in the order listed, each to what the last left.

    `temperature` divides the logits. `top_k` keeps the k likeliest (0: all; Fan et al. 2018). `top_p` keeps the
    smallest set of likeliest tokens whose chances reach p, so that the token that crosses p is still in (Holtzman et
    al. 2020, 3.1). `min_p` keeps tokens at least that fraction as likely as the likeliest (Nguyen et al. 2024).
    The likeliest token is always kept. Same order and rules as Hugging Face's `generate`.
    """

    seed: int = 0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 < self.temperature < float("inf"):
            raise UserError(f"temperature = {self.temperature}; it must be above 0 (greedy search is the limit at 0)")
        if self.top_k < 0 or not 0.0 < self.top_p <= 1.0 or not 0.0 <= self.min_p <= 1.0:
            raise UserError(
                f"top_k = {self.top_k}, top_p = {self.top_p}, min_p = {self.min_p}; "
                "top_k is 0 or more, top_p above 0 up to 1, min_p 0 to 1"
            )


def uniforms(seed: int, sentence: int, sample: int, count: int) -> npt.NDArray[np.float64]:
    """`count` numbers in [0, 1) that depend on seed, sentence and sample alone, never on batch mates."""
    entropy = [seed & (2**64 - 1), sentence, sample]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy))).random(count)


def draw(logits: Tensor, chance: Tensor, sampling: Sampling) -> Tensor:
    """One token id [rows] from logits [rows, vocab], picked by `chance` [rows] in [0, 1).

    The kept tokens stand in order of falling chance; the one whose stretch of [0, 1) holds `chance` is drawn.
    """
    values, ids = _likeliest(logits, sampling.top_k)
    chances = (values.double() / sampling.temperature).softmax(-1)
    before = chances.cumsum(-1) - chances
    kept = chances
    if sampling.top_p < 1.0:
        kept = kept * (before < sampling.top_p)
    if sampling.min_p > 0.0:
        kept = kept / kept.sum(-1, keepdim=True)
        kept = kept * (kept >= sampling.min_p * kept[:, :1])
    reached = kept.cumsum(-1)
    # Of the tokens that were kept, so that rounding at the far end never picks one that was not.
    most = (kept > 0).sum(-1) - 1
    place = (reached <= chance[:, None].to(reached) * reached[:, -1:]).sum(-1)
    return ids.gather(1, torch.minimum(place, most)[:, None].clamp(min=0))[:, 0]


def _likeliest(logits: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Logits in falling order with their ids, the first `top_k` of them (0: all)."""
    if 0 < top_k < logits.shape[1]:
        return logits.topk(top_k, -1)
    values, ids = torch.sort(logits, dim=-1, descending=True, stable=True)
    return values, ids
