"""The one door to what happens inside a model: probes that keep what they see, and probes that change it.

Addresses are those of `model.probe`, named by patterns as of file names: `target.*.source.weights`, `*.weights`,
`text.[0-3].feedforward.inner`; a star spans points, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import lru_cache

import torch
from torch import Tensor

from ..errors import UserError
from ..model.embeddings import Input
from ..model.layout import Layout
from ..model.model import Model
from ..model.plan import Plan
from ..model.probe import Probe, addresses

Change = Callable[[str, Tensor, Tensor | None], Tensor]
PADDED = ("query", "key", "value", "scores", "weights")  # these come in groups of rows, padded


@lru_cache(maxsize=65536)
def _fits(address: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(address, pattern) for pattern in patterns)


def matching(plan: Plan, patterns: Sequence[str]) -> list[str]:
    """The addresses of a plan that patterns name; UserError for a pattern that names none."""
    every = list(addresses(plan))
    known, exact = set(every), set(patterns)
    if exact <= known:
        return [address for address in every if address in exact]
    for pattern in patterns:
        if pattern not in known and not any(fnmatchcase(address, pattern) for address in every):
            like = get_close_matches(pattern, every, n=1, cutoff=0.0)[0]
            raise UserError(f"no address of this model fits {pattern!r}; the most like it is {like!r}")
    return [address for address in every if _fits(address, tuple(patterns))]


class Capture:
    """A probe that keeps what it sees at some addresses, group of rows after group of rows, and changes nothing.

    `row` gives it by row. With `gradients` what is kept belongs to the graph, else it is detached. Kept until the next
    `clear`, so one capture can see one pass or many.
    """

    def __init__(self, *patterns: str, gradients: bool = False) -> None:
        self.patterns, self.gradients = patterns, gradients
        self._named, self._spans = frozenset(patterns), any(sign in one for one in patterns for sign in "*?[")
        self.seen: dict[str, list[tuple[Tensor, Tensor | None]]] = {}

    def wants(self, address: str) -> bool:
        # Most know what they want by name, and a pass asks some hundred times.
        return address in self._named or (self._spans and _fits(address, self.patterns))

    def see(self, address: str, value: Tensor, rows: Tensor | None = None) -> Tensor:
        # What follows may work in place (activations do), so a copy is kept.
        kept = value if self.gradients else value.detach().clone()
        self.seen.setdefault(address, []).append((kept, rows))
        return value

    def clear(self) -> None:
        self.seen.clear()

    def row(self, address: str, row: int, layouts: Mapping[str, Layout]) -> Tensor:
        """What one row had at an address in one pass, without padding: [heads, queries, keys] of weights and scores,
        [heads, tokens, head width] of queries, keys and values, [tokens, width] of everything else."""
        stream, _, attended, *_ = [*address.split("."), ""]
        point = address.rsplit(".", 1)[1]
        asked = layouts[stream]
        if point not in PADDED:
            ((value, _),) = self.seen[address]
            start = int(asked.starts[row])
            return value[start : start + int(asked.lengths[row])]
        value, place = self._block(address, row)
        queries, keys = int(asked.lengths[row]), int(layouts[attended].lengths[row])
        if point in ("scores", "weights"):
            return value[place, :, :queries, :keys]
        return value[place, :, : queries if point == "query" else keys]

    def _block(self, address: str, row: int) -> tuple[Tensor, int]:
        for value, rows in self.seen[address]:
            assert rows is not None, "a padded point comes with its rows"
            places = (rows == row).nonzero()
            if len(places):
                return value, int(places[0])
        raise KeyError(f"{address}: row {row} was not seen")


@dataclass
class Edit:
    """A probe that changes what passes at some addresses: `change(address, value, rows)` gives what goes on."""

    patterns: tuple[str, ...]
    change: Change

    def wants(self, address: str) -> bool:
        return _fits(address, self.patterns)

    def see(self, address: str, value: Tensor, rows: Tensor | None = None) -> Tensor:
        return self.change(address, value, rows)


class Together:
    """Several probes as one: each sees what the one before it handed on."""

    def __init__(self, *probes: Probe) -> None:
        self.probes = probes

    def wants(self, address: str) -> bool:
        return any(probe.wants(address) for probe in self.probes)

    def see(self, address: str, value: Tensor, rows: Tensor | None = None) -> Tensor:
        for probe in self.probes:
            if probe.wants(address):
                value = probe.see(address, value, rows)
        return value


class Once:
    """A probe that is let in the first time at each address: where a text is read, and not where it is gone on with."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self._done: set[str] = set()

    def wants(self, address: str) -> bool:
        return address not in self._done and self.probe.wants(address)

    def see(self, address: str, value: Tensor, rows: Tensor | None = None) -> Tensor:
        self._done.add(address)
        return self.probe.see(address, value, rows)


# ---- what one may want to change ------------------------------------------------------------------------------------

Which = Mapping[int, Sequence[int]] | Sequence[int]  # numbers for every row, or by row of the batch


def heads_off(heads: Mapping[str, Which]) -> Edit:
    """Without some heads: their weights become 0, and so does what they add. By attention (`target.3.source`) the
    heads, for all rows alike or by row. Feels the same in one pass and in decoding."""

    def change(address: str, weights: Tensor, rows: Tensor | None) -> Tensor:
        off = _marked(heads[address.removesuffix(".weights")], rows, weights.shape[1])
        return weights.masked_fill(off[:, :, None, None].to(weights.device), 0.0)

    return Edit(tuple(f"{attention}.weights" for attention in heads), change)


def hidden(stream: str, tokens: Which) -> Edit:
    """As if some tokens of a stream were not there: no attention sees them, and what others get is shared out again, as
    a mask would. A query that is left with nothing to see gets exact zeros. The tokens themselves still ask."""

    def change(address: str, weights: Tensor, rows: Tensor | None) -> Tensor:
        gone = _marked(tokens, rows, weights.shape[3])
        left = weights.masked_fill(gone[:, None, None].to(weights.device), 0.0)
        total = left.sum(-1, keepdim=True)
        return torch.where(total > 0, left / total.clamp(min=1e-30), left)

    return Edit((f"*.{stream}.weights",), change)


def patched(address: str, tokens: Sequence[int], states: Tensor) -> Edit:
    """Other states [tokens, width] in the place of those at an address, for instance of another run (`Capture`): in a
    pass over packed rows of its `tokens`. In decoding wrap it in `Once`, or each new token would be taken for them."""
    places = torch.tensor(list(tokens))

    def change(at: str, value: Tensor, rows: Tensor | None) -> Tensor:
        return value.index_copy(0, places.to(value.device), states.to(value))

    return Edit((address,), change)


def _marked(which: Which, rows: Tensor | None, size: int) -> Tensor:
    """Boolean [rows or 1, size]: which numbers are meant, in each row of a group. Those beyond `size` are not there: in
    decoding a stream may still be shorter."""
    if not isinstance(which, Mapping):
        marks = torch.zeros(1, size, dtype=torch.bool)
        marks[0, [number for number in which if number < size]] = True
        return marks
    assert rows is not None, "what is said by row needs the rows"
    marks = torch.zeros(len(rows), size, dtype=torch.bool)
    for place, row in enumerate(rows.tolist()):
        marks[place, [number for number in which.get(row, ()) if number < size]] = True
    return marks


# ---- one pass --------------------------------------------------------------------------------------------------------


@dataclass
class Seen:
    """One pass over some rows: the states and layouts of the streams at its end, and what a capture kept."""

    states: dict[str, Tensor]
    layouts: dict[str, Layout]
    captured: Capture
    addresses: list[str] = field(default_factory=list)

    def row(self, address: str, row: int = 0) -> Tensor:
        """What one row had at an address; see `Capture.row`."""
        return self.captured.row(address, row, self.layouts)


def capture(model: Model, inputs: Mapping[str, Input], patterns: Sequence[str], *edits: Probe) -> Seen:
    """Walk the whole plan over some inputs, without gradients, and keep what the patterns name.

    What `edits` change is changed before it is kept. The model is left in the mode it was in. UserError for a pattern
    that names nothing.
    """
    found = matching(model.plan, patterns)
    kept = Capture(*found)
    training = model.training
    if training:
        model.eval()  # it goes through every module, which takes as long as a layer
    try:
        with torch.no_grad():
            states, layouts = model.encode(inputs, probe=Together(*edits, kept) if edits else kept)
    finally:
        if training:
            model.train()
    return Seen(states, layouts, kept, [address for address in found if address in kept.seen])
