"""Keys and values kept between decoding steps. Lives outside the model and is handed to it.

The k hypotheses of a sentence are k queries of ONE row. Each step appends k cells to every row; nothing is ever moved:
which cells a hypothesis descends from is a mask (the ancestry), rewritten when the search picks parents. What all
hypotheses of a row begin with (a prompt, the first token) is held once: `fork` splits the row after it. Another
stream's keys are computed once and settle. When rows finish, `keep` drops them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .masks import NEVER
from .plan import Attend
from .positions import relative_bias, rotation

Pair = tuple[Tensor, Tensor]


class Cache:
    """Of `rows` rows with `slots` hypotheses each, at positions that begin at 0 (or after a prompt: `fill`)."""

    def __init__(self, rows: int, slots: int = 1, device: torch.device | str = "cpu") -> None:
        self.rows, self.slots = rows, slots
        self.device = torch.device(device)
        self.cells = 0
        self.longest = 0  # no position reaches this; known to the host
        self.even = True  # every row is at position `longest` - 1
        self.position = torch.full((rows,), -1, dtype=torch.long, device=self.device)
        self.row_numbers = torch.arange(rows)
        # [rows, slots, room for cells], 0 or NEVER; None while every query sees all cells. Only `cells` of it are real.
        self._ancestry: Tensor | None = None
        self._cell_positions: list[Tensor] = []  # pieces [rows, n] that together cover the cells
        self._own: dict[str, Tensor] = {}  # [key or value, rows, key heads, room for cells, width]
        self._settled: dict[str, Pair] = {}
        self._settled_bias: dict[str, tuple[Tensor | None, Tensor | None]] = {}
        self._prepared: dict[Any, Any] = {}
        self._turns: dict[Any, Any] = {}

    # ---- what the search says -------------------------------------------------------------------------------------

    def fill(self, lengths: Tensor, longest: int) -> None:
        """A prompt of `lengths` [rows] tokens, padded to `longest`, is about to be added; the cache is still empty."""
        assert self.cells == 0, "only an empty cache is filled"
        lengths = lengths.to(self.device)
        inside = torch.arange(longest, device=self.device)
        self._cell_positions = [inside.expand(self.rows, longest)]
        self.position = lengths - 1
        real = inside[None] < lengths[:, None]
        self.even = bool(real.all())
        if self.slots > 1 or not self.even:
            never = torch.zeros(real.shape, device=self.device).masked_fill_(~real, NEVER)
            self._ancestry = self._ancestry_room(longest)
            self._ancestry[:, :, :longest] = never[:, None]
        self.cells = self.longest = longest
        self._forget()

    def grow(self, parents: Tensor | None = None) -> None:
        """Room for one more token of every hypothesis, which descends from `parents` [rows, slots] (None: itself)."""
        rows, slots, before = self.rows, self.slots, self.cells
        self.cells += slots
        self.longest += 1
        self.position = self.position + 1
        self._cell_positions.append(
            self.position[:, None] if slots == 1 else self.position[:, None].expand(rows, slots)
        )
        if slots > 1 and self._ancestry is None:
            self._ancestry = self._ancestry_room(self.cells)
            self._ancestry[:, :, :before] = 0.0
        elif self._ancestry is not None:
            if self._ancestry.shape[2] < self.cells:
                larger = self._ancestry_room(self.cells)
                larger[:, :, :before] = self._ancestry[:, :, :before]
                self._ancestry = larger
            if parents is not None and slots > 1:
                past = self._ancestry.narrow(2, 0, before)
                past.copy_(past.gather(1, parents[:, :, None].expand(rows, slots, before)))
        if self._ancestry is not None:
            new = self._ancestry.narrow(2, before, slots)
            new.copy_(_only_oneself(slots, self.device))
        self._forget()

    def fork(self, slots: int) -> None:
        """From here every row has `slots` hypotheses, which share all that the one before them saw."""
        assert self.slots == 1, "a row is split once"
        self.slots = slots
        if self._ancestry is not None:
            before = self._ancestry
            self._ancestry = self._ancestry_room(self.cells)
            self._ancestry[:, :, : self.cells] = before[:, :, : self.cells]
        self._forget()

    def keep(self, rows: Tensor) -> None:
        """Only these rows go on, in this order."""
        pick = lambda tensor: None if tensor is None else tensor.index_select(0, rows)
        self._cell_positions = [self.cell_positions[rows]]
        self.rows = len(rows)
        self.position = self.position[rows]
        if not self.even and len(rows):
            self.longest = int(self.position.max()) + 1  # the furthest may have gone: learned positions have an end
        self.row_numbers = self.row_numbers[rows.cpu()]
        self._ancestry = pick(self._ancestry)
        self._own = {
            name: _enlarged(kept[:, :, :, : self.cells].index_select(1, rows), self._room(self.cells))
            for name, kept in self._own.items()
        }
        self._settled = {name: (key[rows], value[rows]) for name, (key, value) in self._settled.items()}
        self._settled_bias = {name: (pick(bias), pick(blind)) for name, (bias, blind) in self._settled_bias.items()}
        self._prepared.clear()
        self._turns.clear()

    # ---- what an attention asks -----------------------------------------------------------------------------------

    @property
    def cell_positions(self) -> Tensor:
        """The position that each cell's token stands at [rows, cells]."""
        if len(self._cell_positions) != 1:
            nothing = torch.zeros(self.rows, 0, dtype=torch.long, device=self.device)
            self._cell_positions = [torch.cat([nothing, *self._cell_positions], 1)]
        return self._cell_positions[0]

    def extend(self, address: str, key: Tensor, value: Tensor) -> Pair:
        """Add this step's keys and values [rows, key heads, new cells, width]; returns all so far."""
        new = key.shape[2]
        kept = self.room(address, key.shape[1], key.shape[3], key)
        there = kept.narrow(3, self.cells - new, new)
        there[0].copy_(key)
        there[1].copy_(value)
        seen = kept.narrow(3, 0, self.cells)
        return seen[0], seen[1]

    def room(self, address: str, key_heads: int, width: int, like: Tensor) -> Tensor:
        """Where keys and values live: [2, rows, key heads, at least `cells`, width]."""
        kept = self._own.get(address)
        if kept is None:
            kept = like.new_empty(2, self.rows, key_heads, self._room(self.cells), width)
            self._own[address] = kept
        elif kept.shape[3] < self.cells:
            kept = self._own[address] = _enlarged(kept, self._room(self.cells))
        return kept

    def taken(self, address: str) -> Tensor:
        """The keys and values so far, [2, rows, key heads, cells, width]; the caller keeps them from now on."""
        return self._own.pop(address).narrow(3, 0, self.cells)

    def settle(self, address: str, pair: Pair) -> None:
        """Another stream's keys and values, for good."""
        self._settled[address] = pair

    def settle_bias(self, stream: str, bias: Tensor | None, blind: Tensor | None) -> None:
        """What of another stream may be seen, shared by all its addresses."""
        self._settled_bias[stream] = bias, blind

    def settled(self, address: str) -> Pair:
        return self._settled[address]

    def settled_bias(self, stream: str) -> tuple[Tensor | None, Tensor | None]:
        return self._settled_bias[stream]

    def own_bias(self, attend: Attend, table: Tensor | None) -> Tensor | None:
        """Ancestry, window, relative positions of this step: [rows, 1 or heads, 1 or slots, cells]; None: nothing."""
        query = self.position[:, None, None, None]
        bias = None
        if attend.positions in ("alibi", "buckets"):
            bias = relative_bias(attend, query, self.cell_positions[:, None, None, :], table)
        if self._ancestry is not None:
            ancestry = self._ancestry.narrow(2, 0, self.cells)[:, None]
            bias = ancestry if bias is None else bias + ancestry
        if attend.window is not None and self.longest > attend.window:
            outside = query - self.cell_positions[:, None, None, :] >= attend.window
            never = torch.zeros(outside.shape, device=self.device).masked_fill_(outside, NEVER)
            bias = never if bias is None else bias + never
        return bias

    def turn(self, attend: Attend) -> Pair:
        """Rotation of this step's queries and keys, [rows, 1, 1, head width]."""
        name = (attend.head_width, attend.rotary_base)
        if name not in self._turns:
            cosine, sine = rotation(self.position, attend.head_width, attend.rotary_base)
            self._turns[name] = cosine[:, None, None], sine[:, None, None]
        return self._turns[name]  # type: ignore[no-any-return]

    def prepared(self, name: Any, make: Callable[[], Any]) -> Any:
        """What `make` gives, made once per step (once per compaction for other streams)."""
        if name not in self._prepared:
            self._prepared[name] = make()
        return self._prepared[name]

    def _forget(self) -> None:
        self._turns.clear()
        if self._prepared:
            self._prepared = {name: made for name, made in self._prepared.items() if name[1] is None}

    def _room(self, cells: int) -> int:
        return max(32 * self.slots, cells + cells // 2)

    def _ancestry_room(self, cells: int) -> Tensor:
        return torch.empty(self.rows, self.slots, self._room(cells), device=self.device)


def _only_oneself(slots: int, device: torch.device) -> Tensor:
    """[slots, slots]: of the cells that a step adds, each hypothesis descends from its own."""
    if slots == 1:
        return torch.zeros(1, 1, device=device)
    return torch.full((slots, slots), NEVER, device=device).fill_diagonal_(0.0)


def _enlarged(kept: Tensor, cells: int) -> Tensor:
    """The same with room for `cells`."""
    larger = kept.new_empty(*kept.shape[:3], cells, kept.shape[4])
    larger[:, :, :, : kept.shape[3]] = kept
    return larger
