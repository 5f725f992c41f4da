"""Weights by the names that layouts know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from ..errors import UserError
from .weights import Weights

OLD = {"gamma": "weight", "beta": "bias"}  # what layer norms called their parameters before 2019


class Named:
    """Weights, those of several files each under a prefix: without "module." where all names begin with it, norms named
    as today."""

    def __init__(self, parts: Mapping[str, Weights]) -> None:
        self._found: dict[str, tuple[Weights, str]] = {}
        for prefix, weights in parts.items():
            wrapped = all(name.startswith("module.") for name in weights)
            for name in weights:
                today = prefix + _today(name.removeprefix("module.") if wrapped else name)
                if today in self._found:
                    raise UserError(f"{weights.path}: two tensors are {today!r} once old names are replaced")
                self._found[today] = (weights, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __contains__(self, name: object) -> bool:
        return name in self._found

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, name: str) -> Tensor:
        weights, own = self._found[name]
        return weights[own]

    def shape(self, name: str) -> tuple[int, ...]:
        weights, own = self._found[name]
        return tuple(weights.shape(own))

    def dtype(self, name: str) -> Any:
        weights, own = self._found[name]
        return weights.dtype(own)


def _today(name: str) -> str:
    stem, _, leaf = name.rpartition(".")
    return f"{stem}.{OLD.get(leaf, leaf)}" if stem.endswith("LayerNorm") else name
