"""Recipes from TOML files and nested dictionaries, with single values set on top."""

from __future__ import annotations

import copy
import tomllib
import typing
from pathlib import Path
from typing import Any

import msgspec

from ..errors import UserError
from .limits import check_keys, check_model, check_values
from .sections import SECTIONS, Recipe, named_choices
from .tasks import keys_of

LONGEST = 1_000_000  # bytes of a recipe


def read_recipe(path: str | Path, overrides: list[str] | None = None) -> Recipe:
    """The recipe in a TOML file, with `a.b=value` overrides applied; UserError names file, key and nearest relative."""
    try:
        with Path(path).open("rb") as stream:
            raw = stream.read(LONGEST + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:  # a NUL in the name
        raise UserError(f"{str(path)!r} is not a file's name") from None
    if len(raw) > LONGEST:
        raise UserError(f"{path}: longer than {LONGEST:,} bytes, so it is not a recipe")
    try:
        tree = tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8; save the recipe as UTF-8") from None
    except (ValueError, RecursionError) as error:  # also numbers of 5,000 digits, arrays 5,000 deep
        raise UserError(f"{path}: is not TOML: {error}") from None
    return parse_recipe(tree, overrides, where=str(path))


def parse_recipe(tree: dict[str, Any], overrides: list[str] | None = None, where: str = "recipe") -> Recipe:
    """A recipe from nested dictionaries; the same errors as `read_recipe`."""
    tree = copy.deepcopy(tree)
    for override in overrides or []:
        _apply(tree, override)
    task = keys_of(tree.get("task", "translate"), where)
    known = [name for name in Recipe.__struct_fields__ if name not in SECTIONS or name in task.keys]
    check_keys(tree, known, where, "", task)
    for name, keys in task.keys.items():
        if isinstance(tree.setdefault(name, {}), dict):
            check_keys(tree[name], list(keys), where, f"{name}.", task)
            tree[name] = {**task.defaults.get(name, {}), **tree[name]}
    training = tree.get("training")
    if isinstance(training, dict) and type(training.get("limit")) in (int, float):
        training["limit"] = str(training["limit"])  # seconds
    try:
        recipe = msgspec.convert(tree, Recipe)
    except msgspec.ValidationError as error:
        what, key = _plainly(error)
        said = any(override.partition("=")[0].strip() == key for override in overrides or ())
        raise UserError(f"{'--set' if said else where}: {what}") from None
    check_values(recipe, where)
    check_model(recipe.model, where, task.family)
    return recipe


def _apply(tree: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    if not equals or not name.strip():
        raise UserError(f"--set {override!r} is not of the form section.key=value")
    try:
        parsed = tomllib.loads(f"value = {text.strip()}")
        value = parsed["value"] if len(parsed) == 1 else text.strip()
    except (ValueError, RecursionError):
        value = text.strip()  # a bare word is a string: --set training.schedule=noam
    *path, last = name.strip().split(".")
    for key in path:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise UserError(f"--set {override!r}: {key!r} is a value, not a table")
    tree[last] = value


def _plainly(error: msgspec.ValidationError) -> tuple[str, str]:
    """ "Expected `float`, got `str` - at `$.training.rate`" as "training.rate: expected float, got str"; and the key.

    Where a value is none of a few, they are named.
    """
    what, _, place = str(error).replace("`", "").partition(" - at $.")
    section, _, key = place.partition(".")
    hint = typing.get_type_hints(SECTIONS[section]).get(key) if section in SECTIONS else None
    known = f"; one of: {', '.join(choices)}" if (choices := named_choices(hint)) else ""
    return (f"{place}: {what[0].lower()}{what[1:]}{known}" if place else what), place
