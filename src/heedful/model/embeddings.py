"""From ids, regions or patches to a stream's first states [tokens, width]."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import plan
from .dropout import dropout
from .layout import Layout
from .norms import norm
from .positions import sinusoids


@dataclass
class TokenInput:
    """Token ids [tokens] laid out in rows, with segment ids [tokens] where the model has segments."""

    ids: Tensor
    layout: Layout
    segments: Tensor | None = None


@dataclass
class RegionInput:
    """Region vectors [regions, features] with boxes [regions, 5] (x1, y1, x2, y2, area, each in 0..1)."""

    features: Tensor
    boxes: Tensor
    layout: Layout


@dataclass
class PatchInput:
    """Patch pixels [patches, channels x edge x edge] with boxes [patches, 5]."""

    pixels: Tensor
    boxes: Tensor
    layout: Layout


Input = TokenInput | RegionInput | PatchInput


class TokenEmbedding(nn.Module):
    """Token vectors, scaled where the plan says so, plus positions and segments; then norm and dropout."""

    table: Tensor

    def __init__(self, sizes: plan.Tokens, width: int) -> None:
        super().__init__()
        self.sizes = sizes
        self.tokens = nn.Embedding(sizes.vocab, width)
        self.scale = math.sqrt(width) if sizes.scaled else 1.0
        self.positions = None
        if sizes.positions == "learned":
            self.positions = nn.Embedding(sizes.capacity + sizes.offset, width)
        elif sizes.positions == "sinusoidal":
            table = sinusoids(sizes.capacity + sizes.offset, width, sizes.sinusoid)
            self.register_buffer("table", table, persistent=False)
        self.segments = nn.Embedding(sizes.segments, width) if sizes.segments else None
        self.tasks = nn.Embedding(sizes.tasks, width) if sizes.tasks else None
        self.norm = norm(sizes.norm, width) if sizes.norm else None

    def forward(self, given: TokenInput) -> Tensor:
        """[tokens, width]."""
        return self.at(given.ids, given.layout.positions, given.layout.longest, given.segments)

    def at(self, ids: Tensor, positions: Tensor, longest: int, segments: Tensor | None = None) -> Tensor:
        """[tokens, width] of `ids` at `positions`, all below `longest` (a count that the host knows)."""
        is_task = None
        if self.tasks is not None:
            is_task, positions = positions == 1, positions - (positions > 0).long()
        states = functional.embedding(ids, self.tokens.weight)
        if self.scale != 1.0:
            states = states * self.scale
        if self.sizes.positions != "none":
            states = states + self._position_table(longest).index_select(0, positions + self.sizes.offset)
        if self.segments is not None:
            states = states + self.segments(torch.zeros_like(ids) if segments is None else segments)
        if self.tasks is not None and is_task is not None:
            chosen = self.tasks(ids.clamp(max=self.sizes.tasks - 1))
            states = torch.where(is_task[:, None], chosen, states)
        if self.norm is not None:
            states = self.norm(states)
        return dropout(states, self.sizes.dropout, self.training)

    def _position_table(self, longest: int) -> Tensor:
        if self.positions is not None:
            if longest > self.sizes.capacity:
                raise ValueError(
                    f"a row of {longest} tokens is longer than the {self.sizes.capacity} learned positions"
                )
            return self.positions.weight
        table = self.table  # another thread may put a longer one in its place, or one that is too short for us
        if longest + self.sizes.offset > table.shape[0]:  # sinusoids have no end: make the table longer
            longer = sinusoids(2 * (longest + self.sizes.offset), table.shape[1], self.sizes.sinusoid)
            self.table = table = longer.to(table)
        return table


class PictureEmbedding(nn.Module):
    """A region's or patch's vector and its box, each projected, added (Lu et al. 2019, 3.1); then norm and dropout."""

    def __init__(self, sizes: plan.Regions | plan.Patches, width: int) -> None:
        super().__init__()
        self.drop, self.read = sizes.dropout, sizes.box
        self.positions: nn.Embedding | None = None
        self.first: nn.Parameter | None = None
        self.box_norm: nn.Module | None = None
        if isinstance(sizes, plan.Patches):
            self.pixels = nn.Linear(sizes.channels * sizes.edge**2, width, bias=sizes.bias)
            self.first = nn.Parameter(torch.zeros(width)) if sizes.first else None
            if sizes.capacity:
                self.positions = nn.Embedding(sizes.capacity, width)
        else:
            self.features = nn.Linear(sizes.features, width)
            self.box_norm = norm(sizes.norm, width) if sizes.norm and sizes.apart else None
        self.box = nn.Linear(sizes.box, width) if sizes.box else None
        self.norm = norm(sizes.norm, width) if sizes.norm else None

    def forward(self, given: RegionInput | PatchInput) -> Tensor:
        """[regions, width]."""
        states, boxes = self._seen(given)
        if self.box is not None:
            box = self.box(boxes[:, : self.read])
            if self.box_norm is not None:
                assert self.norm is not None
                return dropout(0.5 * (self.norm(states) + self.box_norm(box)), self.drop, self.training)
            states = states + box
        if self.positions is not None:
            if given.layout.longest > self.positions.num_embeddings:
                most = self.positions.num_embeddings
                raise ValueError(f"{given.layout.longest} patches are more than the {most} learned positions")
            states = states + self.positions(given.layout.positions)
        if self.norm is not None:
            states = self.norm(states)
        return dropout(states, self.drop, self.training)

    def _seen(self, given: RegionInput | PatchInput) -> tuple[Tensor, Tensor]:
        """Vectors projected [regions, width], and boxes; pictures come in fp32, whatever the model computes in."""
        if not isinstance(given, PatchInput):
            kind = self.features.weight.dtype
            return self.features(given.features.to(kind)), given.boxes.to(kind)
        kind = self.pixels.weight.dtype
        states: Tensor = self.pixels(given.pixels.to(kind))
        if self.first is not None:
            states = torch.where((given.layout.positions == 0)[:, None], self.first, states)
        return states, given.boxes.to(kind)


def embedding(sizes: plan.Tokens | plan.Regions | plan.Patches, width: int) -> TokenEmbedding | PictureEmbedding:
    """The module for a stream's embedding plan."""
    return TokenEmbedding(sizes, width) if isinstance(sizes, plan.Tokens) else PictureEmbedding(sizes, width)
