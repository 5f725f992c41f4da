"""Walks a plan: masks and biases are prepared once, then the steps run in order, all or some of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from . import kernels
from .attention import EXACT, Attention, Pairing, Sizes
from .block import Block
from .cache import Cache
from .hardware import makes_code
from .layout import Layout, filled
from .masks import Mask
from .plan import Attend, FinalNorm
from .probe import Probe

if TYPE_CHECKING:
    from .model import Model

States = dict[str, Tensor]

# Blocks may be rounded up: training's, because torch's softmax takes several times as long over fewer numbers than a
# vector holds, and all that oneDNN multiplies, which is then spared new sizes.
ROUNDED = Sizes(least_keys=16)
FEW = Sizes(multiple=8, least_keys=16)


class Pairings:
    """The pairings of a forward pass, each made when first asked for and shared by all layers that ask alike."""

    def __init__(
        self, layouts: Mapping[str, Layout], masks: Mapping[str, Mask] | None, one_group: bool, sizes: Sizes = EXACT
    ) -> None:
        self.layouts = layouts
        self.masks = masks or {}
        self.one_group, self.sizes = one_group, sizes
        self._made: dict[object, Pairing] = {}

    def of(self, stream: str, attention: Attention) -> Pairing:
        """How `attention` of a block of `stream` pairs its queries and keys."""
        attend = attention.attend
        table = attention.buckets if attend.positions == "buckets" else None
        key = (stream, *_alike(attend), id(table))
        if key not in self._made:
            mask = self.masks.get(stream) if attend.stream == stream else None
            queries, keys = self.layouts[stream], self.layouts[attend.stream]
            self._made[key] = Pairing(attend, queries, keys, table, mask, self.one_group, self.sizes)
        return self._made[key]


def _alike(attend: Attend) -> tuple[object, ...]:
    """What of an attention its pairing depends on."""
    return (
        attend.stream, attend.heads, attend.kv_heads, attend.head_width, attend.mask, attend.window, attend.positions,
        attend.rotary_base, attend.buckets, attend.bucket_distance,
    )  # fmt: skip


def run(
    model: Model,
    states: Mapping[str, Tensor],
    layouts: Mapping[str, Layout],
    *,
    masks: Mapping[str, Mask] | None = None,
    probe: Probe | None = None,
    first: int = 0,
    last: int | None = None,
) -> States:
    """States of every stream [tokens, width] after the plan's steps `first` to `last` (not included; None: all).

    `masks` replaces the own mask of a stream's blocks. Streams that are not given are left out with their steps, so
    that an encoder can run alone. Blocks of one step read other streams as they were when the step began.
    """
    now = dict(states)
    sizes = _sizes(layouts, states, model.training)
    if probe is not None and sizes is FEW:
        sizes = EXACT  # filler would be seen; what is only rounded is padded a little more, so that no bit changes
    if sizes is not EXACT:
        now = {name: filled(part) for name, part in now.items()}
    pairings = Pairings(layouts, masks, one_group=False, sizes=sizes)
    for number in range(first, len(model.plan.steps) if last is None else last):
        step = model.plan.steps[number]
        if isinstance(step, FinalNorm):
            if step.stream in now:
                now[step.stream] = model.streams[step.stream].norm(now[step.stream])
            continue
        snapshot = dict(now)
        for address, block in model.steps[number]:
            if block.plan.stream in snapshot:
                now[block.plan.stream] = _attend_block(block, address, snapshot, pairings, probe)
    return {name: part[: layouts[name].tokens] for name, part in now.items()} if sizes is not EXACT else now


def _sizes(layouts: Mapping[str, Layout], states: Mapping[str, Tensor], training: bool) -> Sizes:
    for layout in layouts.values():
        if not layout.plain or kernels.choose(layout.device, layout.longest, layout.longest) != "explicit":
            return EXACT
    if any(makes_code(part) for part in states.values()):
        return FEW
    return ROUNDED if training else EXACT


def _attend_block(
    block: Block,
    address: str,
    snapshot: Mapping[str, Tensor],
    pairings: Pairings,
    probe: Probe | None,
    cache: Cache | None = None,
) -> Tensor:
    stream = block.plan.stream

    def attending(attention: Attention, states: Tensor, here: str) -> Tensor:
        pairing = pairings.of(stream, attention)
        attended = snapshot[attention.attend.stream]
        return attention(states, attended, pairing, probe, here, cache)  # type: ignore[no-any-return]

    return block(snapshot[stream], attending, probe, address)  # type: ignore[no-any-return]


def settle(
    model: Model, stream: str, states: Mapping[str, Tensor], layouts: Mapping[str, Layout], cache: Cache
) -> None:
    """Put what the blocks of `stream` attend to in finished streams into the cache: keys, values, and what is real."""
    queries = Layout.even(cache.rows, 1, cache.device)
    pairings = Pairings({**layouts, stream: queries}, None, one_group=True)
    for blocks in model.steps:
        for address, block in blocks:
            if block.plan.stream != stream:
                continue
            for attention in block.attentions:
                other = attention.attend.stream
                if other != stream:
                    pairing = pairings.of(stream, attention)
                    cache.settle(f"{address}.{other}", attention.settle(states[other], pairing))
                    cache.settle_bias(other, pairing.groups[0].bias, pairing.groups[0].blind)


def prefill(
    model: Model,
    stream: str,
    states: Mapping[str, Tensor],
    layouts: Mapping[str, Layout],
    cache: Cache,
    probe: Probe | None = None,
) -> Tensor:
    """States [tokens, width] of a packed prompt of `stream` after all its blocks; its keys and values fill the cache.

    Equal to that many steps, at the cost of one forward pass. `states` also holds the finished streams attended to.
    """
    layout = layouts[stream]
    cache.fill(torch.from_numpy(layout.lengths), layout.longest)
    pairings = Pairings(layouts, None, one_group=True)
    now = dict(states)
    for number, planned in enumerate(model.plan.steps):
        if isinstance(planned, FinalNorm):
            if planned.stream == stream:
                now[stream] = model.streams[stream].norm(now[stream])
            continue
        for address, block in model.steps[number]:
            if block.plan.stream == stream:
                now[stream] = _attend_block(block, address, now, pairings, probe, cache)
    return now[stream]


def step(model: Model, stream: str, states: Tensor, cache: Cache, probe: Probe | None = None) -> Tensor:
    """One decoding step of `stream`: states [rows x slots, width] of its newest tokens, after all its blocks.

    The cache must have grown for this step, and hold the other streams (`settle`).
    """

    def attending(attention: Attention, now: Tensor, here: str) -> Tensor:
        return attention.step(now, cache, probe, here)

    for number, planned in enumerate(model.plan.steps):
        if isinstance(planned, FinalNorm):
            if planned.stream == stream:
                states = model.streams[stream].norm(states)
            continue
        for address, block in model.steps[number]:
            if block.plan.stream == stream:
                states = block(states, attending, probe, address)
    return states
