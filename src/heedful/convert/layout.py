"""What a layout says of a checkpoint: the plan it is, where each parameter lies, and the task of heedful that runs it.

A layout is a module in `layouts/`, named as its file; it has

- `KINDS`: the values of "model_type" in config.json that it reads; where theirs has none, `recognises(config, names)`;
- `reading(config, names)`: a `Reading` of a checkpoint with these settings and tensors;
- `tokenizers(folder, config)`: its tokenizers, {"": one} or {"source": ..., "target": ...}, or {} where there are none;
- `extra_of(config, tokenizers)`, where the task's keys depend on them: further keys;
- `LABEL`, where it is a relative of BERT: how its head of a row's label reads (fields of `Head`);
- `writing(plan, extra)`, where it can be written: a `Writing`, the nearest plan that the layout can say.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from ..errors import UserError
from ..model.plan import Plan
from ..model.presets import nearest
from ..text.tokenizer import Tokenizer
from . import layouts
from .rules import Rules, Tensors
from .settings import Settings


@dataclass(frozen=True)
class Reading:
    """`task` is None where heedful trains and runs no such model whole; `extra` are the task's keys of config.json."""

    plan: Plan
    rules: Rules
    task: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Writing:
    """`plan` may have parameters more than ours: biases and what is added are 0 and norms 1, which changes nothing.

    `config` is their config.json, `files` are others by name. `permuted`: streams whose width is put in another order
    (see `exporting.reordered`); `numbers` are tensors of theirs that are no parameters of ours.
    """

    plan: Plan
    rules: Rules
    config: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)
    permuted: Mapping[str, Tensor] = field(default_factory=dict)
    numbers: Mapping[str, Tensor] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Layout(Protocol):
    """A module of `layouts/`."""

    KINDS: tuple[str, ...]

    def reading(self, config: Settings, names: Tensors) -> Reading: ...

    def tokenizers(self, folder: Path, config: Settings) -> dict[str, Tokenizer]: ...


@cache
def names() -> tuple[str, ...]:
    """Of all layouts."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(layouts.__path__)))


def layout(name: str) -> Layout:
    """A layout by its name."""
    if name not in names():
        raise UserError(f"no layout is called {name!r}; {nearest(name, list(names()))}")
    return importlib.import_module(f".layouts.{name}", __package__)  # type: ignore[return-value]


def label_of(origin: Mapping[str, Any]) -> Mapping[str, Any]:
    """How a model that came from another library reads the label of a row (fields of `Head`), as the library does; {}:
    it has no such head."""
    found = [name for name in names() if origin.get("config", {}).get("model_type") in layout(name).KINDS]
    return next((getattr(layout(name), "LABEL", {}) for name in found), {})


def kind_of(extra: Mapping[str, Any], kinds: tuple[str, ...]) -> str:
    """Which of a layout's kinds a model was before heedful read it; the first, where it was none."""
    origin = extra.get("origin", {}).get("config", {}).get("model_type")
    return origin if origin in kinds else kinds[0]


def layout_of(config: Settings, tensors: Collection[str]) -> str:
    """The name of the layout that reads a checkpoint with this config.json and these tensors."""
    kind = config.take("model_type", str, "")
    known = {one: name for name in names() for one in layout(name).KINDS}
    for name in names():
        recognises = getattr(layout(name), "recognises", None)
        if recognises is not None and recognises(config, tensors):
            return name
    if kind in known:
        return known[kind]
    if not kind:
        raise UserError(f"{config.where}: no 'model_type', so its layout is not known; is it the model's config.json?")
    raise UserError(f"{config.where}: 'model_type' is {kind!r}, which heedful cannot read; {nearest(kind, [*known])}")
