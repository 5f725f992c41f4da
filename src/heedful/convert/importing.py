"""A checkpoint of another library becomes a model of heedful, tensor by tensor from file to file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ..data.parallel import save_tokenizers
from ..errors import UserError
from ..model.files import write_config
from ..model.plan import Plan
from ..text.tokenizer import Tokenizer
from . import stream
from .layout import Reading, layout, layout_of
from .layouts import sentence_transformers
from .named import Named
from .rules import Pair
from .settings import Settings, read_settings
from .weights import Weights


class Checkpoint(NamedTuple):
    """A foreign checkpoint, opened and understood, of which nothing but names and shapes is read."""

    path: Path
    layout: str
    config: Settings
    weights: Named
    reading: Reading

    @property
    def plan(self) -> Plan:
        return self.reading.plan


def opened(path: Path) -> Checkpoint:
    """The checkpoint in a folder. UserError if it cannot be read."""
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; a checkpoint is a folder with config.json and its weights")
    if (path / sentence_transformers.MODULES).exists():
        return Checkpoint(path, "sentence_transformers", *sentence_transformers.opened(path))
    config, weights = read_settings(path / "config.json"), Named({"": Weights.open(path)})
    name = layout_of(config, weights)
    return Checkpoint(path, name, config, weights, layout(name).reading(config, weights))


def convert_in(path: Path, out: Path) -> list[str]:
    """Write a checkpoint as a model of heedful, the new folder `out`, whole or not at all; what was done, in lines."""
    found = opened(path)
    reading, config = found.reading, found.config
    pairs = reading.rules.check(reading.plan, found.weights, path)
    read = layout(found.layout)
    tokenizers = read.tokenizers(path, config)
    more = read.extra_of(config, tokenizers) if hasattr(read, "extra_of") and tokenizers else {}
    partial = out.with_name(f".tmp-{out.name}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        digest = _write(partial / "model.safetensors", found, pairs)
        extra = {
            "task": reading.task, **reading.extra, **more, **_save(partial, tokenizers),
            "origin": {"layout": found.layout, "config": config.tree, "generation": config.generation},
            "weights": {"xxh3_128": digest},
        }  # fmt: skip
        write_config(partial, reading.plan, extra)
        partial.rename(out)
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    lines = [f"{path}: {found.layout}, {len(pairs)} tensors read"]
    if dead := reading.rules.unread(found.weights):
        lines.append(f"{len(dead)} tensors are left out, as the original code never uses them: {dead[0]} first")
    if not tokenizers and reading.task:
        lines.append("there is no tokenizer in the folder, so texts cannot be read: add its files and convert again")
    return [*lines, *reading.notes]


def _write(path: Path, found: Checkpoint, pairs: Mapping[str, Pair]) -> str:
    """The parameters, in the order of the plan; each tensor of theirs is read once, in that order."""
    shapes = found.plan.shapes()
    holder = {name: pair for pair in pairs.values() for name in pair.ours}
    kinds = {name: (found.weights.dtype(holder[name].theirs), shape) for name, shape in shapes.items()}

    def tensors() -> Iterator[tuple[str, Tensor]]:
        for name in shapes:
            pair = holder[name]
            yield from ((one, part) for one, part in pair.taken(found.weights[pair.theirs], shapes) if one == name)

    return stream.write(path, kinds, tensors())


def _save(folder: Path, tokenizers: Mapping[str, Tokenizer]) -> dict[str, Any]:
    """tokenizer*.json, and what config.json says of them."""
    if not tokenizers:
        return {}
    if "" in tokenizers:
        tokenizers[""].save(folder / "tokenizer.json")
        return {"tokenizer": tokenizers[""].fingerprint}
    save_tokenizers(folder, dict(tokenizers))
    return {"tokenizers": {side: tokenizer.fingerprint for side, tokenizer in tokenizers.items()}}
