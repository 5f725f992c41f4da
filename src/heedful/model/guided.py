"""The chunked cross-entropy in company: a second pass to agree with (R-drop), a teacher to learn from.

As in heads.py, logits are made and used up a chunk of rows at a time, the teacher's too, and the gradients are made in
the forward pass while the logits are at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

CHUNK = 128  # rows of logits that exist at a time, of each pass and of the teacher: several tables share a cache


@dataclass
class Teacher:
    """What another model says about the same rows, as its `states` [n, its width] before its output layer.

    `share` is its part of the loss: (1 - share) x cross-entropy + share x temperature^2 x KL(teacher || student), both
    distributions softened by the temperature (Hinton et al. 2015, 2; for translation Kim & Rush 2016, 3.1).
    """

    states: Tensor
    weight: Tensor
    bias: Tensor | None
    share: float
    temperature: float = 1.0

    def chances(self, rows: slice) -> tuple[Tensor, Tensor]:
        """Softened chances [rows, vocab] and their logarithms, in fp32."""
        logarithms = _log_chances(self.states[rows], self.weight, self.bias, self.temperature)
        return logarithms.exp(), logarithms


class GuidedCrossEntropy(torch.autograd.Function):
    """The summed loss [()] of states @ weight.T + bias; nll and correct, of the first pass, have no gradient.

    With `r_drop` = alpha > 0, row i of n is paired with row n + i, the same example under another dropout; a pair costs
    half of Liang et al. 2021, equation 4: (CE1 + CE2) / 2 + alpha / 4 x (KL(1 || 2) + KL(2 || 1)), so that the sum is
    that of n rows and compares with one pass. `ids` are those of the n. Smoothing belongs to CE alone.
    """

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx,
        states: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        ids: Tensor,
        smoothing: float,
        r_drop: float,
        teacher: Teacher | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        exact = torch.float32 if states.device.type == "mps" else torch.float64  # mps has no float64
        loss, nll = (torch.zeros((), dtype=exact, device=states.device) for _ in range(2))
        correct = torch.zeros((), dtype=torch.long, device=states.device)
        passes, count, share = 2 if r_drop else 1, len(ids), teacher.share if teacher is not None else 0.0
        sums = _Sums(states, weight, bias, passes)
        # Made once: memory that is new for every chunk costs as much as what is done in it.
        tables = states.new_empty(2 * passes, min(CHUNK, count), len(weight), dtype=torch.float32).unbind(0)
        for begin in range(0, count, CHUNK):
            rows = [slice(at + begin, at + min(begin + CHUNK, count)) for at in (0, count)[:passes]]
            wanted = ids[rows[0], None]
            logarithms = [
                _log_chances(states[some], weight, bias, place=place[: len(wanted)])
                for some, place in zip(rows, tables, strict=False)
            ]
            target = logarithms[0].gather(1, wanted)
            nll -= target.sum(dtype=exact)
            correct += (target >= logarithms[0].amax(-1, keepdim=True)).sum()
            costs = [_plain(one, wanted, smoothing) for one in logarithms]
            loss += (1.0 - share) * torch.stack(costs).sum(dtype=exact)
            corrections = []
            if teacher is not None:
                said = teacher.chances(rows[0])
                learned = [_learned(one, said, teacher.temperature) for one in logarithms]
                loss += share * torch.stack([further for further, _ in learned]).sum(dtype=exact)
                corrections = [correction for _, correction in learned]
            errors, apart = _errors(logarithms, tables[passes:], 1.0 - share, 0.5 * r_drop)
            loss += 0.5 * r_drop * apart.sum(dtype=exact)
            for error, correction in zip(errors, corrections, strict=False):
                error.add_(correction, alpha=share)
            for error in errors:
                error.scatter_add_(1, wanted, error.new_full(wanted.shape, (1.0 - share) * (smoothing - 1.0)))
            sums.add(errors, rows)
        ctx.save_for_backward(*sums.taken((1.0 - share) * smoothing / weight.shape[0]))
        nll = nll.float()
        ctx.mark_non_differentiable(nll, correct)
        return loss.div_(passes).float(), nll, correct

    @staticmethod
    def backward(ctx, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
        scaled = [part * gradient.to(part.dtype) for part in ctx.saved_tensors]
        return (*scaled, *[None] * (7 - len(scaled)))


def _log_chances(
    states: Tensor, weight: Tensor, bias: Tensor | None, temperature: float = 1.0, place: Tensor | None = None
) -> Tensor:
    """Logarithms of the softened chances [n, vocab], in fp32, in `place` if given."""
    logits = torch.nn.functional.linear(states, weight, bias)
    logits = logits.float() if place is None else place.copy_(logits)
    return torch.log_softmax(logits if temperature == 1.0 else logits.div_(temperature), -1, out=logits)


def _plain(logarithms: Tensor, wanted: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy with label smoothing [n]."""
    cost = logarithms.gather(1, wanted).mul_(smoothing - 1.0).squeeze(1)
    return cost if not smoothing else cost.sub_(logarithms.sum(-1), alpha=smoothing / logarithms.shape[1])


def _learned(logarithms: Tensor, said: tuple[Tensor, Tensor], temperature: float) -> tuple[Tensor, Tensor]:
    """temperature^2 x KL(teacher || student) [n] and its gradient in the student's logits [n, vocab]."""
    chances, known = said
    if temperature != 1.0:
        logarithms = (logarithms / temperature).log_softmax(-1)
    cost = torch.mul(known - logarithms, chances).sum(-1).mul_(temperature**2)
    return cost, logarithms.exp().sub_(chances).mul_(temperature)


def _errors(
    logarithms: Sequence[Tensor], places: Sequence[Tensor], plain: float, weight: float
) -> tuple[list[Tensor], Tensor]:
    """For each pass `plain` x its chances [n, vocab], to which belongs what is subtracted where a class is wanted; for
    two passes with `weight` x the gradient of KL(1 || 2) + KL(2 || 1), and these [n]. The logarithms are used up;
    `places` are for the chances.

    The gradient of KL(p || q) is p x (d - E_p[d]) in the logits of p, with d = log p - log q, and q - p in those of q.
    Few passes over the tables: each is as long as all the arithmetic on it.
    """
    chances = [torch.exp(one, out=place[: len(one)]) for one, place in zip(logarithms, places, strict=True)]
    if len(chances) == 1:
        return [chances[0].mul_(plain)], chances[0].new_zeros(())
    gap = logarithms[0].sub_(logarithms[1])
    first, second = (torch.linalg.vecdot(chance, gap)[:, None] for chance in chances)
    here = torch.add(plain + weight - weight * first, gap, alpha=weight, out=logarithms[1])
    here.mul_(chances[0]).sub_(chances[1], alpha=weight)
    there = torch.sub(plain + weight + weight * second, gap, alpha=weight, out=gap)
    there.mul_(chances[1]).sub_(chances[0], alpha=weight)
    return [here, there], (first - second).squeeze(1)


class _Sums:
    """Gradients of the summed loss to states [passes x n, width], weight [vocab, width] and bias [vocab]: the mean over
    the passes of what errors [rows, vocab] give them."""

    def __init__(self, states: Tensor, weight: Tensor, bias: Tensor | None, passes: int) -> None:
        self.states, self.weight, self.passes = states, weight, passes
        self.to_states = torch.empty_like(states)
        self.to_weight = torch.zeros_like(weight, dtype=torch.float32)
        self.to_bias = None if bias is None else torch.zeros_like(bias, dtype=torch.float32)
        self.room = weight.new_empty(passes, min(CHUNK, len(states) // passes), len(weight))

    def add(self, errors: list[Tensor], rows: list[slice]) -> None:
        """The errors of the same examples in each pass, by one product for them all."""
        count = len(errors[0])
        for error, place in zip(errors, self.room, strict=True):
            torch.mul(error, 1.0 / self.passes, out=place[:count])
        together = self.room[:, :count].reshape(-1, len(self.weight))
        for some, part in zip(rows, (together @ self.weight).split(count), strict=True):
            self.to_states[some] = part
        states = torch.cat([self.states[some] for some in rows])
        if self.weight.dtype == torch.float32:
            self.to_weight.addmm_(together.t(), states)
        else:
            self.to_weight += together.t() @ states
        if self.to_bias is not None:
            self.to_bias += together.sum(0, dtype=torch.float32)

    def taken(self, uniform: float) -> list[Tensor]:
        """All of them, in the weight's precision, with `uniform` less for every class of every row: what smoothing asks
        for, the same for all rows and so kept out of the passes over logits."""
        if uniform:
            seen, mean = self.states.sum(0, dtype=torch.float32), self.weight.sum(0, dtype=torch.float32)
            self.to_states -= (uniform / self.passes * mean).to(self.to_states.dtype)
            self.to_weight -= uniform / self.passes * seen
            if self.to_bias is not None:
                self.to_bias -= uniform / self.passes * len(self.states)
        found = [self.to_states, self.to_weight, *([] if self.to_bias is None else [self.to_bias])]
        return [part.to(self.weight.dtype) for part in found]
