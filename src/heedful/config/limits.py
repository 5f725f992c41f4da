"""What a recipe's keys and values may be: unknown keys name their nearest relative, values lie within limits."""

from __future__ import annotations

import math
import re
import typing
from typing import Any

import msgspec

from ..errors import UserError
from ..model.families import FAMILIES
from ..model.presets import PRESETS, nearest, plan
from .sections import SECTIONS, Decoding, Recipe
from .tasks import TaskKeys

# key: (smallest, largest) that makes sense; outside it the run could only fail later and less clearly.
LIMITS: dict[str, tuple[float, float]] = {
    "seed": (0, 2**63 - 1),
    "data.hold_out": (1, 10**9),
    "data.longest": (2, 100_000),
    "data.placeholders": (0.0, 1.0),
    "data.temperature": (1.0, 10**6),
    "data.answers": (2, 1_000_000),
    "data.dev_share": (0.0, 0.9),
    "data.stride": (1, 100_000),
    "data.longest_question": (1, 100_000),
    "data.longest_answer": (1, 100_000),
    "masking.share": (0.0, 0.9),
    "masking.regions": (0.0, 0.9),
    "matching.contrast": (0.0, 1000.0),
    "matching.alignment": (0.0, 1000.0),
    "matching.text": (0.0, 1000.0),
    "matching.regions": (0.0, 1000.0),
    "matching.negatives": (1, 64),
    "matching.hard": (0.0, 1.0),
    "matching.sharpness": (0.1, 1000.0),
    "pictures.zero": (0.0, 255.0),
    "pictures.edge": (1, 1024),
    "pictures.shift": (0, 1024),
    "cleaning.ratio": (1.0, 10**6),
    "cleaning.characters": (1, 10**9),
    "cleaning.words": (1, 10**9),
    "tokenizer.size": (16, 1_000_000),
    "tokenizer.sampling": (0.0, 0.99),
    "tokenizer.segmentations": (1, 1024),
    "tokenizer.placeholders": (0, 256),
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
    "training.validation_sentences": (1, 100_000),
    "training.patience": (0, 10**6),
    "training.keep": (1, 10_000),
    "training.average": (1, 100),
    "training.ema": (0.0, 0.999999),
    "training.distillation": (0.0, 1.0),
    "training.temperature": (0.1, 100.0),
    "training.r_drop": (0.0, 1000.0),
    "training.token_dropout": (0.0, 0.9),
    "training.sharpness": (0.1, 1000.0),
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
    "picture_capacity": (0, 100_000),
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


def check_values(recipe: Recipe, where: str) -> None:
    """UserError for the first value of a recipe (but those of its model) outside its limits."""
    _check_limits(recipe.seed, LIMITS["seed"], where, "seed")
    for section in SECTIONS:
        _check_section(section, getattr(recipe, section), where)
    for tag in recipe.data.tags + recipe.data.dev_tags:
        if not TAG.fullmatch(tag):
            raise UserError(f"{where}: data.tags has {tag!r}; a tag is up to 64 letters, digits, '-', '_', '.' or '@'")
    for weight in recipe.data.weights:
        _check_limits(weight, (0.0, 100.0), where, "data.weights")
    for size in recipe.pictures.size:
        _check_limits(size, (1, 4096), where, "pictures.size")
    for column in recipe.data.columns or ():
        _check_limits(column, (1, 1000), where, "data.columns")
    for beta in recipe.training.betas:
        _check_limits(beta, (0.0, 0.999999), where, "training.betas")
    final, average = recipe.training.final, recipe.training.average
    if final == "average" and average == 1:
        raise UserError(f"{where}: training.final = 'average' needs training.average: of how many, 2 or more")
    if final in ("best", "last") and average > 1:
        raise UserError(f"{where}: training.final = {final!r}, but training.average = {average}; leave one of them out")
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


def check_model(model: dict[str, Any], where: str, family: str) -> None:
    """The options exist, have the right types and sizes, and make a plan of the task's family."""
    options = {key: value for key, value in model.items() if key != "preset"}
    name = model.get("preset", family)
    if not isinstance(name, str):
        raise UserError(f"{where}: model.preset = {name!r} is not a name")
    if name in PRESETS or name in FAMILIES:
        if (found := PRESETS[name][0] if name in PRESETS else name) != family:
            fit = [preset for preset, (other, _) in PRESETS.items() if other == family]
            raise UserError(f"{where}: model.preset {name!r} is of the family {found}, not {family}; try {fit[0]}")
        hints = typing.get_type_hints(FAMILIES[PRESETS[name][0] if name in PRESETS else name])
        check_keys(options, [key for key in hints if key != "return"] + ["preset"], where, "model.")
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


def check_keys(table: dict[str, Any], known: list[str], where: str, prefix: str, task: TaskKeys | None = None) -> None:
    """UserError for the first key that is not known, with the nearest one that is; it may be another task's."""
    for key in table:
        if key not in known:
            section = prefix.rstrip(".")
            others = SECTIONS[section].__struct_fields__ if section in SECTIONS else SECTIONS
            if task is not None and key in others:
                raise UserError(f"{where}: {prefix + key!r} is not for this task, which has: {', '.join(known)}")
            homes = [f"{name}.{key}" for name, section in SECTIONS.items() if key in section.__struct_fields__]
            near = f"did you mean {homes[0]!r}?" if homes and not prefix else nearest(key, known)
            raise UserError(f"{where}: unknown key {prefix + key!r}; {near}")


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
