"""Where one can look, and reach in: the shape of a probe. Probes themselves live in look/."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Probe(Protocol):
    """Sees what happens at an address such as `target.3.source.weights`, and may hand back something else instead.

    Points of an attention: `weights` [rows, heads, queries, keys] (per group of rows, see `rows`), `heads` (each head's
    output before the output projection, [tokens, heads x head width]), `output` [tokens, width]. Of a block:
    `feedforward.output` and `states` (after the block). Only what `wants` asks for is made.
    """

    def wants(self, address: str) -> bool:
        """Whether `see` should be called for this address."""
        ...

    def see(self, address: str, value: Tensor, rows: Tensor | None = None) -> Tensor:
        """Look at `value`; what is returned takes its place. `rows` are the rows of a group, in order, for weights."""
        ...
