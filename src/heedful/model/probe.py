"""Where one can look, and reach in: the shape of a probe and the names of what it sees. Probes themselves live in
inside/."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor

from .plan import Block, Plan

ATTENTION = ("before", "query", "key", "value", "scores", "weights", "mixed", "output", "after")
FEEDFORWARD = ("before", "inner", "output", "after")


class Probe(Protocol):
    """Sees what happens at an address such as `target.3.source.weights`, and may hand back something else instead.

    An address is stream, block (counted within its stream), what the block attends to or `feedforward`, and a point:

    - `before`, `after`: the stream's states [tokens, width] that the layer is given and those that it leaves, residual
      and norm included; what the last layer of a block leaves is what the block leaves;
    - `query` [rows, heads, queries, head width], `key` and `value` [rows, key heads, keys, head width], turned where
      positions turn them;
    - `scores` [rows, heads, queries, keys]: scaled products with everything that masks and positions add (what must
      not be seen has about -1e9), and `weights`, their softmax, before dropout: rows sum to 1, or are exact zeros;
    - `mixed` [tokens, heads x head width]: the values mixed by the weights; `output` [tokens, width]: projected;
    - `inner` [tokens, inner width] of a feed-forward network, after its activation.

    `text.embedding.output` [tokens, width] is what a stream begins with. What has rows comes in groups of rows that are
    padded to the longest of them. Only what `wants` asks for is made, and only an attention whose scores or weights are
    asked for leaves its kernel.
    """

    def wants(self, address: str) -> bool:
        """Whether `see` should be called for this address."""
        ...

    def see(self, address: str, value: Tensor, rows: Tensor | None = None) -> Tensor:
        """Look at `value`; what is returned takes its place. `rows` are a group's, in order, where it has rows."""
        ...


def see(probe: Probe | None, where: str, point: str, value: Tensor, rows: Tensor | None = None) -> Tensor:
    """What a probe makes of a value; the value itself where nobody looks."""
    if probe is None or not probe.wants(address := f"{where}.{point}"):
        return value
    return probe.see(address, value, rows)


def left_at(where: str, block: Block) -> str:
    """The address of what a block, at `target.3`, leaves."""
    return f"{where}.{'feedforward' if block.feedforward is not None else block.attends[-1].stream}.after"


def addresses(plan: Plan) -> Iterator[str]:
    """Every address of a plan, in order of execution."""
    for stream in plan.streams:
        yield f"{stream.name}.embedding.output"
    for _, where, block in plan.blocks():
        for attend in block.attends:
            yield from (f"{where}.{attend.stream}.{point}" for point in ATTENTION)
        if block.feedforward is not None:
            yield from (f"{where}.feedforward.{point}" for point in FEEDFORWARD)
