"""Keys and values kept between decoding steps. Lives outside the model and is handed to it.

The k hypotheses of a sentence are k queries of ONE row. Each step appends k cells to every row; nothing is ever moved:
which cells a hypothesis descends from is a mask (the ancestry), rewritten when the search picks parents. Another
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
        self.position = torch.full((rows,), -1, dtype=torch.long, device=self.device)
        self.row_numbers = torch.arange(rows)
        self._ancestry: Tensor | None = None  # [rows, slots, cells], 0 or NEVER; None while every query sees all cells
        self._cell_positions = torch.zeros(rows, 0, dtype=torch.long, device=self.device)
        self._own: dict[str, Pair] = {}
        self._settled: dict[str, Pair] = {}
        self._settled_bias: dict[str, tuple[Tensor | None, Tensor | None]] = {}
        self._prepared: dict[Any, Any] = {}
        self._turns: dict[Any, Any] = {}

    # ---- what the search says -------------------------------------------------------------------------------------

    def fill(self, lengths: Tensor, longest: int) -> None:
        """A prompt of `lengths` [rows] tokens, padded to `longest`, is about to be added by `extend`."""
        self.cells += longest
        self.longest += longest
        inside = torch.arange(longest, device=self.device)
        self._cell_positions = inside.expand(self.rows, longest).clone()
        self.position = lengths.to(self.device) - 1
        real = inside[None] < lengths.to(self.device)[:, None]
        if self.slots > 1 or not bool(real.all()):
            bias = torch.zeros(self.rows, 1, longest, device=self.device).masked_fill_(~real[:, None], NEVER)
            self._ancestry = bias.expand(self.rows, self.slots, longest).contiguous()
        self._forget()

    def grow(self, parents: Tensor | None = None) -> None:
        """Room for one more token of every hypothesis, which descends from `parents` [rows, slots] (None: itself)."""
        rows, slots = self.rows, self.slots
        self.position = self.position + 1
        new = self.position[:, None].expand(rows, slots)
        self._cell_positions = torch.cat([self._cell_positions, new], 1)
        if slots > 1:
            eye = torch.full((slots, slots), NEVER, device=self.device).fill_diagonal_(0.0)
            before = self._ancestry
            if before is None:
                before = torch.zeros(rows, slots, 0, device=self.device)
            elif parents is not None:
                before = before.gather(1, parents[:, :, None].expand(rows, slots, before.shape[2]))
            self._ancestry = torch.cat([before, eye.expand(rows, slots, slots)], 2)
        elif self._ancestry is not None:
            self._ancestry = torch.cat([self._ancestry, self._ancestry.new_zeros(rows, 1, 1)], 2)
        self.cells += slots
        self.longest += 1
        self._forget()

    def keep(self, rows: Tensor) -> None:
        """Only these rows go on, in this order."""
        pick = lambda tensor: None if tensor is None else tensor.index_select(0, rows)
        self.rows = len(rows)
        self.position = self.position[rows]
        self.row_numbers = self.row_numbers[rows.cpu()]
        self._ancestry = pick(self._ancestry)
        self._cell_positions = self._cell_positions[rows]
        self._own = {name: self._trim(pair, rows) for name, pair in self._own.items()}
        self._settled = {name: (key[rows], value[rows]) for name, (key, value) in self._settled.items()}
        self._settled_bias = {name: (pick(bias), pick(blind)) for name, (bias, blind) in self._settled_bias.items()}
        self._prepared.clear()
        self._turns.clear()

    def _trim(self, pair: Pair, rows: Tensor) -> Pair:
        """The rows' used cells, with room for as many again as one growth adds."""
        return _enlarged((pair[0][:, :, : self.cells], pair[1][:, :, : self.cells]), self._room(self.cells), rows)

    # ---- what an attention asks -----------------------------------------------------------------------------------

    def extend(self, address: str, key: Tensor, value: Tensor) -> Pair:
        """Add this step's keys and values [rows, key heads, new cells, width]; returns all so far."""
        new = key.shape[2]
        kept = self._own.get(address)
        if kept is None:
            shape = (self.rows, key.shape[1], self._room(self.cells), key.shape[3])
            kept = key.new_empty(shape), value.new_empty((*shape[:3], value.shape[3]))
        elif kept[0].shape[2] < self.cells:
            kept = _enlarged(kept, self._room(self.cells))
        self._own[address] = kept
        kept[0][:, :, self.cells - new : self.cells] = key
        kept[1][:, :, self.cells - new : self.cells] = value
        return kept[0][:, :, : self.cells], kept[1][:, :, : self.cells]

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
        """Ancestry, window and relative positions of this step: [rows, 1 or heads, slots, cells]."""
        query = self.position[:, None, None, None]
        key = self._cell_positions[:, None, None, :]
        bias = relative_bias(attend, query, key, table)
        if self._ancestry is not None:
            ancestry = self._ancestry[:, None]
            bias = ancestry if bias is None else bias + ancestry
        if attend.window is not None:
            outside = query - key >= attend.window
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
        self._prepared = {name: made for name, made in self._prepared.items() if name[1] is None}

    def _room(self, cells: int) -> int:
        return max(32 * self.slots, cells + cells // 2)


def _enlarged(pair: Pair, cells: int, rows: Tensor | None = None) -> Pair:
    made = []
    for tensor in pair:
        count = tensor.shape[0] if rows is None else len(rows)
        larger = tensor.new_empty(count, tensor.shape[1], cells, tensor.shape[3])
        larger[:, :, : tensor.shape[2]] = tensor if rows is None else tensor[rows]
        made.append(larger)
    return made[0], made[1]
