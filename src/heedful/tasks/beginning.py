"""What recipes of all tasks leave open, and the model that a run starts from: its weights, plan and tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ..config import TASKS, Recipe, Training, seconds
from ..data.gallery import Sight, sight_from
from ..data.readers import resolve
from ..errors import UserError
from ..model.files import read_config
from ..model.model import Model
from ..model.model import load as load_model
from ..model.plan import Plan, Tokens
from ..model.presets import plan
from ..text.tokenizer import Tokenizer
from .finding import find, keep_copy, load_tokenizer

ENCODER, DECODER = "encoder", "decoder"
READS = {
    ENCODER: "an encoder, in which a word sees those after it; start from one that `train fill` made, or a BERT",
    DECODER: "a decoder, in which a word sees none after it; start from one that `train write` made, or a GPT-2",
}
DROPOUT = ("dropout", "attention_dropout")  # what a recipe may change of a model to start from


class Start(NamedTuple):
    """A finished model that a run begins from, without its weights."""

    folder: Path
    plan: Plan
    tokenizer: Tokenizer


def located(recipe: Recipe, root: Path | None) -> Recipe:
    """The recipe with its training, dev and test files found; UserError where there are none."""
    if not recipe.data.train:
        raise UserError("no training data: give --train FILE")
    names = ("train", "dev", "test")
    found = {name: tuple(str(resolve(file, root).absolute()) for file in getattr(recipe.data, name)) for name in names}
    return msgspec.structs.replace(recipe, data=msgspec.structs.replace(recipe.data, **found))


def settled(recipe: Recipe, size: int, limit: str = "20m") -> Recipe:
    """The recipe with a preset, a vocabulary (of `size`), an end of training and a warm-up where it names none.

    With a model to start from, its folder is found, and the tokenizer's settings are its own.
    """
    model, training, tokenizer = dict(recipe.model), recipe.training, recipe.tokenizer
    start = look(training.start) if training.start is not None else None
    if start is not None:
        training = msgspec.structs.replace(training, start=str(start.folder.absolute()))
        own = start.tokenizer
        tokenizer = msgspec.structs.replace(
            tokenizer, kind=own.kind, size=own.vocab_size, lowercase=own.lowercase, cut=own.cut
        )
    elif "preset" not in model:
        model["preset"] = TASKS[recipe.task].preset
    if tokenizer.size is None:
        tokenizer = msgspec.structs.replace(tokenizer, size=size)
    if training.steps is None and training.limit is None:
        training = msgspec.structs.replace(training, limit=limit)
    if training.warmup is None:
        training = msgspec.structs.replace(training, warmup=warmup(training))
    return msgspec.structs.replace(recipe, model=model, training=training, tokenizer=tokenizer)


def vocabulary(recipe: Recipe) -> int:
    """How many entries the vocabulary has where the recipe does not say: by the bytes of the training files."""
    size = sum(Path(file).stat().st_size for file in recipe.data.train)
    return next(
        (entries for most, entries in ((10**6, 4000), (2 * 10**7, 8000), (2 * 10**8, 16000)) if size < most), 32000
    )


def warmup(training: Training) -> int:
    """A tenth of the steps, or what fits a third of the seconds at a step a second; 1,000 for long runs."""
    expected = training.steps / 10 if training.steps else seconds(training.limit or "60m") / 3
    return int(min(1000, max(10, expected)))


def planned(recipe: Recipe, vocab: int, start: Plan | None = None, **sizes: int) -> Plan:
    """The plan of the recipe's [model] for a vocabulary; or that of the model to start from, with the recipe's dropout.

    UserError if learned positions are fewer than `data.longest` asks for.
    """
    if start is not None:
        _require_family(start, TASKS[recipe.task].family)
        if others := [key for key in recipe.model if key not in DROPOUT]:
            named = ", ".join("--preset" if key == "preset" else f"model.{key}" for key in others)
            raise UserError(f"with a model to start from, [model] is its own, but for dropout: leave {named} out")
        built = start.with_dropout(*(recipe.model.get(key) for key in DROPOUT))
    else:
        options = dict(recipe.model)
        for given in ("vocab", "target_vocab"):
            if given in options:
                raise UserError(f"model.{given} is the tokenizer's to say; set tokenizer.size")
        built = plan(options.pop("preset", TASKS[recipe.task].preset), **{**options, **sizes}, vocab=vocab)
    for stream in built.streams:
        embedding = stream.embedding
        if not isinstance(embedding, Tokens) or embedding.positions != "learned":
            continue
        if embedding.capacity < recipe.data.longest:
            raise UserError(
                f"the model has {embedding.capacity} learned positions, fewer than data.longest = "
                f"{recipe.data.longest} tokens; raise model.capacity or lower data.longest"
            )
    return built


def _require_family(start: Plan, family: str) -> None:
    """UserError for a model to start from that reads in another way than the task's do."""
    streams = {stream.name for stream in start.streams}
    found = DECODER if start.is_causal else ENCODER
    if family in (DECODER, ENCODER) and (streams, found) != ({"text"}, family):
        article, given = "a" if start.is_causal else "an", f"{found} of {' and '.join(sorted(streams))}"
        raise UserError(f"training.start: the model is {article} {given}; this task trains {READS[family]}")


def look(path: str | Path) -> Start:
    """The model in a folder of a run or a model, without its weights."""
    folder = find(path)
    built, extra = read_config(folder)
    return Start(folder, built, load_tokenizer(folder, extra))


def keep_start(recipe: Recipe, folder: Path) -> tuple[list[str], Tokenizer | None]:
    """Copy the model that the run starts from into its data, so that a resume needs nothing else; its tokenizer."""
    path, copy = recipe.training.start, folder / "start"
    if path is None:
        return [], None
    keep_copy(Path(path), copy)
    return [f"model: starts from {path}; its tokenizer is taken"], look(copy).tokenizer


def plan_of_start(recipe: Recipe, folder: Path) -> Plan | None:
    """The plan of the model that a run starts from, from its data; None: it starts from nothing."""
    return None if recipe.training.start is None else read_config(folder / "start")[0]


def extra_of_start(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """The keys beside the plan in config.json of the model that a run starts from; none: it starts from nothing."""
    return {} if recipe.training.start is None else read_config(folder / "start")[1]


def came(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """What a finished model keeps of that one: the library it came from, and what it was there."""
    return {key: value for key, value in extra_of_start(recipe, folder).items() if key in ("origin", "task_token")}


def sight_of_start(recipe: Recipe, folder: Path) -> Sight | None:
    """How the model that a run starts from sees pictures, if it came from another library; else [pictures] says it."""
    extra = extra_of_start(recipe, folder)
    return sight_from(extra.get("pictures"), folder / "start") if "origin" in extra else None


def task_token(plan: Plan, extra: Mapping[str, Any]) -> int | None:
    """The number that stands second in every row of text, where the model has a vector for each task (12-in-1); None:
    it has none. `extra` are the keys of its config.json; UserError for a number that is no task's."""
    embedding = plan.stream("text").embedding
    if not isinstance(embedding, Tokens) or not embedding.tasks:
        return None
    number = extra.get("task_token", 0)
    if not isinstance(number, int) or not 0 <= number < embedding.tasks:
        raise UserError(f"config.json: task_token = {number!r}; it is the number of a task, 0 to {embedding.tasks - 1}")
    return number


def task_of_start(recipe: Recipe, folder: Path) -> int | None:
    """The same of the model that a run starts from."""
    start = plan_of_start(recipe, folder)
    return None if start is None else task_token(start, extra_of_start(recipe, folder))


def start_with(model: Model, recipe: Recipe, folder: Path) -> None:
    """Give a model the weights that it has in common with the one it starts from; heads of its own stay as they are."""
    if recipe.training.start is None:
        return
    given, own = load_model(folder / "start")[0].tensors(), model.tensors()
    model.load_tensors({name: given[name] if fits(given, name, tensor) else tensor for name, tensor in own.items()})


def fits(given: dict[str, object], name: str, tensor: object) -> bool:
    """Whether a tensor of that name and shape is given."""
    return name in given and getattr(given[name], "shape", None) == getattr(tensor, "shape", None)
