"""Commands as they are needed: one that is not asked for is neither imported nor built."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import typer
from typer.main import get_command, get_group


class Built(Mapping[str, Any]):
    """The commands of some names, in their order; see the package for what a command is."""

    def __init__(self, names: Iterable[str]) -> None:
        self._built: dict[str, Any] = dict.fromkeys(names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._built)

    def __len__(self) -> int:
        return len(self._built)

    def __getitem__(self, name: str) -> Any:
        if self._built[name] is None:
            self._built[name] = _built(name, getattr(importlib.import_module(f".{name}", __package__), name))
        return self._built[name]


def _built(name: str, made: Any) -> Any:
    if isinstance(made, typer.Typer):
        group = get_group(made)
        group.name = name
        return group
    alone = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
    alone.command(name)(made)
    return get_command(alone)
