"""Which numbers of a record a single picture shows: one kind of attention, through one view, by words."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from ..inside.record import Kind, Line, Reals, Record, by_words, layer_number, mean_of

WHOLE = "the whole picture"


@dataclass(frozen=True)
class Chosen:
    """`weights` [query words, key words]; `label` and `note` say what they are."""

    kind: Kind
    queries: Line
    keys: Line
    weights: Reals
    label: str
    note: str
    signed: bool = False


def chosen(record: Record, kind: str | None = None, view: str | None = None) -> Chosen:
    """By default the kind that has a view of its best heads, else one that reads another stream; and of a kind that
    view, else the mean of its last layer.

    `view` is the name of a view, "last", "mean" (of all layers), "layer N" (its `layer_number`) or "layer N head M",
    numbered from 1. UserError for what the record does not have.
    """
    of = _kind(record, kind)
    views = {one.name: one for one in record.views if one.kind == of.name}
    view = view or ("best" if "best" in views else "last")
    queries, keys = record.lines[of.queries], record.lines[of.keys]
    if view in views:
        one = views[view]
        return Chosen(of, queries, keys, by_words(one.weights, queries, keys), one.label, one.note, one.signed)
    weights, label = _of_heads(of, view, list(views))
    return Chosen(of, queries, keys, by_words(weights, queries, keys), label, "")


def _kind(record: Record, name: str | None) -> Kind:
    if not record.kinds:
        raise UserError("this record holds no attention to draw")
    if name is None:
        best = [one for one in record.kinds if (one.name, "best") in {(view.kind, view.name) for view in record.views}]
        pictures = [one for one in record.kinds if not one.own and record.lines[one.keys].picture]
        others = [one for one in record.kinds if not one.own]
        return [*best, *pictures, *others, record.kinds[-1]][0]
    for one in record.kinds:
        if one.name == name:
            return one
    raise UserError(f"no kind of attention is called {name!r}; there are {', '.join(one.name for one in record.kinds)}")


def _of_heads(kind: Kind, view: str, views: list[str]) -> tuple[Reals, str]:
    if view == "mean":
        return mean_of(kind.layers), "mean of all heads"
    if view == "last":
        return mean_of(kind.layers[-1:]), "mean of the last layer"
    found = re.fullmatch(r"layer (\d{1,6})(?: head (\d{1,6}))?", view)
    if not found:
        known = ", ".join([*views, "last", "mean", "layer N", "layer N head M"])
        raise UserError(f"no view of {kind.name} is called {view!r}; there are {known}")
    number, head = int(found[1]), int(found[2] or 0)
    layers = {layer_number(one.address): one for one in kind.layers}
    if number not in layers:
        raise UserError(f"{kind.name} has no layer {number}; what is shown has {', '.join(map(str, layers))}")
    layer = layers[number]
    if found[2] is None:
        return mean_of([layer]), f"mean of layer {number}"
    if not 1 <= head <= len(layer.weights):
        raise UserError(f"layer {number} of {kind.name} has heads 1 to {len(layer.weights)}, not {head}")
    return layer.weights[head - 1], f"layer {number}, head {head}"


def region_names(line: Line) -> list[str]:
    """What each token of a picture is called: its row and column where they make a grid, else its number; a control
    stands for the whole."""
    assert line.picture is not None, "regions are of pictures"
    boxes = np.asarray(line.picture.boxes, np.float64).reshape(-1, 4).round(3)
    whole = np.array(line.control, np.bool_)
    parts = boxes[~whole]
    columns, rows = ({value: number for number, value in enumerate(np.unique(parts[:, axis]), 1)} for axis in (0, 1))
    grid = len(columns) * len(rows) == len(parts) == len(np.unique(parts[:, :2], axis=0))
    names, number = [], 0
    for box, all_of_it in zip(boxes, whole, strict=True):
        number += not all_of_it
        place = f"row {rows.get(box[1])}, column {columns.get(box[0])}" if grid else f"region {number}"
        names.append(WHOLE if all_of_it else place)
    return names
