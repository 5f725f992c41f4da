"""A model of heedful becomes a checkpoint of another library, if that library's classes compute the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from ..model.files import read_config
from ..model.plan import Plan, Tokens
from ..text.pipeline import control
from ..text.tokenizer import Tokenizer
from . import stream
from .agreement import agree, unlike
from .layout import Writing, layout, names
from .layouts import sentence_transformers
from .scratch import copy_cards, scratch
from .settings import GENERATION, written_json
from .tokenizers import Framed, files_of, ids_of
from .weights import Weights

# By the streams of a plan, the layouts that may be able to say it; the first that can is taken.
NEAREST = {
    ("text",): ("bert", "roberta", "distilbert"),
    ("source", "target"): ("marian", "bart", "mbart", "m2m100", "t5"),
    ("text", "picture"): ("vilbert", "clip", "lxmert"),
    ("picture",): ("vit",),
}
# Settings of a checkpoint that are no longer true of what is written: its precision, and code and kinds of its own.
GONE = ("torch_dtype", "dtype", "quantization_config", "auto_map")
MANY = 3  # differences that a message names; a layout that has no name for a parameter is as far off


def convert_out(folder: Path, out: Path, tokenizers: Mapping[str, Tokenizer], name: str | None = None) -> list[str]:
    """Write a model's folder in a layout (None: the one it came from, or the first that can say it) as the new folder
    `out`, whole or not at all; what was done, in lines. `tokenizers` as a layout's."""
    plan, extra = read_config(folder)
    name = name or _layout(folder, plan, extra)
    write = getattr(layout(name), "writing", None)
    if write is None:
        raise UserError(f"{folder}: the layout {name} can be read but not written")
    try:
        writing: Writing = write(plan, extra)
    except UserError as error:
        raise UserError(f"{folder}: {str(error).replace('this layout', f'the layout {name}')}") from None
    agree(plan, writing.plan, f"{folder}: {name}")
    weights = Weights.open(folder / "model.safetensors")
    dtype = str(weights.dtype(next(iter(weights)))).removeprefix("torch.")
    config = {**_merged(_came(extra, writing, "config"), {**ids_of(tokenizers), **writing.config}), "dtype": dtype}
    words = tokenizers.get("")
    if name == "roberta" and words is not None and words.pad != config["pad_token_id"]:
        counted = f"counts positions from the padding's id, here {config['pad_token_id']}"
        raise UserError(f"{folder}: the layout roberta {counted}; that of the model's tokenizer is {words.pad}")
    files = {"config.json": written_json(config), **_words(plan, tokenizers), **writing.files}
    if generation := _came(extra, writing, "generation") or _answering(plan, extra, ids_of(tokenizers)):
        files[GENERATION] = written_json(generation)
    with scratch(out) as made:
        _write(made, plan, writing, weights)
        for file, content in files.items():
            (made / file).parent.mkdir(exist_ok=True)
            (made / file).write_bytes(content)
        copy_cards(folder, made)
        made.rename(out)
    lines = [f"{out}: {name}, {len(writing.rules.pairs(writing.plan))} tensors", *writing.notes]
    if isinstance(tags := extra.get("tags"), list) and tags:
        lines.append(f"a source begins with the tag of its language: {', '.join(repr(control(tag)) for tag in tags)}")
    if prefix := extra.get("prefix"):
        lines.append(f"every source begins with {prefix!r}")
    return lines


def _answering(plan: Plan, extra: Mapping[str, Any], ids: Mapping[str, int]) -> dict[str, Any]:
    """Their generation_config.json of a translator that was trained here: how it decodes, as near as theirs can say."""
    decoding = extra.get("decoding")
    if not isinstance(decoding, dict) or not ids:
        return {}
    longest = int(decoding.get("max_ratio", 2.0) * decoding.get("longest", 256)) + decoding.get("max_extra", 30)
    target = plan.stream("target").embedding
    if isinstance(target, Tokens) and target.positions == "learned":
        longest = min(longest, target.capacity)
    penalty = {} if decoding.get("length_penalty") == "gnmt" else {"length_penalty": decoding.get("alpha", 1.0)}
    return {**ids, "num_beams": decoding.get("beam", 4), **penalty, "max_length": longest}


def _words(plan: Plan, tokenizers: Mapping[str, Tokenizer]) -> dict[str, bytes]:
    """The files of tokenizers. What our models see around a text are both controls, the end of a source, or nothing."""
    embeddings = {stream.name: stream.embedding for stream in plan.streams}
    framed: Framed = "end" if "source" in embeddings else "both"
    if list(embeddings) == ["text"] and plan.is_causal:
        framed = "none"
    text = embeddings.get("text")
    fills = any(head.name == "masked_token" for head in plan.heads)
    segments = isinstance(text, Tokens) and text.segments > 1
    return files_of(tokenizers, framed, fills=fills, segments=segments)


def _write(folder: Path, plan: Plan, writing: Writing, weights: Weights) -> None:
    """Their tensors; what ours lacks is filled in, a stream's width put in their order. A name's part before a "/" is
    the folder that its file is in."""
    shapes, usual = writing.plan.shapes(), weights.dtype(next(iter(weights)))

    def ours(name: str) -> Tensor:
        if name not in weights:
            fill = torch.ones if name.endswith("norm.weight") else torch.zeros
            return fill(shapes[name], dtype=usual)
        tensor = reordered(weights[name], name, plan, writing.permuted)
        if missing := shapes[name][0] - tensor.shape[0]:  # positions that are never used come first
            tensor = torch.cat([tensor.new_zeros(missing, *tensor.shape[1:]), tensor])
        return tensor

    others = {name: torch.zeros(shape, dtype=usual) for name, shape in writing.rules.dead.items()}
    others |= {name: tensor.to(usual) for name, tensor in writing.numbers.items()}
    files: dict[str, dict[str, Callable[[], Tensor]]] = {}
    kinds: dict[str, stream.Kind] = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in others.items()}
    for theirs, pair in writing.rules.pairs(writing.plan).items():
        kinds[theirs] = (next((weights.dtype(one) for one in pair.ours if one in weights), usual), pair.shape(shapes))
        files.setdefault(_folder(theirs), {})[theirs] = partial(pair.given, ours, shapes)
    for name, tensor in others.items():
        files.setdefault(_folder(name), {})[name] = lambda tensor=tensor: tensor
    for inside, made in files.items():
        (folder / inside).mkdir(exist_ok=True)
        short = lambda name, inside=inside: name.removeprefix(f"{inside}/")
        own = {short(name): kinds[name] for name in made}
        stream.write(
            folder / inside / "model.safetensors", own, ((short(name), make()) for name, make in made.items()), "pt"
        )


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def reordered(tensor: Tensor, name: str, plan: Plan, orders: Mapping[str, Tensor]) -> Tensor:
    """One of our parameters with the width of its streams in another order (`orders` [width] by stream): what reads a
    stream has its columns moved, what adds to one its rows."""
    if not orders:
        return tensor
    words = name.split(".")
    if words[0] == "heads":
        head = next(head for head in plan.heads if head.name == words[1])
        order = orders.get(head.streams[0])
        return tensor if order is None or tensor.ndim == 1 else tensor[:, order]
    own, leaf = words[0], words[-2]
    if leaf in ("output", "norm", "tokens", "positions") or words[1] in ("norm", "embedding"):
        order = orders.get(own)
        if order is None:
            return tensor
        return tensor[:, order] if leaf in ("tokens", "positions") else tensor[order]
    attended = words[2] if leaf in ("key", "value", "attended_norm") else own
    order = orders.get(attended)
    return tensor if order is None or (tensor.ndim == 1 and leaf != "attended_norm") else tensor[..., order]


def _layout(folder: Path, plan: Plan, extra: Mapping[str, Any]) -> str:
    """The layout that a model came from, or the first that can say its plan; UserError tells what the nearest lacks."""
    origin, nearest = extra.get("origin", {}).get("layout"), NEAREST.get(tuple(one.name for one in plan.streams), ())
    if nearest == NEAREST["text",] and plan.is_causal:
        nearest = ("gpt2",)
    elif any(head.name == sentence_transformers.HEAD for head in plan.heads):
        nearest = ("sentence_transformers",)
    reasons = []
    for name in dict.fromkeys([origin, *nearest] if origin in names() else nearest):
        try:
            lacks = unlike(plan, layout(name).writing(plan, extra).plan)  # type: ignore[attr-defined]
        except UserError as error:
            reasons.append((MANY, str(error).replace("this layout", name)))
            continue
        if not lacks:
            return name
        reasons.append((len(lacks), f"{name} {'; '.join(lacks[:MANY])}"))
    why = f"the nearest: {min(reasons, key=itemgetter(0))[1]}" if reasons else "none has such streams"
    raise UserError(f"{folder}: no layout can say what this model computes; {why}")


def _came(extra: Mapping[str, Any], writing: Writing, what: str) -> Mapping[str, Any]:
    """The settings that a model came with, if it goes back as what it was."""
    origin = extra.get("origin", {})
    same = bool(origin) and origin["config"].get("model_type", "vilbert") == writing.config["model_type"]
    return {key: value for key, value in origin[what].items() if key not in GONE} if same else {}


def _merged(came: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of both, of tables inside as well; those of `now` count."""
    both = lambda key: (
        isinstance(came.get(key), dict) and isinstance(now[key], dict) and key not in ("id2label", "label2id")
    )
    return {**came, **{key: _merged(came[key], now[key]) if both(key) else now[key] for key in now}}
