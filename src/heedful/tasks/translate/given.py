"""Translators that a run is given: one to start from, one to learn from. Both are copied into the run.

So a run that is resumed needs nothing but its own folder, and gives the same bits whatever became of theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch

from ...config import Recipe, Training
from ...data.parallel import load_tokenizers
from ...errors import UserError
from ...model.files import read_config
from ...model.model import Model
from ...model.model import load as load_model
from ...model.plan import Plan
from ...text.foreign import Foreign
from ...text.tokenizer import Tokenizer
from ..finding import find, keep_copy, require_tokenizer
from .framing import Framing

KINDS = ("start", "teacher")  # keys of [training], and folders of a run's data


class Given(NamedTuple):
    """What of a translator must fit before its weights are of use."""

    folder: Path
    plan: Plan
    tags: tuple[str, ...]
    tokenizers: dict[str, Tokenizer]
    framing: Framing


def look(path: str | Path) -> Given:
    """The translator in a folder, without its weights; UserError if it is none."""
    folder = find(path)
    plan, extra = read_config(folder)
    if extra.get("task") != "translate":
        raise UserError(f"{folder}: a model for the task {extra.get('task')!r}, not for translation")
    try:
        fingerprints = msgspec.convert(extra.get("tokenizers", {}), dict[str, str])
        tags = msgspec.convert(extra.get("tags", ()), tuple[str, ...])
        framing = msgspec.convert(extra.get("framing", {}), Framing)
    except msgspec.ValidationError as error:
        raise UserError(f"{folder / 'config.json'}: {error}") from None
    require_tokenizer(folder, extra)
    return Given(folder, plan, tags, load_tokenizers(folder, fingerprints), framing)


def complete_given(recipe: Recipe) -> tuple[Recipe, Given | None]:
    """The recipe with the translators' folders found and the tokenizer's settings theirs, and the one to start from.

    UserError if one is unfit.
    """
    found = {kind: look(path) for kind in KINDS if (path := getattr(recipe.training, kind)) is not None}
    if not found:
        return recipe, None
    first, *others = found.values()
    for other in others:
        for side in ("source", "target"):
            if first.tokenizers[side].fingerprint != other.tokenizers[side].fingerprint:
                raise UserError(
                    f"training.teacher: {other.folder} has another {side} tokenizer than {first.folder} "
                    f"(training.start); a teacher's words must be the student's"
                )
    for given in found.values():
        _check_tags(recipe.data.tags, given)
    source, target = first.tokenizers["source"], first.tokenizers["target"]
    tokenizer = msgspec.structs.replace(
        recipe.tokenizer, kind=source.kind, size=source.vocab_size, joint=source is target, lowercase=source.lowercase,
        cut=source.cut, placeholders=len(source.placeholders),
    )  # fmt: skip
    folders = {kind: str(given.folder.absolute()) for kind, given in found.items()}
    training, decoding = msgspec.structs.replace(recipe.training, **folders), recipe.decoding
    if isinstance(source, Foreign):  # what it would protect it has no placeholders for
        decoding = msgspec.structs.replace(decoding, protect=False)
    completed = msgspec.structs.replace(recipe, training=training, tokenizer=tokenizer, decoding=decoding)
    return completed, found.get("start")


def _check_tags(tags: tuple[str, ...], given: Given) -> None:
    if given.framing.codes:
        if not tags:
            example, known = "-".join(list(given.framing.codes)[:2]), ", ".join(given.framing.codes)
            raise UserError(
                f"{given.folder} has several languages; name those of the data, source and target: --languages "
                f"{example} (data.tags); it knows {known}"
            )
        for tag in tags:
            given.framing.pair(tag)
        if given.framing.source == "last" or given.framing.begins:
            raise UserError(
                f"{given.folder}: its languages stand behind the source; such a model can be run, not trained"
            )
        return
    if given.framing.targets:
        for tag in tags:
            given.framing.target(tag)
        return
    for tag in tags:
        if tag not in given.tags:
            raise UserError(
                f"data.tags has {tag!r}, which {given.folder} was not trained with (it knows "
                f"{', '.join(given.tags) or 'none'}); a finished model learns no new tags: train anew"
            )
    if given.tags and not tags:
        known = ", ".join(given.tags)
        raise UserError(f"{given.folder} has several target languages; name those of the data in data.tags: {known}")


def require_plan(plan: Plan, start: Plan) -> None:
    """UserError that names what differs between a recipe's plan and that of the model it starts from, but dropout."""
    found = list(_differences(msgspec.to_builtins(plan), msgspec.to_builtins(start), ""))
    if found:
        more = f" and {len(found) - 2} more" if len(found) > 2 else ""
        raise UserError(
            f"[model] is not that of training.start: {'; '.join(found[:2])}{more}; leave [model] out to take its own"
        )


def _differences(ours: Any, theirs: Any, path: str) -> Iterator[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in ours | theirs:
            if not key.endswith("dropout"):
                yield from _differences(ours.get(key), theirs.get(key), f"{path}.{key}".lstrip("."))
    elif isinstance(ours, tuple) and isinstance(theirs, tuple) and len(ours) == len(theirs):
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _differences(one, other, f"{path}.{number}")
    elif ours != theirs:
        told = [f"{len(side)} of them" if isinstance(side, tuple | dict) else repr(side) for side in (ours, theirs)]
        yield f"{path}: {told[0]} in the recipe, {told[1]} there"


def keep_given(training: Training, run_data: Path) -> tuple[list[str], dict[str, Tokenizer] | None]:
    """Copy the translators into the run's data, unless they are there; a line for each, and the tokenizers they bring.

    What was copied once is kept from the first checkpoint on, whatever has become of the original.
    """
    lines, tokenizers = [], None
    for kind in KINDS:
        path, copy = getattr(training, kind), run_data / kind
        if path is None:
            continue
        keep_copy(Path(path), copy)
        given = look(copy)
        tokenizers = tokenizers or given.tokenizers
        what = "starts from" if kind == "start" else "learns from"
        lines.append(f"model: {what} {path}; its tokenizers are taken")
    return lines, tokenizers


def plan_of_start(run_data: Path) -> Plan:
    """The plan of the model that a run started from."""
    return read_config(run_data / "start")[0]


def framing_of_start(run_data: Path) -> Framing:
    """How the model that a run started from is told languages."""
    return msgspec.convert(read_config(run_data / "start")[1].get("framing", {}), Framing)


def start_with(model: Model, run_data: Path) -> None:
    """Give the model the weights it starts from."""
    model.load_tensors(load_model(run_data / "start")[0].tensors())


def load_teacher(run_data: Path, device: torch.device) -> Model:
    """The teacher, to be asked and never trained."""
    return load_model(run_data / "teacher")[0].to(device).requires_grad_(False)
