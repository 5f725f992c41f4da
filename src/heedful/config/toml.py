"""A recipe as TOML text, and values as they stand in it."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from ..errors import UserError
from .sections import SECTIONS, Recipe
from .tasks import TASKS


def write_toml(recipe: Recipe) -> str:
    """The recipe as TOML text that `read_recipe` reads back to an equal value."""
    tree = builtins_of(recipe)
    lines = [f"{key} = {toml_value(value)}" for key, value in tree.items() if not isinstance(value, dict)]
    for key, table in tree.items():
        if isinstance(table, dict):
            lines += ["", f"[{key}]", *(f"{_key(k)} = {toml_value(v)}" for k, v in table.items() if v is not None)]
    return "\n".join(lines) + "\n"


def builtins_of(recipe: Recipe) -> dict[str, Any]:
    """The recipe as nested dictionaries, with the keys that its task has."""
    tree, task = msgspec.to_builtins(recipe), TASKS[recipe.task].keys
    kept = {name: value for name, value in tree.items() if name not in SECTIONS or name in task}
    return {
        name: {key: item for key, item in value.items() if key in task[name]} if name in task else value
        for name, value in kept.items()
    }


def override(key: str, value: str | int | float | list[str]) -> str:
    """The text that `--set` would need to give `key` this value, whatever characters the value holds."""
    return f"{key}={toml_value(value)}"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_value(name)


def toml_value(value: Any) -> str:
    """A value as it stands in TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        try:
            return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")  # the one that TOML escapes, not JSON
        except UnicodeEncodeError:
            raise UserError(f"{value!r} is not valid Unicode; rename the file") from None
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    return repr(value)
