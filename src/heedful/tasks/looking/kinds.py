"""The kinds of attention that a plan has, filled with what one pass has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from ...errors import UserError
from ...inside import measures
from ...inside.probing import Seen
from ...inside.record import Kind, Layer, Line, Reals
from ...model.attention import Attention
from ...model.model import Model
from ...model.plan import Attend, Plan


def names_of(plan: Plan) -> list[str]:
    """The kinds of a plan, "target.source" and the like: each pair of streams that attends, in order of execution."""
    return list(dict.fromkeys(_kind(where, attend) for where, attend in attentions_of(plan)))


def wanted(plan: Plan, only: Sequence[str] = ()) -> list[str]:
    """Those of the kinds that are asked for, by name (none: all); UserError for one that the plan does not have."""
    known = names_of(plan)
    for name in only:
        if name not in known:
            raise UserError(f"this model has no attention of the kind {name!r}; it has {', '.join(known)}")
    return [name for name in known if not only or name in only]


def patterns(plan: Plan, only: Sequence[str] = (), weighted: bool = False) -> list[str]:
    """What to capture for them."""
    kept = wanted(plan, only)
    points = ("weights", "value") if weighted else ("weights",)
    found = [f"{where}.{attend.stream}" for where, attend in attentions_of(plan) if _kind(where, attend) in kept]
    return [f"{address}.{point}" for address in found for point in points]


def kinds_of(
    model: Model,
    seen: Seen,
    keys: Mapping[str, Line],
    queries: Mapping[str, Line],
    row: int = 0,
    only: Sequence[str] = (),
    weighted: bool = False,
) -> tuple[Kind, ...]:
    """One kind for each pair of streams, with the weights that `seen` has of a row.

    `keys` are the lines of what streams read, `queries` of what they ask with, where that is another.
    """
    layers: dict[str, list[Layer]] = {name: [] for name in wanted(model.plan, only)}
    causal: dict[str, bool] = {}
    for where, attend in attentions_of(model.plan):
        name, address = _kind(where, attend), f"{where}.{attend.stream}"
        if name not in layers or f"{address}.weights" not in seen.captured.seen:
            continue
        weights = seen.row(f"{address}.weights", row)
        added = None
        if weighted:
            attention = model.get_submodule(address)
            assert isinstance(attention, Attention)
            value = seen.row(f"{address}.value", row)
            added = _plain(measures.value_weighted(attention, value, weights))
        layers[name].append(Layer(address, _plain(weights), added))
        causal[name] = causal.get(name, True) and attend.mask == "causal"
    found = []
    for name, own in layers.items():
        stream, attended = name.split(".")
        asking, asked = queries.get(stream, keys[stream]), keys[attended]
        label = f"{asking.label} → {asked.label}"
        found.append(Kind(name, label, asking.name, asked.name, causal.get(name, False), tuple(own)))
    return tuple(found)


def renamed(kind: Kind, lines: Mapping[str, Line]) -> Kind:
    """A kind called by its lines' names, for a second row of the same streams."""
    name = ".".join(lines[stream].name for stream in kind.name.split("."))
    return kind if name == kind.name else replace(kind, name=name)


def thinned(kinds: Sequence[Kind], layers: Sequence[int]) -> tuple[tuple[Kind, ...], list[str]]:
    """Only some layers of each kind, numbered from 1, and notes that say so; UserError for one that no kind has."""
    if not layers:
        return tuple(kinds), []
    most = max(len(kind.layers) for kind in kinds)
    for number in layers:
        if not 1 <= number <= most:
            raise UserError(f"there is no layer {number}; layers are numbered 1 to {most}")
    found, notes = [], []
    for kind in kinds:
        kept = tuple(layer for number, layer in enumerate(kind.layers, 1) if number in layers)
        if kept:
            found.append(replace(kind, layers=kept))
        if len(kept) < len(kind.layers):
            shown = ", ".join(str(number) for number in sorted(set(layers)) if number <= len(kind.layers)) or "none"
            notes.append(f"{kind.label}: of {len(kind.layers)} layers only these are here: {shown}.")
    return tuple(found), notes


def attentions_of(plan: Plan) -> list[tuple[str, Attend]]:
    """Every attention after its block's address, in order of execution."""
    return [(where, attend) for _, where, block in plan.blocks() for attend in block.attends]


def _kind(where: str, attend: Attend) -> str:
    return f"{where.split('.')[0]}.{attend.stream}"


def _plain(weights: torch.Tensor) -> Reals:
    return np.ascontiguousarray(weights.float().cpu().numpy())
