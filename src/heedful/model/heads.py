"""What is read off the streams at the end, and the losses. Logits are made and used up in chunks of rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from . import objectives, plan
from .dropout import dropout
from .feedforward import ACTIVATIONS
from .guided import GuidedCrossEntropy, Teacher
from .layout import Layout, filled
from .norms import norm

CHUNK = 256  # rows of logits that exist at a time; at a vocabulary of 8k they still fit a processor's cache
# In bf16, so many errors of logits (32 MB) are kept for one product with the states: adding up many products as large
# as the weight, each rounded to bf16, costs more than making them.
BLOCK = 2**24


@dataclass
class Labels:
    """What a head should say: class ids [n]; for other objectives see `objectives`. `weight` multiplies the loss.

    `rows` [n] are the tokens (for pooled heads: the rows) that are scored; None means all, in order. With `r_drop` the
    stream holds every example twice, first all and then all again, and `ids` are those of the first half; a `teacher`'s
    states too.
    """

    ids: Tensor
    rows: Tensor | None = None
    r_drop: float = 0.0
    teacher: Teacher | None = None
    weight: float = 1.0


@dataclass
class LossSums:
    """Sums over what was scored; whoever adds up micro-batches and processes divides by the count of them all.

    `loss` is differentiable (smoothed); `nll` is the plain negative log-likelihood in nats, detached; `correct` counts
    answers whose class has the highest logit (ties count).
    """

    loss: Tensor
    nll: Tensor
    correct: Tensor
    count: int


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Cross-entropy of states @ weight.T + bias, summed, with label smoothing (Szegedy et al. 2016, 7).

    The gradients are made in the forward pass, chunk by chunk, while a chunk's logits are at hand.
    """

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx,
        states: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        ids: Tensor,
        smoothing: float,
        gradients: bool,
        rooms: Rooms,
    ) -> tuple[Tensor, Tensor, Tensor]:
        real, vocab = states.shape[0], weight.shape[0]
        states = filled(states)
        count, full = states.shape[0], weight.dtype == torch.float32
        block = min(count, CHUNK if full or not gradients else max(CHUNK, BLOCK // vocab // CHUNK * CHUNK))
        exact = torch.float32 if states.device.type == "mps" else torch.float64  # mps has no float64
        loss = torch.zeros((), dtype=exact, device=states.device)
        nll, correct = torch.zeros_like(loss), torch.zeros((), dtype=torch.long, device=states.device)
        # The uniform part of smoothed targets is the same for every row: it is kept out of the logits' passes.
        uniform = smoothing / vocab
        sums = _Gradients(states, weight, bias, whole=full or block == count) if gradients else None
        place = rooms.take(min(CHUNK, count), vocab, torch.float32, states.device)
        errors = place if full else rooms.take(block, vocab, states.dtype, states.device)
        for begin in range(0, count, CHUNK):
            some, wanted = states[begin : begin + CHUNK], ids[begin : begin + CHUNK, None]
            end, first, scored = begin + len(some), begin - begin % block, len(wanted)
            error = errors[begin - first : end - first]
            logits = _logits(some, weight, bias, error, place[: len(some)])
            chances, highest, target = _chances(logits[:scored], wanted)
            # The largest chance is exactly 1 / sum(exp(logit - highest)).
            total = highest - chances.amax(-1, keepdim=True).log()
            plain = total - target
            nll += plain.sum()
            correct += (target >= highest).sum()
            loss += (plain if not smoothing else (1 - smoothing) * plain + smoothing * total).sum()
            if sums is not None:
                chances.scatter_add_(1, wanted, torch.full_like(target, smoothing - 1.0))
                if not full:
                    error[:scored] = chances
                error[scored:] = 0.0
                if end == min(first + block, count):
                    sums.add(errors[: end - first], first, end)
        if smoothing:
            seen, mean = states.sum(0, dtype=torch.float32), weight.sum(0, dtype=torch.float32)
            loss -= uniform * (seen @ mean + (0.0 if bias is None else real * bias.float().sum()))
            if sums is not None:
                sums.smooth(uniform, seen, mean, real)
        if sums is not None:
            to_states, to_weight, to_bias = sums.taken()
            ctx.save_for_backward(to_states[:real], to_weight, to_bias)
        rooms.give(place, errors)
        nll = nll.float()
        ctx.mark_non_differentiable(nll, correct)
        return loss.float(), nll, correct

    @staticmethod
    def backward(ctx, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
        to_states, to_weight, to_bias = ctx.saved_tensors
        scaled = [
            None if part is None else part.mul_(gradient.to(part.dtype)) for part in (to_states, to_weight, to_bias)
        ]
        return (*scaled, None, None, None, None)


class _Gradients:
    """Of the summed loss: to states [n, width], weight [vocab, width] and bias [vocab], from errors [rows, vocab].

    The weight's is a sum of products, kept in fp32 unless it is fp32 anyway or one product (`whole`).
    """

    def __init__(self, states: Tensor, weight: Tensor, bias: Tensor | None, whole: bool) -> None:
        self.states, self.weight = states, weight
        self.to_states = torch.empty_like(states)
        # Filling the largest of gradients with zeros can be spared: the first product overwrites it.
        make = torch.empty_like if len(states) else torch.zeros_like
        self.to_weight = make(weight, dtype=weight.dtype if whole else torch.float32)
        self.to_bias = None if bias is None else torch.zeros_like(bias, dtype=torch.float32)

    def add(self, errors: Tensor, first: int, end: int) -> None:
        """The errors of rows `first` to `end` (not included); rows come in order."""
        torch.mm(errors, self.weight, out=self.to_states[first:end])
        left, right = errors.t(), self.states[first:end]
        if self.to_weight.dtype == right.dtype:
            torch.addmm(self.to_weight, left, right, beta=float(first > 0), out=self.to_weight)
        elif first > 0:
            self.to_weight += left @ right
        else:
            self.to_weight.copy_(left @ right)
        if self.to_bias is not None:
            self.to_bias += errors.sum(0, dtype=torch.float32)

    def smooth(self, uniform: float, seen: Tensor, mean: Tensor, rows: int) -> None:
        """`uniform` less for every class of `rows` rows; `seen` and `mean` are the sums of states and of weight."""
        self.to_states -= (uniform * mean).to(self.to_states.dtype)
        self.to_weight -= (uniform * seen).to(self.to_weight.dtype)
        if self.to_bias is not None:
            self.to_bias -= uniform * rows

    def taken(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """All three, in the precision of what they belong to."""
        dtype = self.weight.dtype
        return self.to_states, self.to_weight.to(dtype), None if self.to_bias is None else self.to_bias.to(dtype)


def _chances(logits: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Chances [n, vocab], in the logits' place; the highest logit and the one at `wanted`, [n, 1] each."""
    highest, target = logits.amax(-1, keepdim=True), logits.gather(1, wanted)
    return torch.softmax(logits, -1, out=logits), highest, target


def _logits(states: Tensor, weight: Tensor, bias: Tensor | None, product: Tensor, place: Tensor) -> Tensor:
    """states @ weight.T + bias in fp32, made in `product`, and copied to `place` if that is of another precision."""
    if bias is None:
        torch.mm(states, weight.t(), out=product)
    else:
        torch.addmm(bias, states, weight.t(), out=product)
    return product if product.dtype == torch.float32 else place.copy_(product)


class Rooms:
    """Memory for logits, kept from loss to loss: to take as much anew costs as much as a product, in page faults.

    A room is out of the list until it is given back, so losses may be made side by side.
    """

    def __init__(self) -> None:
        self.free: list[Tensor] = []

    def take(self, rows: int, columns: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """At least `rows` rows, whatever they hold."""
        for number, room in enumerate(self.free):
            if len(room) >= rows and (room.shape[1], room.dtype, room.device) == (columns, dtype, device):
                return self.free.pop(number)
        return torch.empty(rows, columns, dtype=dtype, device=device)

    def give(self, *rooms: Tensor) -> None:
        """What was taken last replaces what was free: nothing piles up."""
        self.free = list({id(room): room for room in rooms}.values())


class Head(nn.Module):
    """Optional dense + activation + norm, then the output projection (often tied to an embedding)."""

    def __init__(self, head: plan.Head, width: int) -> None:
        super().__init__()
        self.plan = head
        width *= head.together
        self.transform, self.activation, self.norm = None, None, None
        if head.transform:
            self.transform = nn.Linear(width, head.hidden or width)
            self.activation, width = ACTIVATIONS[head.transform], head.hidden or width
            self.norm = norm(head.norm, width) if head.norm else None
        self.output = nn.Linear(width, head.outputs, bias=head.bias) if head.outputs else nn.Identity()
        self.rooms = Rooms()

    def before_output(self, states: Tensor) -> Tensor:
        """[n, width] -> what the output layer reads [n, width]."""
        if self.plan.together > 1:
            states = states.reshape(-1, self.plan.together * states.shape[-1])
        if self.transform is not None:
            assert self.activation is not None
            states = self.activation(self.transform(states))
            states = states if self.norm is None else self.norm(states)
        states = dropout(states, self.plan.dropout, self.training)
        return states if self.plan.scale == 1.0 else states * self.plan.scale

    def forward(self, states: Tensor) -> Tensor:
        """[n, width] -> logits [n, outputs]."""
        return self.output(self.before_output(states))  # type: ignore[no-any-return]

    def loss(self, states: Tensor, labels: Labels, smoothing: float = 0.0, layout: Layout | None = None) -> LossSums:
        """Sums over the labelled rows of `states` [all, width]; nothing else passes the head. Spans need the layout."""
        sums = self._sums(states, labels, smoothing, layout)
        return sums if labels.weight == 1.0 else replace(sums, loss=sums.loss * labels.weight)

    def _sums(self, states: Tensor, labels: Labels, smoothing: float, layout: Layout | None) -> LossSums:
        if self.plan.objective != "classes":
            return self._other(states, labels, layout)
        if labels.rows is not None:
            states = states.index_select(0, labels.rows)
        if states.shape[0] != labels.ids.shape[0] * self.plan.together * (2 if labels.r_drop else 1):
            raise ValueError(f"{self.plan.name}: {labels.ids.shape[0]} labels for {states.shape[0]} states")
        states = self.before_output(states)
        if labels.r_drop or labels.teacher is not None:
            loss, nll, correct = GuidedCrossEntropy.apply(
                states, self.output.weight, self.output.bias, labels.ids, smoothing, labels.r_drop, labels.teacher
            )
            return LossSums(loss, nll, correct, len(labels.ids))
        trained = (states, *self.output.parameters())
        gradients = torch.is_grad_enabled() and any(part.requires_grad for part in trained)
        loss, nll, correct = _ChunkedCrossEntropy.apply(
            states, self.output.weight, self.output.bias, labels.ids, smoothing, gradients, self.rooms
        )
        return LossSums(loss, nll, correct, len(labels.ids))

    def _other(self, states: Tensor, labels: Labels, layout: Layout | None) -> LossSums:
        """Sums of an objective other than classes."""
        if labels.rows is not None:
            states = states.index_select(0, labels.rows)
        answers = self(states).float()
        match self.plan.objective:
            case "distribution":
                sums = objectives.distribution(answers, labels.ids)
            case "several":
                sums = objectives.several(answers, labels.ids)
            case "values":
                sums = objectives.values(answers, labels.ids)
            case "contrast":
                sums = objectives.contrast(answers, labels.ids, self.plan.sharpness)
            case _:
                assert layout is not None
                sums = objectives.span(answers, labels.ids, layout)
        return LossSums(*sums, len(labels.ids))
