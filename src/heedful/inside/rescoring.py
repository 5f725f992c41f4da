"""What-ifs: what a model makes of the same answer without a head, or without a word. Every change is a row of one pass
in which the answer is given (teacher forcing)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..model.embeddings import Input
from ..model.layout import Layout
from ..model.model import Model
from ..model.plan import Plan
from ..model.probe import Probe
from .probing import Edit, Together, heads_off, hidden, patched
from .record import Reals
from .scores import Score

ROOM = 2048  # tokens of all streams that are in a pass at a time


@dataclass(frozen=True)
class Without:
    """What a run goes without: heads by attention (`{"target.3.source": [5]}`), tokens by stream (`{"source": [2, 3]}`)
    and its own states of some tokens, by address, in whose place others [tokens, width] stand. Without nothing it is
    the run as it was."""

    heads: Mapping[str, Sequence[int]] = field(default_factory=dict)
    tokens: Mapping[str, Sequence[int]] = field(default_factory=dict)
    states: Mapping[str, tuple[Sequence[int], Tensor]] = field(default_factory=dict)


def edit(changes: Sequence[Without], layouts: Mapping[str, Layout] | None = None) -> Probe:
    """One probe for a batch: row i goes without `changes[i]`, in a pass as well as in decoding. States are exchanged in
    a pass, whose `layouts` say where rows begin."""
    heads: dict[str, dict[int, Sequence[int]]] = {}
    tokens: dict[str, dict[int, Sequence[int]]] = {}
    edits: list[Edit] = []
    for row, change in enumerate(changes):
        for address, off in change.heads.items():
            heads.setdefault(address, {})[row] = off
        for stream, gone in change.tokens.items():
            tokens.setdefault(stream, {})[row] = gone
        for address, (places, states) in change.states.items():
            assert layouts is not None
            start = int(layouts[address.split(".")[0]].starts[row])
            edits.append(patched(address, [start + place for place in places], states))
    edits += [hidden(stream, which) for stream, which in tokens.items()]
    return Together(*edits, heads_off(heads))


def rescored(
    model: Model,
    inputs: Mapping[str, Input],
    score: Score,
    changes: Sequence[Without],
    *,
    last: int | None = None,
    room: int = ROOM,
) -> Reals:
    """Scores [changes, n] of one example under each change. `inputs` hold its single row; `last` is the step before
    which the score reads the streams (None: after all).

    What comes before a change is computed once, and changes that begin at the same step share passes of `room` tokens.
    """
    end = len(model.plan.steps) if last is None else last
    size = max(1, room // max(1, sum(given.layout.tokens for given in inputs.values())))
    begins = [min(end, _first_step(model.plan, change)) for change in changes]
    scores: dict[int, Tensor] = {}
    with evaluating(model), torch.no_grad():
        states = {name: model.embedded(name, given) for name, given in inputs.items()}
        layouts, done = {name: given.layout for name, given in inputs.items()}, 0
        for begin in sorted(set(begins)):
            states = model.run(states, layouts, first=done, last=begin)
            done = begin
            alike = [number for number, own in enumerate(begins) if own == begin]
            for some in (alike[at : at + size] for at in range(0, len(alike), size)):
                rows = {name: part.repeat(len(some), 1) for name, part in states.items()}
                where = {name: layout.expand(len(some)) for name, layout in layouts.items()}
                probe = edit([changes[number] for number in some], where)
                found = score(model.run(rows, where, probe=probe, first=begin, last=end), where)
                scores.update(zip(some, found.float().cpu(), strict=True))
    if not scores:
        return np.zeros((0, 0), np.float32)
    return torch.stack([scores[number] for number in range(len(changes))]).numpy()


def _first_step(plan: Plan, change: Without) -> int:
    """The first step that feels a change; as many as there are where none does."""
    patched_at = {address.rsplit(".", 2)[0] for address in change.states}
    for number, where, block in plan.blocks():
        if where in patched_at:
            return number
        for attend in block.attends:
            if f"{where}.{attend.stream}" in change.heads or attend.stream in change.tokens:
                return number
    return len(plan.steps)


def repeated(inputs: Mapping[str, Input], times: int) -> dict[str, Input]:
    """The inputs of one row, so many times."""
    return {name: _repeated(given, times) for name, given in inputs.items()}


def _repeated(given: Input, times: int) -> Input:
    parts = {part.name: getattr(given, part.name) for part in fields(given)}
    more: dict[str, Any] = {name: torch.cat([value] * times) for name, value in parts.items() if torch.is_tensor(value)}
    return replace(given, layout=given.layout.expand(times), **more)


@contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """Without dropout; in the end the model is in training or not, as it was."""
    training = model.training
    if training:
        model.eval()
    try:
        yield
    finally:
        if training:
            model.train()
