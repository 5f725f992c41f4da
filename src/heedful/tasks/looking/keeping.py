"""The heads that are shown first: chosen over many examples by the report on heads, and kept beside the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from ...errors import UserError
from ...inside import alignment
from ...inside.headreport import HeadReport
from ...inside.record import Kind, Line
from ...model.files import read_config

FILE = "heads.json"
ENOUGH = 20  # examples; fewer choose no better than the text that is looked at
FEWEST, MOST = 2, 4  # heads that align words, of which the mean is shown; one in eight
Heads = list[tuple[int, int]]
Example = tuple[Kind, Mapping[str, Line]]


class Kept(msgspec.Struct, frozen=True):
    """By kind the (layer, head) to show first, counted from 0 within the kind, and over how many examples they were
    chosen; `weights` is the hash of the model they were chosen for."""

    weights: str = ""
    examples: int = 1
    best: dict[str, Heads] = {}


def best_of(kinds: Mapping[str, Sequence[Example]]) -> dict[str, Heads]:
    """The heads to show first, by kind, each kind over some examples: those that align words, and
    of all between a text and a picture the one that ties words to regions most. None of a stream's own."""
    found: dict[str, Heads] = {}
    bits: dict[str, dict[tuple[int, int], float]] = {}
    for name, examples in kinds.items():
        kind, lines = examples[0]
        pictures = [lines[side].picture is not None for side in (kind.queries, kind.keys)]
        if kind.own or all(pictures):
            continue
        if any(pictures):
            bits[name] = alignment.telling(examples)
        else:
            heads = sum(len(layer.weights) for layer in kind.layers)
            found[name] = alignment.best_heads(examples, min(MOST, max(FEWEST, heads // 8)))
    every = [(told, name, head) for name, heads in bits.items() for head, told in heads.items()]
    if every:
        _, name, head = max(every)
        found[name] = [head]
    return found


def keep(folder: Path, report: HeadReport) -> bool:
    """Write what a report has chosen beside the model, whole or not at all; False where there is nothing, no room, or
    too few examples: fewer than ENOUGH, or than another choice was made over."""
    best = {kind.name: [*kind.best] for kind in report.kinds if kind.best}
    weights = _weights(folder)
    if not best or not weights or report.examples < max(ENOUGH, kept(folder).examples):
        return False
    aside = folder / f".{FILE}"
    try:
        aside.write_bytes(msgspec.json.encode(Kept(weights, report.examples, best)))
        aside.replace(folder / FILE)
    except OSError:
        return False
    return True


def kept(folder: Path) -> Kept:
    """What was kept for a model in a folder; nothing where the model is another by now, or the file damaged."""
    try:
        found = msgspec.json.decode((folder / FILE).read_bytes(), type=Kept)
    except (OSError, msgspec.DecodeError):
        return Kept()
    return found if found.weights == _weights(folder) else Kept()


def _weights(folder: Path) -> str:
    try:
        weights = read_config(folder)[1].get("weights")
    except UserError:
        return ""
    return str(weights.get("xxh3_128", "")) if isinstance(weights, dict) else ""
