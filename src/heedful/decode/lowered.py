"""A decoding step as a flat list of actions on fixed buffers, for the usual plans on a CPU in fp32.

Nothing here decides anything: which blocks, norms, positions and sizes there are is read off the plan when the list is
made, once for every number of rows and slots. The laws hold it equal to `Model.step`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..model.attention import Attention
from ..model.block import Block
from ..model.cache import Cache
from ..model.embeddings import TokenInput
from ..model.feedforward import ACTIVATIONS
from ..model.hardware import Choices
from ..model.layout import Layout
from ..model.model import Model
from ..model.plan import Head
from ..model.positions import rotate
from ..model.products import Action, Linear, multiply
from .lowering import Lowered


class Store:
    """Keys and values of all layers' own streams, layer after layer in one block: [2 x rows x key heads of all layers,
    room, width]. A pruned model's layers differ in heads."""

    def __init__(self, key_heads: Sequence[int], width: int) -> None:
        self.heads, self.width = list(key_heads), width
        self.kept: Tensor | None = None
        self.key: list[Tensor] = []  # per layer, turned: [rows x key heads, width, cells]
        self.value: list[Tensor] = []  # [rows x key heads, cells, width]
        self.new: list[Tensor] = []  # where this step's go: [2, rows, key heads, slots, width]

    def grow(self, rows: int, slots: int, cells: int) -> None:
        """Room for this step's, and the views that every layer will ask for, made at one go."""
        if self.kept is None or self.kept.shape[1] < cells:
            larger = torch.empty(2 * rows * sum(self.heads), max(24 * slots, 2 * cells), self.width)
            if self.kept is not None:
                larger[:, : cells - slots] = self.kept[:, : cells - slots]
            self.kept = larger
        new = self.kept.narrow(1, cells - slots, slots)
        self.new = [
            part.view(2, rows, heads, slots, self.width)
            for part, heads in zip(new.split([2 * rows * heads for heads in self.heads]), self.heads, strict=True)
        ]
        sizes = [rows * heads for heads in self.heads for _ in range(2)]
        seen = self.kept.narrow(1, 0, cells)
        self.value = list(seen.split(sizes)[1::2])
        self.key = list(seen.transpose(1, 2).split(sizes)[0::2])

    def keep(self, rows: Tensor, cells: int) -> None:
        """Only these rows go on, with some of the room that there was after `cells`."""
        if self.kept is None:
            return
        every = torch.arange(len(self.kept)).split([len(self.kept) // sum(self.heads) * heads for heads in self.heads])
        stay = [own.view(2, -1, heads)[:, rows].flatten() for own, heads in zip(every, self.heads, strict=True)]
        self.kept = self.kept[:, : cells + cells // 2].index_select(0, torch.cat(stay))


class LoweredStepper:
    """The same as ModelStepper, faster."""

    def __init__(
        self,
        model: Model,
        head: Head,
        weights: Lowered,
        rows: int,
        states: Mapping[str, Tensor],
        layouts: Mapping[str, Layout],
    ) -> None:
        self.model, self.head, self.stream = model, head, head.streams[0]
        self.weights, self.states, self.layouts = weights, states, layouts
        self.cache = Cache(rows)
        self.own = [
            (f"{address}.{self.stream}", attention)
            for address, block in weights.blocks
            for attention in block.attentions
            if attention.own
        ]
        attends = [attention.attend for _, attention in self.own]
        self.store = Store([attend.kv_heads for attend in attends], attends[0].head_width)
        model.settle(self.stream, states, layouts, self.cache)
        self.actions: list[Action] = []
        self._biases: dict[object, Tensor | None] = {}

    def prefill(self, prompt: TokenInput) -> Tensor:
        cache = self.cache
        states = self.model.prefill(self.stream, prompt, self.states, self.layouts, cache)
        self.store.grow(cache.rows, cache.cells, cache.cells)
        for new, (address, _) in zip(self.store.new, self.own, strict=True):
            new.copy_(cache.taken(address))
        ends = torch.from_numpy(prompt.layout.starts + prompt.layout.lengths - 1)
        return self.model.logits(self.head.name, {self.stream: states}, {}, ends)

    def step(self, tokens: Tensor, parents: Tensor | None = None) -> Tensor:
        cache = self.cache
        cache.grow(parents)
        self.store.grow(cache.rows, cache.slots, cache.cells)
        self._biases.clear()
        if not self.actions:
            self._lay_out()
        self._embed(tokens)
        with np.errstate(all="ignore"):  # numbers that are not numbers are the search's to mark
            for action in self.actions:
                action()
            return self.logits()

    def fork(self, slots: int) -> None:
        self.cache.fork(slots)
        self.actions = []

    def keep(self, rows: Tensor) -> None:
        self.store.keep(rows, self.cache.cells)
        self.cache.keep(rows)
        self.actions = []

    # ---- the list of actions --------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        count = self.cache.rows * self.cache.slots
        weights = self.weights
        width = weights.head.inputs
        self.now = torch.empty(count, width)
        self.normal = torch.empty(count, width)
        self.change = torch.empty(count, width)
        layer = 0
        for address, block in weights.blocks:
            for attention in block.attentions:
                before = self.now if not block.pre else self._normalize(attention.norm, self.now, self.normal)
                if attention.own:
                    joined: Tensor | None = self._own(attention, layer, before)
                    layer += 1
                else:
                    joined = self._other(attention, address, before)
                if joined is not None:
                    self._multiply(attention.output, joined, self.change)
                self._residual(block, attention.norm)
            if block.feedforward is not None:
                before = self.now if not block.pre else self._normalize(block.feedforward.norm, self.now, self.normal)
                self._feed(block, before)
                self._residual(block, block.feedforward.norm)
        read = self.now if weights.final is None else self._normalize(weights.final, self.now, self.normal)
        if weights.scale != 1.0:
            self.actions.append(lambda: read.mul_(weights.scale))
        self.logits = weights.head.giving(read)

    def _embed(self, tokens: Tensor) -> None:
        embedding, cache = self.weights.embedding, self.cache
        if embedding.segments is not None or embedding.tasks is not None or embedding.norm or not cache.even:
            positions = cache.position.repeat_interleave(cache.slots)
            self.now.copy_(embedding.at(tokens, positions, cache.longest))
            return
        torch.index_select(embedding.tokens.weight, 0, tokens, out=self.now)
        if embedding.scale != 1.0:
            self.now.mul_(embedding.scale)
        if embedding.sizes.positions != "none":
            self.now.add_(embedding._position_table(cache.longest)[cache.longest - 1 + embedding.sizes.offset])

    def _multiply(self, module: nn.Module, inputs: Tensor, outputs: Tensor) -> None:
        self.actions.append(self.weights.linears[id(module)].into(inputs, outputs))

    def _normalize(self, norm: nn.Module, inputs: Tensor, outputs: Tensor) -> Tensor:
        if isinstance(norm, nn.LayerNorm):
            shape, weight, bias, eps = norm.normalized_shape, norm.weight, norm.bias, norm.eps
            self.actions.append(lambda: outputs.copy_(torch.layer_norm(inputs, shape, weight, bias, eps)))
        else:
            self.actions.append(lambda: outputs.copy_(norm(inputs)))
        return outputs

    def _residual(self, block: Block, norm: nn.Module) -> None:
        now, change = self.now, self.change
        if block.pre:
            self.actions.append(lambda: now.add_(change))
        else:
            self.actions.append(lambda: change.add_(now))
            self._normalize(norm, change, now)

    def _feed(self, block: Block, before: Tensor) -> None:
        feed = block.feedforward
        assert feed is not None
        assert block.plan.feedforward is not None
        inner = before.new_empty(len(before), block.plan.feedforward.width)
        gated = torch.empty_like(inner) if feed.gate is not None else inner
        self._multiply(feed.inner, before, inner)
        if feed.gate is not None:
            self._multiply(feed.gate, before, gated)
        name = block.plan.feedforward.activation
        if name == "relu":
            self.actions.append(gated.relu_)
        else:
            activation = ACTIVATIONS[name]
            self.actions.append(lambda: gated.copy_(activation(gated)))
        if feed.gate is not None:
            self.actions.append(lambda: gated.mul_(inner))
        self._multiply(feed.output, gated, self.change)

    def _own(self, attention: Attention, layer: int, before: Tensor) -> Tensor:
        """Attention to what came before; returns where the heads' outputs, side by side, will be."""
        attend, cache, store = attention.attend, self.cache, self.store
        rows, slots, keys, width = cache.rows, cache.slots, attend.kv_heads, attend.head_width
        together = before.new_empty(len(before), attend.inner + 2 * attend.kv_inner)
        self._multiply(attention.input, before, together)
        fresh = together[:, attend.inner :].view(rows, slots, 2, keys, width).permute(2, 0, 3, 1, 4)
        if attend.positions == "rotary":
            self.actions.append(self._turning(attention, together[:, : attend.inner + attend.kv_inner]))
        ask, queries = self._queries(attention, together[:, : attend.inner])
        found, join, joined = self._found(attention, queries)

        def run() -> None:
            store.new[layer].copy_(fresh)
            ask()
            bias, key = self._own_bias(attention), store.key[layer]
            scores = queries.new_empty(queries.shape[0], queries.shape[1], key.shape[2])
            multiply(queries, key, scores)
            if bias is not None:
                scores.view(rows, keys, -1, slots, key.shape[2]).add_(bias)
            multiply(torch.softmax(scores, -1), store.value[layer], found)
            join()

        self.actions.append(run)
        return joined

    def _other(self, attention: Attention, address: str, before: Tensor) -> Tensor | None:
        """Attention to a finished stream; None if the output projection is done too."""
        attend, cache = attention.attend, self.cache
        key, value = cache.settled(f"{address}.{attend.stream}")
        bias, _ = cache.settled_bias(attend.stream)
        if cache.rows == 1 and bias is None and attend.heads * key.shape[2] <= attend.inner:
            self._absorbed(attention, key[0], value[0], before)
            return None
        asked = before.new_empty(len(before), attend.inner)
        self._multiply(attention.query, before, asked)
        ask, queries = self._queries(attention, asked)
        found, join, joined = self._found(attention, queries)
        turned, value = key.flatten(0, 1).transpose(1, 2), value.flatten(0, 1)
        scores = queries.new_empty(queries.shape[0], queries.shape[1], turned.shape[2])
        if bias is not None:  # [rows, 1, 1, keys]
            bias = bias.expand(-1, attend.kv_heads, -1, -1).flatten(0, 1)

        def run() -> None:
            ask()
            multiply(queries, turned, scores)
            if bias is not None:
                scores.add_(bias)
            multiply(torch.softmax(scores, -1), value, found)
            join()

        self.actions.append(run)
        return joined

    def _queries(self, attention: Attention, asked: Tensor) -> tuple[Action, Tensor]:
        """From queries [rows x slots, inner] to scaled ones [rows x key heads, heads that share x slots, width]."""
        attend, cache, scale = attention.attend, self.cache, attention.scale
        shared = attend.heads // attend.kv_heads
        split = asked.view(cache.rows, cache.slots, attend.kv_heads, shared, attend.head_width).permute(0, 2, 3, 1, 4)
        queries = asked.new_empty(cache.rows * attend.kv_heads, shared * cache.slots, attend.head_width)
        place = queries.view(split.shape)
        return lambda: torch.mul(split, scale, out=place), queries

    def _found(self, attention: Attention, queries: Tensor) -> tuple[Tensor, Action, Tensor]:
        """Where the heads' outputs go (shaped like `queries`), and from there side by side [rows x slots, inner]."""
        attend, cache = attention.attend, self.cache
        found = torch.empty_like(queries)
        if cache.slots == 1:
            return found, lambda: None, found.view(cache.rows, attend.inner)
        shared = attend.heads // attend.kv_heads
        split = found.view(cache.rows, attend.kv_heads, shared, cache.slots, attend.head_width).permute(0, 3, 1, 2, 4)
        joined = found.new_empty(cache.rows * cache.slots, attend.inner)
        place = joined.view(split.shape)
        return found, lambda: place.copy_(split), joined

    def _absorbed(self, attention: Attention, key: Tensor, value: Tensor, before: Tensor) -> None:
        """One row alone: the projections of query and output are multiplied into the source's keys and values once.

        scores = x W_q k and output = weights v W_o; for a short source, W_q k and v W_o are smaller than W_q and W_o.
        key, value [key heads, keys, width].
        """
        attend = attention.attend
        row = self.weights.choices.row
        plain = Choices(row=row, step="torch" if row == "packed" else row)  # packing pays for many uses only
        heads, keys, width = attend.heads, key.shape[1], attend.head_width
        shared = heads // attend.kv_heads
        key, value = (part.repeat_interleave(shared, 0) for part in (key, value))
        key = key * attention.scale
        weight = attention.query.weight.view(heads, width, -1)
        seen = torch.bmm(key, weight).view(heads * keys, -1)
        constant = None
        if attention.query.bias is not None:
            constant = torch.bmm(key, attention.query.bias.view(heads, width, 1)).flatten()
        out = attention.output.weight.view(-1, heads, width).permute(1, 2, 0)
        said = torch.bmm(value, out).view(heads * keys, -1)
        scores = before.new_empty(len(before), heads * keys)
        weights = torch.empty_like(scores)
        self.actions.append(Linear(seen, constant, plain).into(before, scores))
        per_head, chances = scores.view(-1, heads, keys), weights.view(-1, heads, keys)
        self.actions.append(lambda: torch.softmax(per_head, -1, out=chances))
        self.actions.append(Linear(said.t(), attention.output.bias, plain).into(weights, self.change))

    def _turning(self, attention: Attention, states: Tensor) -> Action:
        """Rotate queries and keys [rows x slots, (heads + key heads) x width] where they stand."""
        attend, cache = attention.attend, self.cache
        view = states.unflatten(1, (-1, attend.head_width)).unflatten(0, (cache.rows, cache.slots))

        def run() -> None:
            view.copy_(rotate(view, cache.turn(attend)))

        return run

    def _own_bias(self, attention: Attention) -> Tensor | None:
        """[rows, key heads or 1, heads that share or 1, slots or 1, cells], made once a step for all layers alike."""
        attend, cache = attention.attend, self.cache
        table = attention.buckets if attend.positions == "buckets" else None
        name = (attend.heads, attend.positions, attend.window, id(table))
        if name not in self._biases:
            bias = cache.own_bias(attend, table)
            if bias is not None:
                bias = bias.unflatten(1, (-1, 1) if bias.shape[1] == 1 else (attend.kv_heads, -1))
            self._biases[name] = bias
        return self._biases[name]
