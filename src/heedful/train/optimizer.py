"""AdamW over named weights whose truth is fp32, whatever precision the model computes in.

fp32: the model's parameters are the truth. bf16: the model holds a bf16 working copy; the truth is an fp32 master that
the optimizer updates, checkpoints hold and averages are made of (Micikevicius et al. 2018, 3.1).
Gradients arrive as SUMS over tokens and are divided once, after all micro-batches and ranks have been added up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version
from torch.utils.hooks import RemovableHandle

from ..config import Training
from .checkpoint import require_same
from .distributed import World


class Optimizer:
    """Loshchilov & Hutter 2019, algorithm 2. No weight decay on vectors (norms and biases).

    Call order of a step: `backward` of every micro-batch, `total`, then `update` or `drop`.
    """

    def __init__(self, model: nn.Module, training: Training, precision: Literal["fp32", "bf16"] = "fp32") -> None:
        self.model, self.training = model, training
        self.updates = 0
        self.working: dict[str, nn.Parameter] = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.weights: dict[str, Tensor] = dict(self.working)
        self._bucket: Tensor | None = None
        self._hooks: list[RemovableHandle] = []
        self._tables: list[tuple[Tensor, Tensor]] = []  # the model's buffers and their fp32 content
        if precision == "bf16":
            self._tables = [(table, table.data) for table in model.buffers() if table.is_floating_point()]
            for table, _ in self._tables:
                table.data = table.data.to(torch.bfloat16)
            self.weights = {name: p.detach().float().clone() for name, p in self.working.items()}
            for name, parameter in self.working.items():
                parameter.data = parameter.data.to(torch.bfloat16)
                gather = _gather_into(self.weights[name], torch.empty_like(self.weights[name]))
                self._hooks.append(parameter.register_post_accumulate_grad_hook(gather))  # type: ignore[no-untyped-call]
        self.means = {name: torch.zeros_like(weight) for name, weight in self.weights.items()}
        self.squares = {name: torch.zeros_like(weight) for name, weight in self.weights.items()}

    def total(self, world: World) -> float:
        """Add up the gradients of all ranks; returns the norm of the sum."""
        if world.size > 1:
            self._sum_over(world)
        # A weight that took no part counts as one with gradient zero: the same with one process and with many.
        for weight in self.weights.values():
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        return float(torch.nn.utils.get_total_norm(list(self._gradients().values())))

    @torch.no_grad()
    def update(self, rate: float, tokens: float, norm: float) -> None:
        """One update from the mean gradient, the sum over `tokens` of them; its norm is `norm` until it is clipped."""
        clip, coefficient = self.training.clip, 1.0 / tokens
        if clip > 0:
            coefficient *= min(1.0, clip / (norm + 1e-6))
        gradients = self._gradients()
        torch._foreach_mul_(list(gradients.values()), coefficient)
        self.updates += 1
        matrices = [name for name, weight in self.weights.items() if weight.dim() > 1]
        vectors = [name for name, weight in self.weights.items() if weight.dim() <= 1]
        for names, decay in ((matrices, self.training.weight_decay), (vectors, 0.0)):
            if names:
                weights, grads, means, squares = (
                    [group[name] for name in names] for group in (self.weights, gradients, self.means, self.squares)
                )
                adamw(weights, grads, means, squares, self.updates, rate, self.training, decay)
        self.drop()
        self._refresh_working()

    def drop(self) -> None:
        """Forget the gradients."""
        for weight in self.weights.values():
            weight.grad = None

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """What a checkpoint holds, by file: the fp32 weights, and both moments under `NAME.mean`, `NAME.square`."""
        moments = {f"{name}.mean": mean for name, mean in self.means.items()}
        moments |= {f"{name}.square": square for name, square in self.squares.items()}
        return {"model": {name: weight.detach() for name, weight in self.weights.items()}, "optimizer": moments}

    def restore(self, weights: dict[str, Tensor], moments: dict[str, Tensor], updates: int) -> None:
        """Take over what `tensors` gave after so many updates. UserError if it belongs to another model."""
        self.set_weights(weights)
        self.updates = updates
        for name in self.weights:
            self.means[name].copy_(moments[f"{name}.mean"])
            self.squares[name].copy_(moments[f"{name}.square"])

    def set_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Copy weights by name into the truth and the working copy."""
        require_same(weights, self.weights)
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(weights[name])
        self._refresh_working()

    @contextmanager
    def showing(self, weights: Mapping[str, Tensor]) -> Iterator[None]:
        """Inside, the model computes with these fp32 weights; nothing is copied, and afterwards it is as it was."""
        before = {name: parameter.data for name, parameter in self.working.items()}
        # The buffers themselves are put back, not only their content: a longer row may have made a table anew.
        buffers = [(owner, name, table) for owner in self.model.modules() for name, table in owner._buffers.items()]
        try:
            for name, parameter in self.working.items():
                parameter.data = weights[name].detach()
            increment_version(list(self.working.values()))  # decoding keeps copies of weights that have not changed
            for owner, name, table in buffers:
                owner._buffers[name] = self._in_fp32(table)
            yield
        finally:
            for name, parameter in self.working.items():
                parameter.data = before[name]
            for owner, name, table in buffers:
                owner._buffers[name] = table

    def release(self) -> None:
        """Give the model back in fp32 and let go of everything else: training is over."""
        for name, parameter in self.working.items():
            parameter.data = self.weights[name].detach()
            parameter.grad = None
        for table in self.model.buffers():
            table.data = self._in_fp32(table).data
        for hook in self._hooks:
            hook.remove()
        self.means.clear()
        self.squares.clear()

    def _in_fp32(self, table: Tensor) -> Tensor:
        """A buffer of the model as it would be in a model that computes in fp32."""
        if not table.is_floating_point():
            return table
        return next((full for own, full in self._tables if own is table), table.float())

    def _gradients(self) -> dict[str, Tensor]:
        return {name: weight.grad for name, weight in self.weights.items() if weight.grad is not None}

    def _sum_over(self, world: World) -> None:
        """One all-reduce over all gradients end to end; afterwards they are views of that bucket."""
        weights = list(self.weights.values())
        sizes = [weight.numel() for weight in weights]
        if self._bucket is None:
            self._bucket = torch.empty(sum(sizes), dtype=torch.float32, device=weights[0].device)
        parts = torch.split(self._bucket, sizes)
        for weight, part in zip(weights, parts, strict=True):
            if weight.grad is None:
                part.zero_()
            else:
                part.copy_(weight.grad.reshape(-1))
        world.add_up(self._bucket)
        for weight, part in zip(weights, parts, strict=True):
            weight.grad = part.view_as(weight)

    def _refresh_working(self) -> None:
        with torch.no_grad():
            for name, parameter in self.working.items():
                if parameter is not self.weights[name]:
                    parameter.copy_(self.weights[name])


def adamw(
    weights: list[Tensor],
    gradients: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    update: int,
    rate: float,
    training: Training,
    decay: float,
) -> None:
    """The `update`-th AdamW update (the first is 1), in place, in one fused pass.

    Not torch.optim.AdamW: merely constructing it imports torch's compiler, 2.4 s of CPU time. The kernel is the same;
    where a device has none, the same formula in several passes.
    """
    (beta1, beta2), eps, device = training.betas, training.eps, weights[0].device
    if device.type in ("cpu", "cuda") and hasattr(torch, "_fused_adamw_"):
        count = torch.tensor(float(update), device=device)
        torch._fused_adamw_(
            weights, gradients, means, squares, [], [count] * len(weights), lr=rate, beta1=beta1, beta2=beta2,
            weight_decay=decay, eps=eps, amsgrad=False, maximize=False,
        )  # fmt: skip
        increment_version(weights)  # every other operation in place counts as a change by itself
        return
    torch._foreach_mul_(weights, 1.0 - rate * decay)
    torch._foreach_lerp_(means, gradients, 1.0 - beta1)
    torch._foreach_mul_(squares, beta2)
    torch._foreach_addcmul_(squares, gradients, gradients, 1.0 - beta2)
    roots = torch._foreach_sqrt(squares)
    torch._foreach_div_(roots, (1.0 - beta2**update) ** 0.5)
    torch._foreach_add_(roots, eps)
    torch._foreach_addcdiv_(weights, means, roots, -rate / (1.0 - beta1**update))


def _gather_into(master: Tensor, room: Tensor) -> Callable[[Tensor], None]:
    """A hook that adds a parameter's bf16 gradient to its master's fp32 one, which lives in `room`, and frees it."""

    def gather(parameter: Tensor) -> None:
        assert parameter.grad is not None
        if master.grad is None:
            master.grad = room.copy_(parameter.grad)
        else:
            master.grad.add_(parameter.grad)
        parameter.grad = None

    return gather
