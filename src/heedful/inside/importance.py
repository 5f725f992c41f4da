"""How much each attention head matters to given examples ("Are sixteen heads really better than one?", Michel et al.
2019). What is judged is a unit, as in `model.pruning`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..model.embeddings import Input
from ..model.heads import Labels, LossSums
from ..model.layout import Layout
from ..model.model import Model
from ..model.plan import Attend
from ..model.probe import Probe
from ..model.pruning import attentions
from .probing import Edit
from .rescoring import evaluating

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
    with evaluating(model):
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


def ablation(model: Model, batches: Iterable[Batch]) -> Scores:
    """For each attention, by address, by how much the mean loss grows (nats per label of all heads) without each of its
    units: nothing of it leaves the attention. Below 0, the model is better off without it.

    Exact, one pass per unit from its step on (section 3.2 there measures so, one head at a time); `importance` is its
    first-order estimate. The model is asked in evaluation mode and left as it was.
    """
    attends = dict(attentions(model.plan))
    sums = {address: np.zeros(attend.kv_heads) for address, attend in attends.items()}
    count = 0
    with evaluating(model), torch.no_grad():
        for inputs, labels in batches:
            layouts, done = {name: given.layout for name, given in inputs.items()}, 0
            states = {name: model.embedded(name, given) for name, given in inputs.items()}
            whole = _losses(model, states, layouts, labels)
            count += sum(loss.count for loss in whole.values())
            for step, where, block in model.plan.blocks():
                states, done = model.run(states, layouts, first=done, last=step), step
                for address in (f"{where}.{attend.stream}" for attend in block.attends):
                    for unit in range(attends[address].kv_heads):
                        without = _losses(model, states, layouts, labels, step, _off(address, unit, attends[address]))
                        sums[address][unit] += sum(
                            float(loss.loss - whole[name].loss) for name, loss in without.items()
                        )
    return {address: grown / max(1, count) for address, grown in sums.items()}


def _losses(
    model: Model,
    states: Mapping[str, Tensor],
    layouts: Mapping[str, Layout],
    labels: Mapping[str, Labels],
    first: int = 0,
    probe: Probe | None = None,
) -> dict[str, LossSums]:
    """Loss sums of the labelled heads that read the streams after step `first`, whose states are given."""
    sums: dict[str, LossSums] = {}
    steps = len(model.plan.steps)
    ends = {head.name: steps if head.before is None else head.before for head in model.plan.heads}
    for last in sorted({ends[name] for name in labels}):
        if last > first:
            states = model.run(states, layouts, probe=probe, first=first, last=last)
            first = last
            sums |= {
                name: model.head_loss(name, states, layouts, given, 0.0)
                for name, given in labels.items()
                if ends[name] == last
            }
    return sums


def _off(address: str, unit: int, attend: Attend) -> Edit:
    """Nothing of a unit leaves its attention; the kernel need not be left for it."""

    def change(at: str, value: Tensor, rows: Tensor | None) -> Tensor:
        mixed = value.view(len(value), attend.kv_heads, -1).clone()
        mixed[:, unit] = 0.0
        return mixed.view(value.shape)

    return Edit((f"{address}.mixed",), change)


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
