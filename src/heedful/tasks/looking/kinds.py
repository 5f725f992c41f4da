"""The kinds of attention that a plan has, filled with what one pass has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from ...errors import UserError
from ...inside import measures
from ...inside.probing import Seen
from ...inside.record import Kind, Layer, Line, Reals, layer_number
from ...model.attention import Attention
from ...model.model import Model
from ...model.plan import Plan
from ...model.pruning import attentions


def names_of(plan: Plan) -> list[str]:
    """The kinds of a plan, "target.source" and the like: each pair of streams that attends, in order of execution."""
    return list(dict.fromkeys(_kind(address) for address, _ in attentions(plan)))


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
    found = [address for address, _ in attentions(plan) if _kind(address) in kept]
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
    for order, (address, attend) in enumerate(attentions(model.plan)):
        name = _kind(address)
        if name not in layers or f"{address}.weights" not in seen.captured.seen:
            continue
        weights = seen.row(f"{address}.weights", row)
        added = None
        if weighted:
            attention = model.get_submodule(address)
            assert isinstance(attention, Attention)
            value = seen.row(f"{address}.value", row)
            added = _plain(measures.value_weighted(attention, value, weights))
        layers[name].append(Layer(address, _plain(weights), added, order))
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
    """Only some layers of each kind, by `layer_number`, and notes that say so; UserError for one that no kind has."""
    if not layers:
        return tuple(kinds), []
    there = {layer_number(layer.address) for kind in kinds for layer in kind.layers}
    for number in layers:
        if number not in there:
            raise UserError(f"there is no layer {number}; what is shown has {', '.join(map(str, sorted(there)))}")
    found, notes = [], []
    for kind in kinds:
        kept = tuple(layer for layer in kind.layers if layer_number(layer.address) in layers)
        if kept:
            found.append(replace(kind, layers=kept))
        if len(kept) < len(kind.layers):
            shown = ", ".join(str(layer_number(layer.address)) for layer in kept) or "none"
            notes.append(f"{kind.label}: of {len(kind.layers)} layers only these are here: {shown}.")
    return tuple(found), notes


def _kind(address: str) -> str:
    stream, _, attended = address.split(".")
    return f"{stream}.{attended}"


def _plain(weights: torch.Tensor) -> Reals:
    return np.ascontiguousarray(weights.float().cpu().numpy())
