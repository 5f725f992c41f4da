"""How much each attention head matters to given examples ("Are sixteen heads really better than one?", Michel et al.
2019). What is judged is a unit, as in `model.pruning`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..model.embeddings import Input
from ..model.heads import Labels
from ..model.layout import Layout
from ..model.model import Model
from ..model.plan import Attend
from ..model.pruning import attentions

Batch = tuple[Mapping[str, Input], Mapping[str, Labels]]
Scores = dict[str, npt.NDArray[np.float64]]


def importance(model: Model, batches: Iterable[Batch]) -> Scores:
    """For each attention, by address (`target.3.source`), the importance of each of its units.

    The mean over rows of |d loss / d gate|, a gate of 1 on what leaves the unit (section 4, equation 2), divided by the
    Euclidean norm over the attention's units. An attention that nothing depends on has zeros. `batches` are inputs and
    labels; the model is asked in evaluation mode and left as it was.
    """
    attends = dict(attentions(model.plan))
    sums = {address: np.zeros(attend.kv_heads) for address, attend in attends.items()}
    training = model.training
    model.eval()
    for inputs, labels in batches:
        probe = _Gates(attends, {name: given.layout for name, given in inputs.items()})
        with torch.enable_grad():
            states, layouts = model.encode(inputs, probe=probe)
            losses = [model.head_loss(name, states, layouts, given, 0.0).loss for name, given in labels.items()]
            nudges = [nudge for _, nudge in probe.seen.values()]
            gradients = torch.autograd.grad(torch.stack(losses).sum(), nudges, allow_unused=True)
        for address, gradient in zip(probe.seen, gradients, strict=True):
            if gradient is not None:
                sums[address] += probe.units(address, gradient)
    model.train(training)
    return {address: found / (np.linalg.norm(found) or 1.0) for address, found in sums.items()}


class _Gates:
    """A probe that keeps what leaves the heads of every attention, and adds a zero whose gradient can be asked for."""

    def __init__(self, attends: Mapping[str, Attend], layouts: Mapping[str, Layout]) -> None:
        self.attends, self.layouts = attends, layouts
        self.seen: dict[str, tuple[Tensor, Tensor]] = {}

    def wants(self, address: str) -> bool:
        return address.removesuffix(".mixed") in self.attends

    def see(self, address: str, value: Tensor, rows: Tensor | None = None) -> Tensor:
        nudge = torch.zeros_like(value, requires_grad=True)
        self.seen[address.removesuffix(".mixed")] = value.detach(), nudge
        return value + nudge

    def units(self, address: str, gradient: Tensor) -> npt.NDArray[np.float64]:
        """|d loss / d gate| of each unit, summed over rows: a gate's gradient is the sum of value x gradient."""
        layout, kv_heads = self.layouts[address.split(".")[0]], self.attends[address].kv_heads
        each = (self.seen[address][0] * gradient).view(layout.tokens, kv_heads, -1).sum(-1)
        rows = torch.zeros(layout.rows, kv_heads, dtype=each.dtype, device=each.device)
        found: npt.NDArray[np.float64] = rows.index_add_(0, layout.row, each).abs().sum(0).double().cpu().numpy()
        return found


def least_important(found: Scores, share: float) -> dict[str, list[int]]:
    """The units to keep, by attention, when `share` of all are to go: the least important first (section 4.1).

    One unit stays in every attention, so fewer may go than asked for.
    """
    ranked = sorted((score, address, unit) for address, scores in found.items() for unit, score in enumerate(scores))
    keep = {address: list(range(len(scores))) for address, scores in found.items()}
    left = round(share * len(ranked))
    for _, address, unit in ranked:
        if left and len(keep[address]) > 1:
            keep[address].remove(unit)
            left -= 1
    return keep
