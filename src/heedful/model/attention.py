"""The one attention: the only file that says query, key, value.

Every role (self, masked, cross, co-attention) is this module under another Pairing: which layout asks, which answers,
what may be seen. Nothing here knows of families.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from . import kernels
from .cache import Cache
from .layout import Layout, Rows, Slots, length_groups, round_up
from .masks import Mask, additive
from .norms import norm
from .plan import Attend, Norm, attention_scale
from .positions import relative_bias, rotate, rotation
from .probe import Probe, see

Turn = tuple[Tensor, Tensor]


class Group:
    """Rows that are padded to one block: what may be seen there, what positions add, who sees nothing.

    `bias` broadcasts to [rows, heads, queries, keys]; `blind` [rows, 1, queries or 1, 1]; `turns` rotate query and key.
    """

    def __init__(
        self, bias: Tensor | None, blind: Tensor | None, turns: tuple[Turn, Turn] | None, rows: Tensor
    ) -> None:
        self.bias, self.blind, self.turns, self.rows = bias, blind, turns, rows

    def bias_like(self, states: Tensor) -> Tensor | None:
        """The bias in the states' precision, converted once."""
        if self.bias is not None and self.bias.dtype != states.dtype:
            self.bias = self.bias.to(states.dtype)
        return self.bias


@dataclass(frozen=True)
class Sizes:
    """What a block's rows, queries and keys are rounded up to (see `round_up`)."""

    multiple: int = 1
    least_keys: int = 0

    def rows(self, rows: Rows) -> Rows:
        """The rows, the last one again and again until there are enough."""
        return np.concatenate([rows, np.repeat(rows[-1:], round_up(len(rows), self.multiple) - len(rows))])

    def queries(self, longest: int) -> int:
        return round_up(longest, self.multiple)

    def keys(self, longest: int) -> int:
        return max(self.queries(longest), self.least_keys) if longest else 0


EXACT = Sizes()


def _group(
    attend: Attend, mask: Mask, queries: Layout, keys: Layout, rows: Rows, table: Tensor | None, most: tuple[int, int]
) -> Group:
    """For these rows, in a block of `most` queries and keys."""
    query = _block_positions(queries, rows, most[0])[:, None, :, None]
    key = _block_positions(keys, rows, most[1])[:, None, None, :]
    visible = mask.visible(query, key)
    real = _real(keys, rows, most[1])
    own = queries is keys
    if own and mask.kind == "causal" and keys.keep is None:
        real = None  # keys past a row's end lie in the future of all its real queries anyway
    if real is not None:
        real = real[:, None, None, :]
        visible = real if visible is None else visible & real
    blind = None
    if visible is not None and (keys.keep is not None or bool((keys.lengths[rows] == 0).any())):
        blind = ~visible.any(-1, keepdim=True)
    bias = relative_bias(attend, query, key, table)
    if visible is not None:
        never = additive(visible, torch.float32)
        bias = never if bias is None else bias + never
    turns = None
    if attend.positions == "rotary":
        turns = _turn(attend, query[:, 0, :, 0]), _turn(attend, key[:, 0, 0, :])
    return Group(bias, blind, turns, torch.from_numpy(rows))


class Pairing:
    """All that an attention needs to know of its two layouts, prepared once per forward and shared by all layers."""

    def __init__(
        self,
        attend: Attend,
        queries: Layout,
        keys: Layout,
        table: Tensor | None = None,
        mask: Mask | None = None,
        one_group: bool = False,
        sizes: Sizes = EXACT,
    ) -> None:
        own = queries is keys
        everything = [np.arange(queries.rows)]
        groups = everything if one_group else length_groups(queries.lengths, keys.lengths)
        groups = [sizes.rows(rows) for rows in groups]
        query_sizes = [sizes.queries(queries.longest_of(rows)) for rows in groups]
        key_sizes = [sizes.keys(keys.longest_of(rows)) for rows in groups]
        mask = mask or Mask(attend.mask, window=attend.window)
        self.groups = [
            _group(attend, mask, queries, keys, rows, table, most)
            for rows, most in zip(groups, zip(query_sizes, key_sizes, strict=True), strict=True)
        ]
        query, key = (attend.heads, query_sizes), (attend.kv_heads, key_sizes)
        self.own = Slots(queries, groups, (query, key, key)) if own else None
        self.queries = Slots(queries, groups, (query,))
        self.keys = None if own else Slots(keys, groups, (key, key))


def _block_positions(layout: Layout, rows: Rows, longest: int) -> Tensor:
    """Positions [1 or rows, longest]; slots that pad count on."""
    if layout.explicit_positions is None:
        return torch.arange(longest, device=layout.device)[None]
    return layout.explicit_positions.view(layout.rows, -1)[torch.from_numpy(rows).to(layout.device)]


def _real(layout: Layout, rows: Rows, longest: int) -> Tensor | None:
    """Which slots hold a token [rows, longest]; None where all do."""
    if layout.keep is not None:
        return layout.keep[torch.from_numpy(rows).to(layout.device)]
    lengths = layout.lengths[rows]
    if (lengths == longest).all() and longest:
        return None
    return torch.from_numpy(np.arange(longest)[None] < lengths[:, None]).to(layout.device)


def _turn(attend: Attend, positions: Tensor) -> Turn:
    cosine, sine = rotation(positions.reshape(-1), attend.head_width, attend.rotary_base)
    shape = (positions.shape[0], 1, positions.shape[1], attend.head_width)
    return cosine.view(shape), sine.view(shape)


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017, 3.2) with explicit sizes; heads may share keys (Ainslie et al. 2023).

    In memory the own stream has one `input` matrix for query, key and value, another stream `query` and `key_value`;
    in files the three are separate (see `split_names`).
    """

    def __init__(self, attend: Attend, width: int, attended_width: int, own: bool, around: Norm) -> None:
        super().__init__()
        self.attend = attend
        self.own = own
        self.scale = attention_scale(attend)
        if own:
            self.input = nn.Linear(width, attend.inner + 2 * attend.kv_inner, bias=attend.bias)
        else:
            self.query = nn.Linear(width, attend.inner, bias=attend.bias)
            self.key_value = nn.Linear(attended_width, 2 * attend.kv_inner, bias=attend.bias)
        self.output = nn.Linear(attend.inner, width, bias=attend.bias)
        if attend.positions == "buckets":
            self.buckets = nn.Parameter(torch.zeros(attend.buckets, attend.heads))
        self.attended_norm = norm(around, attended_width) if attend.own_norm else None
        self.norm = norm(around, width)

    def forward(
        self,
        states: Tensor,
        attended: Tensor,
        pairing: Pairing,
        probe: Probe | None = None,
        address: str = "",
        cache: Cache | None = None,
    ) -> Tensor:
        """states [tokens, width], attended [its tokens, its width] -> [tokens, width]; `attended` is unused if own.

        With a cache (and a pairing of one group) the own stream's keys and values go there, for steps to go on from.
        """
        blocks = self._blocks(states, attended, pairing)
        outputs = []
        for group, (query, key, value) in zip(pairing.groups, blocks, strict=True):
            if group.turns is not None:
                query, key = rotate(query, group.turns[0]), rotate(key, group.turns[1])
            if cache is not None and self.own:
                assert len(pairing.groups) == 1, "a cache is filled from one group of rows"
                cache.extend(address, key, value)
            outputs.append(self._look_up(query, key, value, group, probe, address))
        joined = pairing.queries.unpad(outputs, states.shape[0])
        return self._leave(joined, probe, address)

    def step(self, states: Tensor, cache: Cache, probe: Probe | None = None, address: str = "") -> Tensor:
        """The same for a decoding step: `states` [rows x queries, width], even rows; keys and values are the cache's.

        A stream's own new keys join the cache; another stream's are those settled there before.
        """
        attend, rows = self.attend, cache.rows
        if self.own:
            parts = self.input(states).view(rows, -1, attend.heads + 2 * attend.kv_heads, attend.head_width)
            query, key, value = parts.transpose(1, 2).split((attend.heads, attend.kv_heads, attend.kv_heads), 1)
            if attend.positions == "rotary":
                turn = cache.turn(attend)
                query, key = rotate(query, turn), rotate(key, turn)
            key, value = cache.extend(address, key, value)
        else:
            query = self.query(states).view(rows, -1, attend.heads, attend.head_width).transpose(1, 2)
            key, value = cache.settled(address)
        group = self._cached_group(cache)
        output = self._look_up(query, key, value, group, probe, address)
        return self._leave(output.transpose(1, 2).reshape(states.shape[0], attend.inner), probe, address)

    def _cached_group(self, cache: Cache) -> Group:
        """What a step's queries may see, prepared by the first layer that asks and shared by the rest."""
        attend = self.attend
        table = self.buckets if attend.positions == "buckets" else None
        if not self.own:
            settled = lambda: Group(*cache.settled_bias(attend.stream), None, cache.row_numbers)
            return cache.prepared((attend.stream, None), settled)  # type: ignore[no-any-return]
        alike = (attend.mask, attend.window, attend.positions, attend.heads, id(table))
        now = lambda: Group(cache.own_bias(attend, table), None, None, cache.row_numbers)
        return cache.prepared((attend.stream, alike), now)  # type: ignore[no-any-return]

    def settle(self, attended: Tensor, pairing: Pairing) -> tuple[Tensor, Tensor]:
        """Keys and values [rows, key heads, longest, head width] of another stream, for a cache to hold."""
        assert pairing.keys is not None, "settling is for another stream"
        assert len(pairing.groups) == 1, "settling is for one group"
        if self.attended_norm is not None:
            attended = self.attended_norm(attended)
        ((key, value),) = pairing.keys.pad(self.key_value(attended), self.attend.head_width)
        return key, value

    def _blocks(self, states: Tensor, attended: Tensor, pairing: Pairing) -> list[list[Tensor]]:
        width = self.attend.head_width
        if self.own:
            assert pairing.own is not None, "an own stream pairs a layout with itself"
            return pairing.own.pad(self.input(states), width)
        assert pairing.keys is not None, "another stream pairs two layouts"
        if self.attended_norm is not None:
            attended = self.attended_norm(attended)
        query = pairing.queries.pad(self.query(states), width)
        key_value = pairing.keys.pad(self.key_value(attended), width)
        return [q + kv for q, kv in zip(query, key_value, strict=True)]

    def _look_up(
        self, query: Tensor, key: Tensor, value: Tensor, group: Group, probe: Probe | None, address: str
    ) -> Tensor:
        drop = self.attend.dropout if self.training else 0.0
        watch = None
        if probe is not None:
            watch = lambda point, seen: see(probe, address, point, seen, group.rows)
            query, key, value = watch("query", query), watch("key", key), watch("value", value)
            if not any(probe.wants(f"{address}.{point}") for point in ("scores", "weights")):
                watch = None
        bias = group.bias_like(query)
        if watch is None and kernels.choose(query.device, query.shape[2], key.shape[2]) == "fused":
            return kernels.fused(query, key, value, bias, group.blind, self.scale, drop)
        return kernels.explicit(query, key, value, bias, group.blind, self.scale, drop, watch)

    def _leave(self, joined: Tensor, probe: Probe | None, address: str) -> Tensor:
        return see(probe, address, "output", self.output(see(probe, address, "mixed", joined)))


def split_names(name: str) -> tuple[str, ...]:
    """The names in a file of a parameter in memory: `x.input.weight` is query, key and value side by side."""
    for joined, parts in (("input", ("query", "key", "value")), ("key_value", ("key", "value"))):
        for kind in ("weight", "bias"):
            if name.endswith(f".{joined}.{kind}"):
                stem = name[: -len(f"{joined}.{kind}")]
                return tuple(f"{stem}{part}.{kind}" for part in parts)
    return (name,)


def split_sizes(name: str, attend: Attend) -> tuple[int, ...]:
    """Rows of each part of a joined parameter."""
    own = (attend.inner, attend.kv_inner, attend.kv_inner)
    return own if ".input." in f".{name}" else own[1:]
