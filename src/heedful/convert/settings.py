"""A foreign config.json, read strictly: every value that changes what a model computes is taken, or refused by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ..errors import UserError
from ..model.files import content
from ..model.presets import nearest

T = TypeVar("T")
GENERATION = "generation_config.json"
MOST_LAYERS = 1000

# What other libraries call the activations that we have.
ACTIVATIONS = {
    "relu": "relu", "gelu": "gelu", "gelu_python": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh", "quick_gelu": "gelu_quick", "silu": "silu", "swish": "silu", "tanh": "tanh",
    "linear": "none",
}  # fmt: skip
THEIR_ACTIVATIONS = {
    "relu": "relu", "gelu": "gelu", "gelu_tanh": "gelu_new", "gelu_quick": "quick_gelu", "silu": "silu", "tanh": "tanh",
    "none": "linear",
}  # fmt: skip


class Settings:
    """The keys of a config.json, with where they stand for messages; `generation` are those of the file beside it that
    says how answers are made."""

    def __init__(self, tree: Mapping[str, Any], where: str, generation: Mapping[str, Any] | None = None) -> None:
        self.tree, self.where, self.generation = dict(tree), where, dict(generation or {})

    @property
    def answering(self) -> Settings:
        """What both files say of how answers are made; where they differ, generation_config.json counts."""
        said = {key: value for key, value in self.generation.items() if value is not None}
        return Settings({**self.tree, **said}, self.where)

    def __contains__(self, key: str) -> bool:
        return self.tree.get(key) is not None

    def take(self, key: str, kind: type[T], default: T | None = None) -> T:
        """The value of a key, of this type (int, float, bool, str, list[int] ...)."""
        value = self.tree.get(key)
        if value is None:
            if default is None:
                raise UserError(f"{self.where}: {key!r} is missing")
            return default
        try:
            return msgspec.convert(value, kind, str_keys=True)
        except msgspec.ValidationError as error:
            raise UserError(f"{self.where}: {key!r} is {_short(value)}: {error}") from None

    def size(self, key: str, default: int | None = None) -> int:
        """A whole number from 1 on; of layers at most MOST_LAYERS: each takes memory before a tensor is read."""
        value, most = self.take(key, int, default), MOST_LAYERS if "layer" in key else 2**31 - 1
        if not 1 <= value <= most:
            raise UserError(f"{self.where}: {key!r} is {value}; it is from 1 to {most:,}")
        return value

    def share(self, key: str, default: float = 0.0) -> float:
        """A dropout, or the epsilon of norms."""
        value = self.take(key, float, default)
        if not 0 <= value < 1:
            raise UserError(f"{self.where}: {key!r} is {value}; it is from 0 to below 1")
        return value

    def activation(self, key: str, default: str | None = None) -> Any:
        """One of our activations by their name for it."""
        name = self.take(key, str, default)
        if name not in ACTIVATIONS:
            raise UserError(f"{self.where}: {key!r} is {_short(name)}, which we lack; {nearest(name, [*ACTIVATIONS])}")
        return ACTIVATIONS[name]

    def must(self, **wanted: Any) -> None:
        """Refuse, by name, any key that is there and has another value: what it asks for we do not compute."""
        for key, value in wanted.items():
            given = self.tree.get(key)
            if given is not None and given != value:
                raise UserError(f"{self.where}: {key!r} is {_short(given)}; only {value!r} can be read")

    def part(self, key: str) -> Settings:
        """A table inside."""
        return Settings(self.take(key, dict, {}), f"{self.where}: {key}")

    @property
    def architecture(self) -> str:
        """The class that wrote the file ("BertForMaskedLM"), or ""."""
        named = self.take("architectures", list[str], [])
        return named[0] if named else ""

    def labels(self) -> list[str]:
        """The names of classes (id2label), in the order of their numbers; [] where there are none."""
        named = self.take("id2label", dict[int, str], {})
        if sorted(named) != list(range(len(named))):
            raise UserError(f"{self.where}: 'id2label' does not number its labels 0, 1, 2, ...")
        return [named[number] for number in range(len(named))]


def read_settings(path: Path) -> Settings:
    """A config.json, with the generation_config.json beside it; UserError if one is too large or no JSON object, or the
    first is missing."""
    beside = path.with_name(GENERATION)
    return Settings(_object(path), str(path), _object(beside) if beside.is_file() else None)


def _object(path: Path) -> dict[str, Any]:
    try:
        tree = msgspec.json.decode(content(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(tree, dict):
        raise UserError(f"{path}: holds no JSON object")
    return tree


def written_json(tree: Any) -> bytes:
    """A file of settings, as other libraries lay theirs out."""
    return json.dumps(tree, indent=2, ensure_ascii=False).encode() + b"\n"


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."
