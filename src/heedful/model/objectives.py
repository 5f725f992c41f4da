"""What heads are trained for besides one class of many: sums of loss, negative log-likelihood and right answers.

Each takes logits in fp32 and what should have been said, and gives (loss, nll, correct); nothing scored costs 0.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .layout import Layout

Sums = tuple[Tensor, Tensor, Tensor]


def distribution(logits: Tensor, wanted: Tensor) -> Sums:
    """KL(wanted || predicted) [n, outputs], summed over classes and rows (Lu et al. 2019, 3.2)."""
    chances = logits.log_softmax(-1)
    loss = functional.kl_div(chances, wanted, reduction="sum")
    correct = (chances.argmax(-1) == wanted.argmax(-1)).sum() if len(logits) else _none(logits)
    return loss, loss.detach(), correct


def several(logits: Tensor, wanted: Tensor) -> Sums:
    """Each output a label of its own, there (1) or not (0) or partly: binary cross-entropy, summed over outputs.

    A row is right where every label above a half is said and no other.
    """
    loss = functional.binary_cross_entropy_with_logits(logits, wanted.to(logits), reduction="sum")
    return loss, loss.detach(), ((logits > 0) == (wanted > 0.5)).all(-1).sum()


def values(logits: Tensor, wanted: Tensor) -> Sums:
    """Numbers: half the squared error, summed (the negative log-likelihood of a unit Gaussian, but for a constant).

    No answer is right or wrong.
    """
    loss = 0.5 * (logits - wanted.to(logits)).square().sum()
    return loss, loss.detach(), _none(logits)


def span(logits: Tensor, wanted: Tensor, layout: Layout) -> Sums:
    """Where an answer begins and ends among the tokens of its row (Devlin et al. 2019, 4.2).

    `logits` [tokens, 2] are of a first and of a last token, `wanted` [rows, 2] their numbers in the stream. The loss of
    a row is the mean of both cross-entropies; it is right where both are likeliest.
    """
    row = layout.row[:, None].expand(-1, 2)
    if layout.keep is not None:
        logits = logits.masked_fill(~layout.keep.reshape(-1, 1), -torch.inf)
    highest = logits.detach().new_full((layout.rows, 2), -torch.inf).scatter_reduce(0, row, logits.detach(), "amax")
    sums = logits.new_zeros(layout.rows, 2).index_add(0, layout.row, (logits - highest[layout.row]).exp())
    said = logits.gather(0, wanted)
    nll = (highest + sums.log() - said).mean(-1).sum()
    return nll, nll.detach(), (said >= highest).all(-1).sum()


def contrast(vectors: Tensor, groups: Tensor, scale: float) -> Sums:
    """Each of the first n vectors is to be most like its partner among the second n, and the reverse (in-batch
    negatives: Henderson et al. 2017, 4; both ways: Radford et al. 2021, 2.3).

    `vectors` [2n, width]; `scale` multiplies cosines. Pairs that have one of their `groups` [n] or [n, k] in common
    are no negatives of each other: they say the same. Right is a first one whose partner is nearest.
    """
    first, second = functional.normalize(vectors, dim=-1).chunk(2)
    alike = scale * first @ second.T
    groups = groups[:, None] if groups.ndim == 1 else groups
    same = (groups[:, None] == groups[None]).any(-1)
    same.fill_diagonal_(False)
    alike = alike.masked_fill(same, -torch.inf)
    places = torch.arange(len(groups), device=vectors.device)
    ways = [functional.cross_entropy(one, places, reduction="sum") for one in (alike, alike.T)]
    loss = 0.5 * (ways[0] + ways[1])
    return loss, loss.detach(), (alike.argmax(-1) == places).sum() if len(groups) else _none(vectors)


def _none(like: Tensor) -> Tensor:
    return torch.zeros((), dtype=torch.long, device=like.device)
