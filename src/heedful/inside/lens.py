"""What each layer would say if it were the last ("interpreting GPT: the logit lens", nostalgebraist 2020).

The states that a layer leaves are read as the last layer's are: through the stream's final norm, where it has one, and
the head. Layers were not trained for it, so that early ones may speak another language than the head's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ..model.embeddings import Input
from ..model.model import Model
from ..model.plan import FinalNorm, Head, Plan
from ..model.probe import Probe, left_at
from .probing import capture
from .record import Guess, Lens
from .rescoring import evaluating
from .scores import head_of

Text = Callable[[int], str] | Sequence[str]


def lens(
    model: Model,
    inputs: Mapping[str, Input],
    head: str,
    text: Text,
    line: str,
    label: str,
    positions: Sequence[int] | None = None,
    top: int = 5,
    edits: Sequence[Probe] = (),
) -> Lens:
    """The `top` likeliest outputs of a head of tokens after each layer, at some `positions` of row 0 (None: at all).

    `text` names outputs; `edits` change the run. The last layer says what the model says. ValueError for a head that
    reads rows.
    """
    plan = head_of(model, head)
    if plan.reads != "tokens":
        raise ValueError(f"the head {head!r} reads rows; only one that reads tokens can be moved from layer to layer")
    stream = plan.streams[0]
    layers = _layers(model.plan, plan)
    seen = capture(model, inputs, list(layers.values()), *edits)
    asked = range(int(seen.layouts[stream].lengths[0])) if positions is None else positions
    rows = torch.tensor([*asked], dtype=torch.long, device=seen.layouts[stream].device)
    named = text if callable(text) else text.__getitem__
    normed = any(isinstance(step, FinalNorm) and step.stream == stream for step in model.plan.steps[: plan.before])
    guesses = []
    with evaluating(model), torch.no_grad():
        for address in layers.values():
            ((states, _),) = seen.captured.seen[address]
            states = model.streams[stream].norm(states) if normed else states
            logits = model.logits(head, {stream: states}, seen.layouts, rows + int(seen.layouts[stream].starts[0]))
            guesses.append(_guesses(logits, top, named))
    return Lens(line, label, tuple(layers), tuple(asked), tuple(guesses))


def _layers(plan: Plan, head: Head) -> dict[str, str]:
    """By label, where each layer of the stream that a head reads leaves its states, as far as the head sees."""
    stream = head.streams[0]
    found = {"embedding": f"{stream}.embedding.output"}
    for number, where, block in plan.blocks():
        if block.stream == stream and (head.before is None or number < head.before):
            found[f"layer {len(found)}"] = left_at(where, block)
    return found


def _guesses(logits: Tensor, top: int, named: Callable[[int], str]) -> tuple[tuple[Guess, ...], ...]:
    """The likeliest outputs of each of some tokens, best first."""
    chances, ids = logits.float().softmax(-1).topk(min(top, logits.shape[-1]))
    return tuple(
        tuple(Guess(named(one), chance) for one, chance in zip(*both, strict=True))
        for both in zip(ids.tolist(), chances.tolist(), strict=True)
    )
