"""A checkpoint of another library becomes a model of heedful, tensor by tensor from file to file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..data.gallery import PATCHES
from ..data.parallel import save_tokenizers
from ..errors import UserError
from ..model.files import check, write_config
from ..model.plan import Plan, Tokens
from ..text.tokenizer import Tokenizer
from . import stream
from .layout import Reading, layout, layout_of
from .layouts import sentence_transformers
from .named import Named
from .preparing import sight_of
from .rules import Pair
from .scratch import copy_cards, scratch
from .settings import Settings, read_settings
from .weights import Weights

# Settings of theirs for how answers are made that a model of ours does not keep, and their values that change nothing.
RULES = {
    "no_repeat_ngram_size": 0, "min_length": 0, "min_new_tokens": 0, "repetition_penalty": 1.0, "do_sample": False,
    "encoder_no_repeat_ngram_size": 0, "diversity_penalty": 0.0, "num_beam_groups": 1, "early_stopping": False,
    "suppress_tokens": [], "begin_suppress_tokens": [],
}  # fmt: skip
# Dropouts that theirs was trained with and ours has no place for.
DROPOUTS = ("activation_dropout", "encoder_layerdrop", "decoder_layerdrop", "layerdrop")


class Checkpoint(NamedTuple):
    """A foreign checkpoint, opened and understood, of which nothing but names and shapes is read."""

    path: Path
    layout: str
    config: Settings
    weights: Named
    reading: Reading

    @property
    def plan(self) -> Plan:
        return self.reading.plan


def opened(path: Path) -> Checkpoint:
    """The checkpoint in a folder. UserError if it cannot be read."""
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; a checkpoint is a folder with config.json and its weights")
    if (path / sentence_transformers.MODULES).exists():
        return _fitting(Checkpoint(path, "sentence_transformers", *sentence_transformers.opened(path)))
    config, weights = read_settings(path / "config.json"), Named({"": Weights.open(path)})
    name = layout_of(config, weights)
    return _fitting(Checkpoint(path, name, config, weights, layout(name).reading(config, weights)))


def _fitting(found: Checkpoint) -> Checkpoint:
    """The same; UserError for settings of which no model can be made."""
    try:
        check(found.plan)
    except (ValueError, LookupError) as error:
        raise UserError(f"{found.config.where}: its settings do not fit together: {error}") from None
    return found


def convert_in(path: Path, out: Path) -> list[str]:
    """Write a checkpoint as a model of heedful, the new folder `out`, whole or not at all; what was done, in lines."""
    found = opened(path)
    reading, config = found.reading, found.config
    pairs = reading.rules.check(reading.plan, found.weights, path)
    read = layout(found.layout)
    tokenizers = read.tokenizers(path, config)
    more = read.extra_of(config, tokenizers) if hasattr(read, "extra_of") and tokenizers else {}
    forced = config.answering.tree.get("forced_bos_token_id")
    if reading.task == "translate" and isinstance(forced, int) and tokenizers:
        more.setdefault("framing", {"forced": forced})
    if (pictures := reading.extra.get("pictures", {})).get("encoder") == PATCHES:
        more["pictures"] = {**pictures, **sight_of(path, pictures["size"][0])}
    texts = [stream.embedding for stream in reading.plan.streams if isinstance(stream.embedding, Tokens)]
    if any(embedding.tasks for embedding in texts):
        more["task_token"] = 0
    with scratch(out) as partial:
        digest, odd = _write(partial / "model.safetensors", found, pairs)
        extra = {
            "task": reading.task, **reading.extra, **more, **_save(partial, tokenizers),
            "origin": {"layout": found.layout, "config": config.tree, "generation": config.generation},
            "weights": {"xxh3_128": digest},
        }  # fmt: skip
        write_config(partial, reading.plan, extra)
        copy_cards(path, partial)
        partial.rename(out)
    lines = [f"{path}: {found.layout}, {len(pairs)} tensors read"]
    if odd:
        lines.append(f"{len(odd)} tensors hold numbers that are not finite, {odd[0]} first: the model says nothing")
    return [*lines, *_told(found, more, out, readable=bool(tokenizers or not texts))]


def _told(found: Checkpoint, more: Mapping[str, Any], out: Path, readable: bool) -> list[str]:
    """What there is to know of the new model; `readable`: it has a tokenizer, or needs none."""
    lines, reading = [], found.reading
    if not readable:
        lines.append("there is no tokenizer in the folder, so texts cannot be read: add its files and convert again")
    else:
        lines.append(_next(reading, more, out))
    if dead := reading.rules.unread(found.weights):
        lines.append(f"{len(dead)} tensors are left out, as the original code never uses them: {dead[0]} first")
    if "task_token" in more:
        lines.append(f"texts carry the number of a task: 0; for another one set task_token in {_edited(out)}")
    if reading.task == "ask":
        lines.append(f"its answers are known by their numbers only; to name them set answers in {_edited(out)}")
    return [*lines, *reading.notes, *_unkept(found.config)]


def _edited(out: Path) -> str:
    return f'{out / "config.json"}, and remove "seal" there'


def _next(reading: Reading, more: Mapping[str, Any], out: Path) -> str:
    """What to do with the model."""
    if reading.task is not None:
        framing = more.get("framing", {})
        tag = "-".join(list(framing.get("codes", ()))[:2]) or next(iter(framing.get("targets", ())), "")
        languages = f" --tag {tag}" if tag else ""
        return f"{out}: run it with: heedful {reading.task} -m {out}{languages}"
    if [stream.name for stream in reading.plan.streams] == ["text"]:
        return f"{out}: has no head that a task of heedful uses; to train one: heedful train TASK --from {out}"
    return f"{out}: no task of heedful runs it; look at it with: heedful show {out}"


def _unkept(config: Settings) -> list[str]:
    """A line where theirs makes answers by rules that ours have not, one where it was trained in such a way."""
    asked = config.answering.tree
    kept = [f"{key} = {asked[key]}" for key, usual in RULES.items() if asked.get(key) not in (None, usual)]
    banned = asked.get("bad_words_ids")
    kept += [f"bad_words_ids = {banned}"] if banned not in (None, [], [[asked.get("pad_token_id")]]) else []
    lines = [f"answers are made without {', '.join(kept)}, which its own settings ask for"] if kept else []
    dropped = [f"{key} = {asked[key]}" for key in DROPOUTS if asked.get(key) not in (None, 0)]
    return [*lines, *([f"trained on from here, it has no {', '.join(dropped)}"] if dropped else [])]


def _write(path: Path, found: Checkpoint, pairs: Mapping[str, Pair]) -> tuple[str, list[str]]:
    """The parameters, in the order of the plan, each read once in that order; the file's hash, and the names of those
    with numbers that are not finite."""
    odd: list[str] = []
    shapes = found.plan.shapes()
    holder = {name: pair for pair in pairs.values() for name in pair.ours}
    kinds = {name: (found.weights.dtype(holder[name].theirs), shape) for name, shape in shapes.items()}

    def tensors() -> Iterator[tuple[str, Tensor]]:
        for name in shapes:
            pair = holder[name]
            for one, part in pair.taken(found.weights[pair.theirs], shapes):
                if one == name:
                    if not part.sum(dtype=torch.float32).isfinite() and not part.isfinite().all():
                        odd.append(pair.theirs)
                    yield one, part

    return stream.write(path, kinds, tensors()), odd


def _save(folder: Path, tokenizers: Mapping[str, Tokenizer]) -> dict[str, Any]:
    """tokenizer*.json, and what config.json says of them."""
    if not tokenizers:
        return {}
    if "" in tokenizers:
        tokenizers[""].save(folder / "tokenizer.json")
        return {"tokenizer": tokenizers[""].fingerprint}
    save_tokenizers(folder, dict(tokenizers))
    return {"tokenizers": {side: tokenizer.fingerprint for side, tokenizer in tokenizers.items()}}
