"""What a translation recipe leaves open, chosen from the data and the machine."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ...config import Recipe
from ...data.parallel import SIDES
from ...data.readers import read_pairs, resolve
from ...data.splits import splits
from ...errors import UserError
from ...model.plan import Plan, Tokens
from ...model.presets import plan
from ...text.tokenizer import Tokenizer
from ...train.run import require_memory
from ..beginning import DROPOUT, warmup
from .given import complete_given, require_plan


def complete(recipe: Recipe, root: Path | None = None) -> Recipe:
    """The recipe with files resolved, and what it leaves open chosen from the number of pairs and the machine."""
    data = recipe.data
    if not (data.source or data.pairs):
        raise UserError("no training data: give --source and --target, or --pairs")
    names = [name for name in data.__struct_fields__ if name.endswith(("source", "target", "pairs"))]
    located = {name: tuple(str(resolve(file, root).absolute()) for file in getattr(data, name)) for name in names}
    data = msgspec.structs.replace(data, **located)
    splits(data)  # what does not go together is told before hours of reading
    recipe, start = complete_given(recipe)
    pairs = sum(1 for _ in read_pairs(data))
    model, training, tokenizer = dict(recipe.model), recipe.training, recipe.tokenizer
    if "preset" not in model and (start is None or not model.keys() <= set(DROPOUT)):  # else the plan is the start's
        sizes = ((5_000, "transformer-tiny"), (100_000, "transformer-mini"), (1_000_000, "transformer-small"))
        model["preset"] = next((name for most, name in sizes if pairs <= most), "transformer-base")
    if tokenizer.size is None:
        sizes_ = ((5_000, 2000), (100_000, 8000), (1_000_000, 16000))
        tokenizer = msgspec.structs.replace(
            tokenizer, size=next((size for most, size in sizes_ if pairs <= most), 32000)
        )
    if training.steps is None and training.limit is None:
        training = msgspec.structs.replace(training, limit="60m")
    if training.warmup is None:
        training = msgspec.structs.replace(training, warmup=warmup(training))
    recipe = msgspec.structs.replace(recipe, data=data, model=model, training=training, tokenizer=tokenizer)
    # Sizes, and a start of another plan, are refused before anything is written.
    vocab = {"vocab": tokenizer.size or 0}
    built = _planned(recipe, vocab) if start is None else build_plan(recipe, start.tokenizers, start.plan)
    require_memory(built, averaged=training.ema > 0)
    return recipe


def build_plan(recipe: Recipe, tokenizers: dict[str, Tokenizer], start: Plan | None = None) -> Plan:
    """The recipe's plan with the vocabularies' true sizes.

    `start` is that of the model a run starts from: taken where [model] says no more than dropout, else both must agree.
    """
    vocab = {"vocab": tokenizers["source"].vocab_size}
    if tokenizers["source"] is not tokenizers["target"]:
        vocab["target_vocab"] = tokenizers["target"].vocab_size
    if start is not None and recipe.model.keys() <= set(DROPOUT):
        return _checked(start.with_dropout(*(recipe.model.get(key) for key in DROPOUT)), recipe)
    built = _planned(recipe, vocab)
    if start is not None:
        require_plan(built, start)
    return built


def _planned(recipe: Recipe, vocab: dict[str, int]) -> Plan:
    options = dict(recipe.model)
    name = options.pop("preset", "transformer-mini")
    if {"vocab", "target_vocab"} & options.keys():
        raise UserError("model.vocab is the tokenizer's to say; set tokenizer.size")
    built = plan(name, **options, **vocab)
    if {stream.name for stream in built.streams} != set(SIDES):
        raise UserError(f"model.preset {name!r} is not an encoder-decoder; try transformer-mini")
    return _checked(built, recipe)


def _checked(built: Plan, recipe: Recipe) -> Plan:
    """The plan, if its positions hold the longest texts."""
    for stream in built.streams:
        more = 2 + len(recipe.data.prefix.encode())  # a tag, the end token, and a prefix, which has no more than that
        embedding, longest = stream.embedding, recipe.data.longest + more
        if isinstance(embedding, Tokens) and embedding.positions == "learned" and embedding.capacity < longest:
            raise UserError(
                f"model.capacity = {embedding.capacity} learned positions are fewer than data.longest = "
                f"{recipe.data.longest} tokens and {more} more; raise one or lower the other"
            )
    return built
