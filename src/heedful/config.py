"""Recipes: strict, immutable values read from TOML. An unknown key names its nearest relative."""

from __future__ import annotations

import copy
import math
import re
import tomllib
import typing
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from .errors import UserError
from .model.families import FAMILIES
from .model.presets import PRESETS, nearest, plan

LONGEST = 1_000_000  # bytes of a recipe


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a recipe."""


class Data(Section, frozen=True):
    """Where the examples are. Paths are taken as given or, failing that, under the data root.

    Either `source` and `target` (parallel text, one line each) or `pairs` (TSV with two columns, or JSONL with the
    keys "source" and "target"); each may be .gz. Without dev files, `hold_out` examples are kept from training.
    `tags` names each file's target language, in the order source files, then pairs; dev files follow the same order.
    """

    source: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()
    dev_source: tuple[str, ...] = ()
    dev_target: tuple[str, ...] = ()
    dev_pairs: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    hold_out: int | None = None
    longest: int = 256


class Tokenizer(Section, frozen=True):
    """Trained by the tool on the training data. `size` None: chosen from the data. `sampling` is the probability of
    leaving out a merge (Provilkov et al. 2020, 3) when a word's `segmentations` are drawn; 0 turns sampling off."""

    kind: Literal["bpe", "unigram", "bytes", "characters"] = "bpe"
    size: int | None = None
    joint: bool = True
    lowercase: bool = False
    digits: bool = False
    sampling: float = 0.0
    segmentations: int = 16


class Training(Section, frozen=True):
    """One loop for all tasks. `batch_tokens` counts real target tokens of one micro-batch; a step sums `accumulate`.

    `limit` bounds wall time ("20m", "90s", "2h"); `steps` bounds steps; at least one is set, the first reached ends.
    `warmup` counts the steps of a rising rate (None: chosen by the run's length).
    `rate` is the peak learning rate (for "noam": the factor of Vaswani et al. 2017, equation 3).
    `average` averages the weights of the last so many validations' checkpoints into the finished model (1: none).
    """

    steps: int | None = None
    limit: str | None = None
    batch_tokens: int = 2048
    accumulate: int = 1
    rate: float = 1e-3
    schedule: Literal["noam", "inverse-sqrt", "cosine", "linear", "constant"] = "inverse-sqrt"
    warmup: int | None = None
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-9
    weight_decay: float = 0.0
    clip: float = 1.0
    label_smoothing: float = 0.1
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    device: str = "auto"
    processes: int | Literal["auto"] = "auto"
    threads: int | Literal["auto"] = "auto"
    validate_every: int = 500
    save_every: int = 500
    save_seconds: float = 600.0
    keep: int = 3
    average: int = 1


class Decoding(Section, frozen=True):
    """Defaults that a finished model decodes with. A text of more than `longest` tokens is translated in pieces."""

    beam: int = 4
    length_penalty: Literal["average", "gnmt", "hf"] = "average"
    alpha: float = 1.0
    max_ratio: float = 2.0
    max_extra: int = 30
    longest: int = 256


class Recipe(Section, frozen=True):
    """Everything a run is made from. `model` holds a family's options, and `preset`."""

    task: str = "translate"
    seed: int = 1
    data: Data = field(default_factory=Data)
    tokenizer: Tokenizer = field(default_factory=Tokenizer)
    model: dict[str, Any] = field(default_factory=dict)
    training: Training = field(default_factory=Training)
    decoding: Decoding = field(default_factory=Decoding)


SECTIONS = {"data": Data, "tokenizer": Tokenizer, "training": Training, "decoding": Decoding}


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
    _check_keys(tree, list(Recipe.__struct_fields__), where, "")
    for name, section in SECTIONS.items():
        if isinstance(tree.get(name), dict):
            _check_keys(tree[name], list(section.__struct_fields__), where, f"{name}.")
    try:
        recipe = msgspec.convert(tree, Recipe)
    except msgspec.ValidationError as error:
        raise UserError(f"{where}: {_plainly(error)}") from None
    _check_values(recipe, where)
    _check_model(recipe.model, where)
    return recipe


def write_toml(recipe: Recipe) -> str:
    """The recipe as TOML text that `read_recipe` reads back to an equal value."""
    tree = msgspec.to_builtins(recipe)
    lines = [f"{key} = {_toml(value)}" for key, value in tree.items() if not isinstance(value, dict)]
    for key, table in tree.items():
        if isinstance(table, dict):
            lines += ["", f"[{key}]", *(f"{_key(k)} = {_toml(v)}" for k, v in table.items() if v is not None)]
    return "\n".join(lines) + "\n"


def override(key: str, value: str | int | float | list[str]) -> str:
    """The text that `--set` would need to give `key` this value, whatever characters the value holds."""
    return f"{key}={_toml(value)}"


def seconds(duration: str) -> float:
    """ "90s", "20m", "2h" or a plain number of seconds as seconds."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = (duration[:-1], units[duration[-1]]) if duration[-1:] in units else (duration, 1.0)
    try:
        value = float(number) * unit
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise UserError(f"duration {duration!r} is not understood; write 90s, 20m or 2h")
    return value


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


def _plainly(error: msgspec.ValidationError) -> str:
    """ "Expected `float`, got `str` - at `$.training.rate`" as "training.rate: expected float, got str"."""
    what, _, place = str(error).replace("`", "").partition(" - at $.")
    return f"{place}: {what[0].lower()}{what[1:]}" if place else what


def _check_keys(table: dict[str, Any], known: list[str], where: str, prefix: str) -> None:
    for key in table:
        if key not in known:
            homes = [f"{name}.{key}" for name, section in SECTIONS.items() if key in section.__struct_fields__]
            near = f"did you mean {homes[0]!r}?" if homes and not prefix else nearest(key, known)
            raise UserError(f"{where}: unknown key {prefix + key!r}; {near}")


# key: (smallest, largest) that makes sense; outside it the run could only fail later and less clearly.
LIMITS: dict[str, tuple[float, float]] = {
    "seed": (0, 2**63 - 1),
    "data.hold_out": (1, 10**9),
    "data.longest": (2, 100_000),
    "tokenizer.size": (16, 1_000_000),
    "tokenizer.sampling": (0.0, 0.99),
    "tokenizer.segmentations": (1, 1024),
    "training.steps": (1, 10**9),
    "training.batch_tokens": (1, 10**7),
    "training.accumulate": (1, 4096),
    "training.rate": (0.0, 100.0),
    "training.warmup": (0, 10**8),
    "training.eps": (1e-30, 1.0),
    "training.weight_decay": (0.0, 100.0),
    "training.clip": (0.0, 10**6),
    "training.label_smoothing": (0.0, 0.99),
    "training.validate_every": (1, 10**9),
    "training.save_every": (1, 10**9),
    "training.save_seconds": (0.0, 10**9),
    "training.processes": (1, 1024),
    "training.threads": (1, 4096),
    "training.keep": (1, 10_000),
    "training.average": (1, 100),
    "decoding.beam": (1, 64),
    "decoding.alpha": (-10.0, 10.0),
    "decoding.max_ratio": (0.0, 1000.0),
    "decoding.max_extra": (0, 100_000),
    "decoding.longest": (1, 100_000),
}
TAG = re.compile(r"[\w.@-]{1,64}")
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?", re.ASCII)

# The same for a family's options; whole numbers not named here are sizes.
MODEL_LIMITS: dict[str, tuple[float, float]] = {
    "layers": (1, 1000),
    "decoder_layers": (1, 1000),
    "picture_layers": (1, 1000),
    "offset": (0, 1000),
    "segments": (0, 1000),
    "eps": (1e-30, 1.0),
    "dropout": (0.0, 0.99),
    "attention_dropout": (0.0, 0.99),
}
SIZES = (1, 10_000_000)


def check_decoding(decoding: Decoding, where: str) -> None:
    """UserError where a value is outside its limits: a model's config.json may have been edited."""
    _check_section("decoding", decoding, where)


def _check_section(section: str, values: Any, where: str) -> None:
    for name, limits in LIMITS.items():
        if name.startswith(f"{section}."):
            _check_limits(getattr(values, name.split(".")[1]), limits, where, name)


def _check_values(recipe: Recipe, where: str) -> None:
    _check_limits(recipe.seed, LIMITS["seed"], where, "seed")
    for section in SECTIONS:
        _check_section(section, getattr(recipe, section), where)
    for tag in recipe.data.tags:
        if not TAG.fullmatch(tag):
            raise UserError(f"{where}: data.tags has {tag!r}; a tag is up to 64 letters, digits, '-', '_', '.' or '@'")
    for beta in recipe.training.betas:
        _check_limits(beta, (0.0, 0.999999), where, "training.betas")
    if recipe.training.limit is not None:
        try:
            seconds(recipe.training.limit)
        except UserError as error:
            raise UserError(f"{where}: training.limit: {error}") from None
    if not DEVICE.fullmatch(recipe.training.device):
        raise UserError(f"{where}: training.device = {recipe.training.device!r}; known: auto, cpu, mps, cuda, cuda:0")


def _check_limits(value: Any, limits: tuple[float, float], where: str, name: str) -> None:
    low, high = limits
    if isinstance(value, (int, float)) and not low <= value <= high:  # also refuses what is not a number (nan)
        raise UserError(f"{where}: {name} = {value} is outside {low} to {high}")


def _check_model(model: dict[str, Any], where: str) -> None:
    """The options exist, have the right types and sizes, and make a plan; without a preset, a translator's."""
    options = {key: value for key, value in model.items() if key != "preset"}
    name = model.get("preset", "encoder-decoder")
    if not isinstance(name, str):
        raise UserError(f"{where}: model.preset = {name!r} is not a name")
    if name in PRESETS or name in FAMILIES:
        hints = typing.get_type_hints(FAMILIES[PRESETS[name][0] if name in PRESETS else name])
        _check_keys(options, [key for key in hints if key != "return"] + ["preset"], where, "model.")
        for key, value in options.items():
            try:
                options[key] = msgspec.convert(value, hints[key])
            except msgspec.ValidationError as error:
                raise UserError(f"{where}: model.{key}: {error}") from None
            _check_limits(options[key], _model_limits(key, options[key]), where, f"model.{key}")
    try:
        plan(name, **options)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    except ValueError as error:  # lists of layers that do not fit together
        raise UserError(f"{where}: [model] does not make a plan: {error}") from None


def _model_limits(key: str, value: object) -> tuple[float, float]:
    anything = (-math.inf, math.inf)
    return MODEL_LIMITS.get(key, SIZES if isinstance(value, int) and not isinstance(value, bool) else anything)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        try:
            return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")  # the one that TOML escapes, not JSON
        except UnicodeEncodeError:
            raise UserError(f"{value!r} is not valid Unicode; rename the file") from None
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return repr(value)
