"""The nearest plan that a layout can say, and whether it computes the same as ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
import torch
from torch import Tensor

from ..errors import UserError
from ..model.plan import Plan, attention_scale
from .layout import Reading, Writing
from .rules import Rules, Shape
from .settings import Settings

# What of a plan changes nothing that a model computes.
SILENT = ("dropout", "initialization", "sharpness", "objective")


def nearest(
    reading: Callable[[Settings, Any], Reading],
    rules: Rules,
    plan: Plan,
    config: Mapping[str, Any],
    numbers: Mapping[str, Tensor] | None = None,
    **more: Any,
) -> Writing:
    """What a layout writes of a plan, as `config` and the tensors that `rules` name: what it will read in them again.

    `numbers` and `more` are as in `Writing`.
    """
    shapes, numbers = plan.shapes(), numbers or {}
    tensors = Outline({name: pair.shape(shapes) for name, pair in rules.pairs(plan).items()}, numbers)
    again = reading(Settings(config, "config.json"), tensors)
    return Writing(again.plan, again.rules, config, numbers=numbers, **more)


class Outline(Mapping[str, Tensor]):
    """A checkpoint that is in no file, as layouts look at one: shapes by name, and some tensors."""

    def __init__(self, shapes: Mapping[str, Shape], tensors: Mapping[str, Tensor]) -> None:
        self.shapes = {**shapes, **{name: tuple(tensor.shape) for name, tensor in tensors.items()}}
        self.tensors = tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def __contains__(self, name: object) -> bool:
        return name in self.shapes

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def shape(self, name: str) -> Shape:
        return self.shapes[name]

    def dtype(self, name: str) -> torch.dtype:
        return self.tensors[name].dtype if name in self.tensors else torch.float32


SHOWN = 3  # differences that a message names


def agree(ours: Plan, theirs: Plan, where: str) -> None:
    """UserError, by name, where a plan computes something that the layout's nearest plan does not."""
    if found := unlike(ours, theirs):
        more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise UserError(f"{where} {'; '.join(found[:SHOWN])}{more}")


def unlike(ours: Plan, theirs: Plan) -> list[str]:
    """What a plan computes that the layout's nearest plan does not, each kind of difference once."""
    found: dict[tuple[str, ...], str] = {}
    for key, mine, other in _differences(_tree(ours), _tree(theirs), ""):
        leaf = key.rpartition(".")[2]
        if leaf in SILENT or _harmless(leaf, mine, other):
            continue
        said = f"has no place for {key} = {json.dumps(mine)}; it computes {json.dumps(other)}"
        if isinstance(mine, dict) or isinstance(other, dict):
            said = f"{'has no place for' if other is None else 'always has'} {key}"
        found.setdefault((leaf, repr(mine), repr(other)), said)
    return list(found.values())


def _harmless(leaf: str, mine: Any, other: Any) -> bool:
    """What theirs may have more: biases and segments that are 0, learned positions before the first that is used."""
    if leaf == "bias":
        return (mine, other) == (False, True)
    if leaf in ("capacity", "offset", "positions below 0") and None in (mine, other):
        return True  # of learned positions and others; that they are of another kind is told
    return (leaf == "segments" and mine == 0) or (leaf == "positions below 0" and mine <= other)


def _tree(plan: Plan) -> dict[str, Any]:
    """A plan as dicts and lists, streams and heads by name, without what has no effect beside the rest of it."""
    tree: dict[str, Any] = msgspec.to_builtins(plan)
    for stream in tree["streams"]:
        embedding = stream["embedding"]
        if embedding.get("positions", "learned") == "learned":
            embedding["positions below 0"] = embedding.pop("offset", 0)
        else:
            del embedding["capacity"]
    for (_, _, block), made in zip(plan.blocks(), _blocks(tree), strict=True):
        for attend, own in zip(block.attends, made["attends"], strict=True):
            own |= {"scale": attention_scale(attend), "key_heads": attend.kv_heads}
    read = {name for head in tree["heads"] if head["reads"] == "pooled" for name in head["streams"]}
    for stream in tree["streams"]:
        if tree["heads"] and stream["name"] not in read:
            stream["pool"] = None
    for head in tree["heads"]:
        if head["transform"] is None:
            head["norm"] = head["hidden"] = None
    # A step of blocks is compared with one of blocks, whatever norms stand in between.
    order = [step["type"] for step in tree["steps"]]
    norms = {step["stream"]: step for step in tree["steps"] if "blocks" not in step}
    tree["steps"] = [step for step in tree["steps"] if "blocks" in step]
    by_name = {part: {one["name"]: one for one in tree[part]} for part in ("streams", "heads")}
    return {**tree, **by_name, "ties": {tie["share"]: tie["keep"] for tie in tree["ties"]}, "final norms": norms,
            "order": order}  # fmt: skip


def _blocks(tree: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for step in tree["steps"]:
        yield from step.get("blocks", ())


def _differences(mine: Any, other: Any, key: str) -> Iterator[tuple[str, Any, Any]]:
    """(where, ours, theirs); lists of different lengths differ by these."""
    if isinstance(mine, dict) and isinstance(other, dict):
        for name in (*mine, *(other.keys() - mine.keys())):
            yield from _differences(mine.get(name), other.get(name), f"{key}.{name}" if key else name)
    elif isinstance(mine, list | tuple) and isinstance(other, list | tuple):
        if len(mine) != len(other):
            yield f"{key}, their number", len(mine), len(other)
            return
        for number, (one, two) in enumerate(zip(mine, other, strict=True)):
            yield from _differences(one, two, f"{key}.{number}")
    elif mine != other:
        yield key, mine, other
