"""What a layout's config.json calls the sizes of a model: one table, read in both directions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from ..errors import UserError
from ..model.plan import Plan
from .rules import numbered
from .settings import THEIR_ACTIVATIONS, Settings

# An option of a family's function: their key, and its value where a file leaves it out. A type: it must be there.
# Whole numbers are from 1 on; those with a point (dropouts, the norms' eps) are below 1; words are activations.
Table = Mapping[str, tuple[str, Any]]


def read(config: Settings, table: Table) -> dict[str, Any]:
    """The options of a family's function that a config.json gives."""
    return {option: _value(config, key, default) for option, (key, default) in table.items()}


def _value(config: Settings, key: str, default: Any) -> Any:
    kind: type
    given: Any
    kind, given = (default, None) if isinstance(default, type) else (type(default), default)
    if kind is bool:
        return config.take(key, bool, given)
    if kind is str:
        return config.activation(key, given)
    return config.size(key, given) if kind is int else config.share(key, given)


def told(table: Table, sizes: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a config.json that has these sizes."""
    if missing := [option for option in table if option not in sizes]:
        raise UserError(f"this layout asks for {missing[0]}, which the model has not")
    return {
        key: THEIR_ACTIVATIONS[sizes[option]] if option.endswith("activation") else sizes[option]
        for option, (key, _) in table.items()
    }


def sizes_of(plan: Plan, name: str) -> dict[str, Any]:
    """The sizes of a plan's stream by the same options: of its embedding, and of the first of its own blocks (see
    `numbered`)."""
    stream = next((stream for stream in plan.streams if stream.name == name), None)
    own = [block for _, block, is_own, _ in numbered(plan) if is_own and block.stream == name]
    if stream is None or not own or own[0].feedforward is None:
        raise UserError(f"this layout asks for a stream {name!r} of blocks that attend to it and feed forward")
    block, attend, feed = own[0], own[0].attends[0], own[0].feedforward
    return {
        **structs.asdict(stream.embedding), "width": stream.width, "layers": len(own), "heads": attend.heads,
        "head_width": attend.head_width, "buckets": attend.buckets, "bucket_distance": attend.bucket_distance,
        "feedforward": feed.width, "activation": feed.activation, "gated": feed.gated, "eps": block.norm.eps,
        "dropout": block.dropout, "attention_dropout": attend.dropout,
    }  # fmt: skip
