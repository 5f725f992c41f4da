"""The chunked cross-entropy in company: a second pass to agree with (R-drop), a teacher to learn from.

As in heads.py, logits are made and used up a chunk of rows at a time, the teacher's too, and the gradients are made in
the forward pass while the logits are at hand.
"""

from __future__ import annotations

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
        passes, count = 2 if r_drop else 1, len(ids)
        sums = [torch.empty_like(states), torch.zeros_like(weight, dtype=torch.float32)]
        sums += [] if bias is None else [torch.zeros_like(bias, dtype=torch.float32)]
        for begin in range(0, count, CHUNK):
            rows = [slice(at + begin, at + min(begin + CHUNK, count)) for at in (0, count)[:passes]]
            wanted = ids[rows[0], None]
            said = None if teacher is None else teacher.chances(rows[0])
            logarithms = [_log_chances(states[some], weight, bias) for some in rows]
            target = logarithms[0].gather(1, wanted)
            nll -= target.sum(dtype=exact)
            correct += (target >= logarithms[0].amax(-1, keepdim=True)).sum()
            errors = []
            chances = [one.exp() for one in logarithms]
            for one, chance in zip(logarithms, chances, strict=True):
                cost, error = _plain(one, chance.clone() if r_drop else chance, wanted, smoothing)
                if teacher is not None and said is not None:
                    further, correction = _learned(one, said, teacher.temperature)
                    cost.lerp_(further, teacher.share)
                    error.lerp_(correction, teacher.share)
                loss += cost.sum(dtype=exact)
                errors.append(error)
            if r_drop:
                loss += 0.5 * r_drop * _disagree(logarithms, chances, errors, 0.5 * r_drop).sum(dtype=exact)
            for some, error in zip(rows, errors, strict=True):
                _add(sums, states, weight, some, error.div_(passes).to(weight.dtype))
        ctx.save_for_backward(*(part.to(weight.dtype) for part in sums))
        nll = nll.float()
        ctx.mark_non_differentiable(nll, correct)
        return loss.div_(passes).float(), nll, correct

    @staticmethod
    def backward(ctx, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
        scaled = [part * gradient.to(part.dtype) for part in ctx.saved_tensors]
        return (*scaled, *[None] * (7 - len(scaled)))


def _log_chances(states: Tensor, weight: Tensor, bias: Tensor | None, temperature: float = 1.0) -> Tensor:
    """Logarithms of the softened chances [n, vocab], in fp32."""
    logits = torch.nn.functional.linear(states, weight, bias).float()
    return torch.log_softmax(logits if temperature == 1.0 else logits.div_(temperature), -1, out=logits)


def _plain(logarithms: Tensor, chances: Tensor, wanted: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy with label smoothing [n] and its gradient in the logits [n, vocab], in the chances' place."""
    uniform = smoothing / logarithms.shape[1]
    cost = logarithms.gather(1, wanted).mul_(smoothing - 1.0).squeeze(1)
    if smoothing:
        cost -= uniform * logarithms.sum(-1)
        chances -= uniform
    return cost, chances.scatter_add_(1, wanted, chances.new_full(wanted.shape, smoothing - 1.0))


def _learned(logarithms: Tensor, said: tuple[Tensor, Tensor], temperature: float) -> tuple[Tensor, Tensor]:
    """temperature^2 x KL(teacher || student) [n] and its gradient in the student's logits [n, vocab]."""
    chances, known = said
    if temperature != 1.0:
        logarithms = (logarithms / temperature).log_softmax(-1)
    cost = torch.mul(known - logarithms, chances).sum(-1).mul_(temperature**2)
    return cost, logarithms.exp().sub_(chances).mul_(temperature)


def _disagree(logarithms: list[Tensor], chances: list[Tensor], errors: list[Tensor], weight: float) -> Tensor:
    """KL(1 || 2) + KL(2 || 1) [n]; `weight` x its gradient in the logits of both passes is added to `errors`.

    The gradient of KL(p || q) is p x (d - E_p[d]) in the logits of p, with d = log p - log q, and q - p in those of q.
    """
    gap, apart = logarithms[0] - logarithms[1], chances[0] - chances[1]
    expected = []
    for sign, chance, error in zip((1.0, -1.0), chances, errors, strict=True):
        pull = chance * gap
        expected.append(pull.sum(-1, keepdim=True))
        error.add_(pull.addcmul_(chance, expected[-1], value=-1.0).add_(apart), alpha=sign * weight)
    return (expected[0] - expected[1]).squeeze(1)


def _add(sums: list[Tensor], states: Tensor, weight: Tensor, rows: slice, error: Tensor) -> None:
    """The gradients that the errors [rows, vocab] of these rows give states, weight and bias."""
    to_states, to_weight, *to_bias = sums
    torch.mm(error, weight, out=to_states[rows])
    if weight.dtype == torch.float32:
        to_weight.addmm_(error.t(), states[rows])
    else:
        to_weight += error.t() @ states[rows]
    for bias in to_bias:
        bias += error.sum(0, dtype=torch.float32)
