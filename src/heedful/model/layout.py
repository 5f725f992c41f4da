"""Rows of tokens laid end to end. Padding exists only inside attention, between two gathers.

A stream's states are [tokens, width]. The Layout says which token belongs to which row; it is built on the host from
NumPy lengths, so that no size is ever read back from a device. Three forms, one law that they agree:

- packed: only real tokens, rows end to end (training);
- uniform: every row equally long, so that padding is a view (decoding steps, and packed rows that happen to be equal);
- padded: rows x longest, real or not, with a keep mask (export, compiled graphs).
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from .hardware import makes_code

Lengths = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]


class Layout:
    """Where each token of a stream stands: `rows` rows of `lengths` tokens, `longest` the longest, `tokens` in all.

    `lengths` is what is stored per row: in the padded form `longest` for every row, with `keep` [rows, longest] saying
    which are real. `first` is the position of each row's first token (decoding goes on where the prompt ended).
    """

    def __init__(
        self,
        lengths: Lengths,
        *,
        device: torch.device | str = "cpu",
        keep: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> None:
        lengths = np.asarray(lengths, np.int64)
        if lengths.ndim != 1 or (len(lengths) and lengths.min() < 0):
            raise ValueError(f"lengths must be a vector of counts, not {lengths!r}")
        self.lengths = lengths
        self.rows = len(lengths)
        self.longest = int(lengths.max()) if self.rows else 0
        self.tokens = int(lengths.sum())
        self.uniform = self.tokens == self.rows * self.longest
        self.device = torch.device(device)
        self.keep = keep
        self.explicit_positions = positions

    @classmethod
    def packed(cls, lengths: Lengths, device: torch.device | str = "cpu") -> Layout:
        """Rows of these lengths, end to end."""
        return cls(lengths, device=device)

    @classmethod
    def even(
        cls, rows: int, length: int, device: torch.device | str = "cpu", positions: Tensor | None = None
    ) -> Layout:
        """The uniform form; `positions` [rows * length] where they do not count from 0 (decoding steps)."""
        return cls(np.full(rows, length, np.int64), device=device, positions=positions)

    @classmethod
    def padded(cls, keep: Tensor) -> Layout:
        """The padded form: `keep` [rows, longest] is True where a token is real."""
        rows, longest = keep.shape
        return cls(np.full(rows, longest, np.int64), device=keep.device, keep=keep)

    @property
    def plain(self) -> bool:
        """Whether all tokens are real and every row begins at position 0: the packed form."""
        return self.keep is None and self.explicit_positions is None

    @cached_property
    def starts(self) -> Lengths:
        """Index of each row's first token."""
        return np.concatenate([[0], np.cumsum(self.lengths)[:-1]]).astype(np.int64)

    @cached_property
    def positions(self) -> Tensor:
        """Position of each token in its row [tokens]."""
        if self.explicit_positions is not None:
            return self.explicit_positions
        inside = np.arange(self.tokens) - np.repeat(self.starts, self.lengths)
        return torch.from_numpy(inside).to(self.device)

    @cached_property
    def row(self) -> Tensor:
        """Row of each token [tokens]."""
        return torch.from_numpy(np.repeat(np.arange(self.rows), self.lengths)).to(self.device)

    @cached_property
    def first_tokens(self) -> Tensor:
        """Index of the first token of each row [rows]; rows must not be empty."""
        if self.rows and self.lengths.min() == 0:
            raise ValueError("a row without tokens has no first token")
        return torch.from_numpy(self.starts).to(self.device)

    @cached_property
    def last_tokens(self) -> Tensor:
        """Index of the last real token of each row [rows]; rows must not be empty."""
        if self.keep is None:
            return self.first_tokens + torch.from_numpy(self.lengths - 1).to(self.device)
        slots = torch.arange(self.longest, device=self.device)
        return self.first_tokens + torch.where(self.keep, slots, 0).amax(1)

    def longest_of(self, rows: Rows) -> int:
        """Tokens of the longest of these rows."""
        return int(self.lengths[rows].max()) if len(rows) else 0

    def expand(self, rows: int) -> Layout:
        """This single-row layout, `rows` times (encode once, then pair with many)."""
        if self.rows != 1:
            raise ValueError(f"only a layout of one row can be expanded, not of {self.rows}")
        return Layout(np.repeat(self.lengths, rows), device=self.device)

    def to(self, device: torch.device | str) -> Layout:
        """The same layout with its tensors on another device."""
        keep, positions = (None if part is None else part.to(device) for part in (self.keep, self.explicit_positions))
        return Layout(self.lengths, device=device, keep=keep, positions=positions)


class Gather(torch.autograd.Function):
    """rows of `states` picked by `there`; the gradient is a gather too, by `back`, since no real row is picked twice.

    Slots that pad repeat some real row; their gradient is exactly zero by construction (they are masked as keys and
    dropped as queries), so leaving them out of the backward pass changes nothing. Nothing picks filler.
    """

    @staticmethod
    def forward(ctx, states: Tensor, there: Tensor, back: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(back)
        ctx.count = states.shape[0]
        return states.index_select(0, there)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[no-untyped-def]
        (back,) = ctx.saved_tensors
        return _select(gradient.contiguous(), back, ctx.count), None, None


class Scatter(torch.autograd.Function):
    """The way back: `count` rows, those of `slots` picked by `there` and then zeros; the gradient likewise."""

    @staticmethod
    def forward(ctx, slots: Tensor, there: Tensor, count: int) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(there)
        ctx.count = slots.shape[0]
        return _select(slots, there, count)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[no-untyped-def]
        (there,) = ctx.saved_tensors
        zeros = gradient.new_zeros(ctx.count, gradient.shape[1])
        return zeros.index_copy_(0, there, gradient[: len(there)].contiguous()), None, None


def _select(rows: Tensor, picked: Tensor, count: int) -> Tensor:
    """The rows picked, followed by zeros that make `count` of them."""
    if len(picked) == count:
        return rows.index_select(0, picked)
    chosen = rows.new_empty(count, rows.shape[1])
    torch.index_select(rows, 0, picked, out=chosen[: len(picked)])
    chosen[len(picked) :] = 0.0
    return chosen


def round_up(count: int, multiple: int) -> int:
    """To a multiple, and to one of the 16 steps from a power of two to the next: at most a sixteenth more."""
    step = max(multiple, 1 << max(0, count.bit_length() - 5)) if multiple > 1 else 1
    return -(-count // step) * step


def filled(states: Tensor) -> Tensor:
    """`states` [n, width] and filler, zeros that belong to no token, up to few sizes (where `makes_code`).

    Nothing that is scored depends on filler, so its gradient is zero and adds nothing to those of weights.
    """
    count = states.shape[0]
    missing = round_up(count, 64) - count if makes_code(states) else 0
    return functional.pad(states, (0, 0, 0, missing)) if missing else states


class Slots:
    """Gather indices between [tokens, heads x head width] and one [rows, heads, longest, head width] block per group.

    One gather pads, splits the heads and brings them to the front at once: it works on rows of one head's width.
    `parts` are laid side by side in the states (query, key, value): the heads of each, and how long its blocks are, by
    group. Blocks of a group follow one another part by part. A row that stands in a group again right after itself only
    fills the block.
    """

    def __init__(self, layout: Layout, groups: list[Rows], parts: tuple[tuple[int, list[int]], ...]) -> None:
        self.layout, self.groups, self.parts = layout, groups, parts
        # Equally long rows that nothing is added to: padding is a view, and needs no indices.
        whole = len(groups) == 1 and len(groups[0]) == layout.rows and layout.tokens > 0
        self.even = whole and layout.uniform and all(longest == [layout.longest] for _, longest in parts)
        self.shapes = [[(len(rows), heads, longest[n]) for heads, longest in parts] for n, rows in enumerate(groups)]

    @cached_property
    def indices(self) -> tuple[Tensor, Tensor]:
        """There and back."""
        layout, total = self.layout, sum(heads for heads, _ in self.parts)
        pieces: list[npt.NDArray[np.int64]] = []
        reals: list[npt.NDArray[np.bool_]] = []
        for rows, shapes in zip(self.groups, self.shapes, strict=True):
            lengths = layout.lengths[rows]
            again = np.diff(rows, prepend=-1) == 0
            offset = 0
            for shape in shapes:
                inside = np.arange(shape[2])
                real = inside[None, :] < lengths[:, None]
                token = layout.starts[rows][:, None] + np.where(real, inside[None, :], 0)
                token = np.minimum(token, max(layout.tokens - 1, 0))  # an empty last row has no token to repeat
                real[again] = False
                columns = offset + np.arange(shape[1])
                pieces.append((token[:, None, :] * total + columns[None, :, None]).reshape(-1))
                reals.append(np.broadcast_to(real[:, None, :], shape).reshape(-1))
                offset += shape[1]
        there, real = np.concatenate(pieces), np.concatenate(reals)
        back = np.empty(layout.tokens * total, np.int64)
        back[there[real]] = np.flatnonzero(real)
        return torch.from_numpy(there).to(layout.device), torch.from_numpy(back).to(layout.device)

    def pad(self, states: Tensor, head_width: int) -> list[list[Tensor]]:
        """[tokens, all heads x head width] -> per group, per part: [rows, heads, longest, head width]."""
        if self.even and states.shape[0] == self.layout.tokens:
            split = states.reshape(self.layout.rows, self.layout.longest, -1, head_width)
            return [[part.transpose(1, 2) for part in split.split([heads for heads, _ in self.parts], 2)]]
        flat: Tensor = Gather.apply(states.reshape(-1, head_width), *self.indices)
        sizes = [rows * heads * longest for shapes in self.shapes for rows, heads, longest in shapes]
        blocks = iter(flat.split(sizes))
        return [[next(blocks).view(*shape, head_width) for shape in shapes] for shapes in self.shapes]

    def unpad(self, blocks: list[Tensor], tokens: int) -> Tensor:
        """Blocks [rows, heads, longest, head width], one per group -> [tokens, heads x head width]; filler is zero."""
        heads, width = blocks[0].shape[1], blocks[0].shape[-1]
        if self.even and tokens == self.layout.tokens:
            return blocks[0].transpose(1, 2).reshape(tokens, heads * width)
        flat = [block.reshape(-1, width) for block in blocks]
        joined = flat[0] if len(flat) == 1 else torch.cat(flat)
        states: Tensor = Scatter.apply(joined, self.indices[1], tokens * heads)
        return states.view(tokens, heads * width)


def length_groups(queries: Lengths, keys: Lengths, most: int = 6) -> list[Rows]:
    """Rows that pad well together: equal cuts of the rows sorted by length, as many as lower the padded cost.

    A pure function of lengths. The cost of a group is its padded cells (query x key, and the states that are moved)
    plus what a group costs to start; one group, in the given order, is what length-bucketed batches get.
    """
    everything = np.arange(len(queries))
    if len(queries) < 8:
        return [everything]

    def cost(groups: list[Rows]) -> float:
        total = 0.0
        for rows in groups:
            query, key = int(queries[rows].max()), int(keys[rows].max())
            total += len(rows) * (query * key + 16 * (query + key)) + 4000
        return total

    order = np.lexsort((everything, queries, np.maximum(queries, keys)))
    choices = [[everything]] + [[np.sort(part) for part in np.array_split(order, n)] for n in range(2, most + 1)]
    return min(choices, key=cost)
