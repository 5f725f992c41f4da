"""Embeddings, a plan walked over them, and heads: the Transformer of every family. Load and save."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..errors import UserError
from . import run as walk
from .attention import Attention, split_names, split_sizes
from .block import Block
from .cache import Cache
from .embeddings import Input, PictureEmbedding, TokenEmbedding, TokenInput, embedding
from .feedforward import ACTIVATIONS
from .files import read_config, write_config
from .heads import Head, Labels, LossSums
from .initialization import initial
from .layout import Layout
from .masks import Mask
from .norms import norm
from .plan import FinalNorm, Plan
from .probe import Probe, see


class StreamModules(nn.Module):
    """What belongs to one stream: `embedding`, blocks "0", "1", ... in order of execution, last `norm`, `pool`."""

    embedding: TokenEmbedding | PictureEmbedding
    norm: nn.Module
    pool: nn.Linear


class Model(nn.Module):
    """A plan with parameters, initialised from `seed` (None: left empty, to be loaded).

    Parameter names are the addresses of the plan (`target.3.source.output.weight`), with query, key and value joined
    in memory; `tensors` gives and `load_tensors` takes them by their names in files.
    """

    def __init__(self, plan: Plan, seed: int | None = 0) -> None:
        super().__init__()
        self.plan = plan
        self.probe: Probe | None = None
        self.streams: dict[str, StreamModules] = {}
        self.steps: list[list[tuple[str, Block]]] = [[] for _ in plan.steps]
        widths = {stream.name: stream.width for stream in plan.streams}
        for stream in plan.streams:
            modules = StreamModules()
            modules.embedding = embedding(stream.embedding, stream.width)
            if stream.pool is not None:
                modules.pool = nn.Linear(stream.width, stream.pool.width, bias=stream.pool.bias)
            self.add_module(stream.name, modules)
            self.streams[stream.name] = modules
        for number, address, block_plan in plan.blocks():
            block = Block(block_plan, widths)
            self.streams[block_plan.stream].add_module(address.split(".")[1], block)
            self.steps[number].append((address, block))
        for step in plan.steps:
            if isinstance(step, FinalNorm):
                self.streams[step.stream].norm = norm(step.norm, widths[step.stream])
        self.heads = nn.ModuleDict()
        for head in plan.heads:
            first = plan.stream(head.streams[0])
            pooled = head.reads == "pooled" and first.pool is not None
            self.heads[head.name] = Head(head, first.pool.width if pooled and first.pool else first.width)
        for tie in plan.ties:
            self._tie(tie.keep, tie.share)
        if seed is not None:
            generator = torch.Generator().manual_seed(seed)
            self.load_tensors({name: initial(plan, name, shape, generator) for name, shape in plan.shapes().items()})

    # ---- forward --------------------------------------------------------------------------------------------------

    def forward(
        self, inputs: Mapping[str, Input], labels: Mapping[str, Labels], smoothing: float = 0.0
    ) -> dict[str, LossSums]:
        """Loss sums of every labelled head, by head name. `inputs` by stream name."""
        layouts, states = self._embedded(inputs)
        sums: dict[str, LossSums] = {}
        reads, done = {name: self._head(name).plan.before for name in labels}, 0
        for last in sorted(set(reads.values()), key=lambda before: (before is None, before)):
            states = self.run(states, layouts, first=done, last=last)
            for name, given in labels.items():
                if reads[name] == last:
                    sums[name] = self.head_loss(name, states, layouts, given, smoothing)
            done = last or 0
        return {name: sums[name] for name in labels}

    def _embedded(
        self, inputs: Mapping[str, Input], probe: Probe | None = None
    ) -> tuple[dict[str, Layout], dict[str, Tensor]]:
        layouts = {name: given.layout for name, given in inputs.items()}
        return layouts, {name: self.embedded(name, given, probe) for name, given in inputs.items()}

    def embedded(self, stream: str, given: Input, probe: Probe | None = None) -> Tensor:
        """A stream's first states [tokens, width]."""
        states = self.streams[stream].embedding(given)
        return see(probe or self.probe, f"{stream}.embedding", "output", states)

    def encode(
        self,
        inputs: Mapping[str, Input],
        *,
        masks: Mapping[str, Mask] | None = None,
        probe: Probe | None = None,
    ) -> tuple[dict[str, Tensor], dict[str, Layout]]:
        """Embed and walk the whole plan: states [tokens, width] and layouts, by stream."""
        layouts, states = self._embedded(inputs, probe)
        return self.run(states, layouts, masks=masks, probe=probe), layouts

    def run(
        self,
        states: Mapping[str, Tensor],
        layouts: Mapping[str, Layout],
        *,
        masks: Mapping[str, Mask] | None = None,
        probe: Probe | None = None,
        first: int = 0,
        last: int | None = None,
    ) -> dict[str, Tensor]:
        """Some or all steps over given states; see `run.run`."""
        return walk.run(self, states, layouts, masks=masks, probe=probe or self.probe, first=first, last=last)

    @contextmanager
    def watched(self, probe: Probe) -> Iterator[None]:
        """All that runs inside meets this probe, unless it is given its own: training, tasks, decoding (step by step in
        torch, as what a probe changes must be felt)."""
        before, self.probe = self.probe, probe
        try:
            yield
        finally:
            self.probe = before

    def head_loss(
        self, name: str, states: Mapping[str, Tensor], layouts: Mapping[str, Layout], labels: Labels, smoothing: float
    ) -> LossSums:
        """Loss sums of one head."""
        head = self._head(name)
        return head.loss(self._read(name, states, layouts), labels, smoothing, layouts.get(head.plan.streams[0]))

    def logits(
        self, name: str, states: Mapping[str, Tensor], layouts: Mapping[str, Layout], rows: Tensor | None = None
    ) -> Tensor:
        """Logits [tokens or rows, outputs] of one head, of those in `rows` if given."""
        read = self._read(name, states, layouts)
        return self._head(name)(read if rows is None else read.index_select(0, rows))  # type: ignore[no-any-return]

    def pooled(self, stream: str, states: Mapping[str, Tensor], layouts: Mapping[str, Layout]) -> Tensor:
        """The vector of each row [rows, pool width]: its first or last token, projected."""
        pool = self.plan.stream(stream).pool
        if pool is None:
            raise ValueError(f"stream {stream!r} has no pool in this plan")
        layout = layouts[stream]
        read = states[stream].index_select(0, layout.first_tokens if pool.reads == "first" else layout.last_tokens)
        return ACTIVATIONS[pool.activation](self.streams[stream].pool(read))

    def _head(self, name: str) -> Head:
        if name not in self.heads:
            raise ValueError(f"the model has no head {name!r}; it has {', '.join(self.heads)}")
        head = self.heads[name]
        assert isinstance(head, Head)
        return head

    def _read(self, name: str, states: Mapping[str, Tensor], layouts: Mapping[str, Layout]) -> Tensor:
        head = self._head(name).plan
        if head.reads == "tokens":
            return states[head.streams[0]]
        read = [self.row_vectors(head.reads, stream, states, layouts) for stream in head.streams]
        if head.objective == "contrast":
            return torch.cat(read)
        return math.prod(read[1:], start=read[0]) if head.join == "product" else sum(read[1:], start=read[0])

    def row_vectors(self, how: str, stream: str, states: Mapping[str, Tensor], layouts: Mapping[str, Layout]) -> Tensor:
        """A vector of each row [rows, ...]; the mean of a row without tokens is 0."""
        if how == "pooled":
            return self.pooled(stream, states, layouts)
        layout, given = layouts[stream], states[stream]
        if how == "first":
            return given.index_select(0, layout.first_tokens)
        real = given.new_ones(layout.tokens, 1) if layout.keep is None else layout.keep.reshape(-1, 1).to(given)
        nothing = given.new_zeros(layout.rows, given.shape[1] + 1, dtype=torch.float32)
        sums = nothing.index_add(0, layout.row, torch.cat([given * real, real], 1).float())
        return (sums[:, :-1] / sums[:, -1:].clamp(min=1)).to(given.dtype)

    # ---- decoding -------------------------------------------------------------------------------------------------

    def settle(self, stream: str, states: Mapping[str, Tensor], layouts: Mapping[str, Layout], cache: Cache) -> None:
        """Make a cache ready to decode `stream` over finished other streams."""
        walk.settle(self, stream, states, layouts, cache)

    def prefill(
        self, stream: str, prompt: TokenInput, states: Mapping[str, Tensor], layouts: Mapping[str, Layout], cache: Cache
    ) -> Tensor:
        """States [tokens, width] of a prompt, whose keys and values fill the empty cache; see `run.prefill`."""
        now, where = {**states, stream: self.embedded(stream, prompt)}, {**layouts, stream: prompt.layout}
        return walk.prefill(self, stream, now, where, cache, self.probe)

    def step(self, stream: str, ids: Tensor, cache: Cache, probe: Probe | None = None) -> Tensor:
        """One decoding step: newest token ids [rows x slots] -> states [rows x slots, width]. The cache has grown."""
        positions = cache.position.repeat_interleave(cache.slots) if cache.slots > 1 else cache.position
        embedded = self.streams[stream].embedding
        assert isinstance(embedded, TokenEmbedding)
        probe = probe or self.probe
        states = see(probe, f"{stream}.embedding", "output", embedded.at(ids, positions, cache.longest))
        return walk.step(self, stream, states, cache, probe)

    # ---- parameters -----------------------------------------------------------------------------------------------

    def _tie(self, keep: str, share: str) -> None:
        """Make `share` the same parameter as `keep`, or every parameter below it where both name a module.

        Modules themselves stay apart: one attention shared by both directions attends to two streams.
        """
        keep_module, keep_leaf = self._owner(keep)
        share_module, share_leaf = self._owner(share)
        kept = getattr(keep_module, keep_leaf)
        if isinstance(kept, nn.Module):
            for name, _ in kept.named_parameters():
                self._tie(f"{keep}.{name}", f"{share}.{name}")
        else:
            setattr(share_module, share_leaf, kept)

    def _owner(self, address: str) -> tuple[nn.Module, str]:
        path, _, leaf = address.rpartition(".")
        return self.get_submodule(path), leaf

    def tensors(self) -> dict[str, Tensor]:
        """Every parameter by its name in files: query, key and value apart, tied ones once."""
        split: dict[str, Tensor] = {}
        for name, parameter in self._parameters_by_name().items():
            names = split_names(name)
            parts = (parameter,) if len(names) == 1 else parameter.split(self._part_sizes(name))
            split.update(zip(names, (part.detach() for part in parts), strict=True))
        return {name: split[name] for name in self.plan.shapes()}

    def load_tensors(self, given: Mapping[str, Tensor]) -> None:
        """Copy parameters in by their names in files; ValueError names the first that is missing or unfit."""
        _check_fit(self.plan, given)
        with torch.no_grad():
            for name, parameter in self._parameters_by_name().items():
                parts = [given[part] for part in split_names(name)]
                parameter.copy_(parts[0] if len(parts) == 1 else torch.cat([part.to(parameter) for part in parts]))

    def _parameters_by_name(self) -> dict[str, nn.Parameter]:
        """Parameters by name in memory, tied ones once and under the name that is kept."""
        kept = set(self.plan.shapes())
        found = self.named_parameters(remove_duplicate=False)
        return {name: parameter for name, parameter in found if split_names(name)[0] in kept}

    def _part_sizes(self, name: str) -> list[int]:
        attention = self.get_submodule(name.rsplit(".", 2)[0])
        assert isinstance(attention, Attention)
        return list(split_sizes(name, attention.attend))

    # ---- files ----------------------------------------------------------------------------------------------------

    def save(self, folder: Path, extra: Mapping[str, Any] | None = None) -> None:
        """model.safetensors and config.json (the plan, `extra`, and the weights' hash) in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = folder / "model.safetensors"
        tensors = {name: tensor.float().contiguous().clone() for name, tensor in self.tensors().items()}
        temporary = folder / ".model.safetensors.tmp"
        save_file(tensors, temporary)
        temporary.chmod(0o644)  # the library makes it private; a model is there to be read
        digest = _digest(temporary)
        os.replace(temporary, weights)
        write_config(folder, self.plan, {**(extra or {}), "weights": {"xxh3_128": digest}})


def load(folder: str | Path) -> tuple[Model, dict[str, Any]]:
    """The model in a folder, in evaluation mode, and the other keys of its config.json.

    UserError if anything is missing, damaged (the hash is checked before a weight is used) or does not fit the plan.
    """
    folder = Path(folder)
    plan, extra = read_config(folder)
    path = folder / "model.safetensors"
    try:
        digest = _digest(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    weights = extra.pop("weights", {})
    wanted = weights.get("xxh3_128") if isinstance(weights, dict) else None
    if wanted != digest:
        raise UserError(f"{path}: damaged: its hash is {digest}, config.json says {wanted}; copy the model again")
    try:
        tensors = load_file(path)
        _check_fit(plan, tensors)  # before room is made for what the plan says
        model = Model(plan, seed=None)
        model.load_tensors(tensors)
    except (SafetensorError, ValueError) as error:
        raise UserError(f"{path}: {error}") from None
    return model.eval(), extra


def _check_fit(plan: Plan, given: Mapping[str, Tensor]) -> None:
    """ValueError if these are not the parameters of the plan, by name and shape."""
    shapes = plan.shapes()
    if missing := [name for name in shapes if name not in given]:
        raise ValueError(f"{len(missing)} tensors are missing, {missing[0]!r} first")
    if unknown := [name for name in given if name not in shapes]:
        raise ValueError(f"{len(unknown)} tensors are not in the plan, {unknown[0]!r} first")
    for name, shape in shapes.items():
        if tuple(given[name].shape) != shape:
            raise ValueError(f"{name!r} has shape {tuple(given[name].shape)}; the plan says {shape}")


def _digest(path: Path) -> str:
    state = xxhash.xxh3_128()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()
