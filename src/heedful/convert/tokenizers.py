"""Tokenizers of other libraries, read for a model; and a model's tokenizers as the files that those libraries read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ..errors import UserError
from ..text.foreign import Foreign
from ..text.foreign_files import read
from ..text.originals import LISTS, PIECES
from ..text.pipeline import CONTROLS, MASK, SPACE, control
from ..text.tokenizer import Tokenizer
from .settings import GENERATION, Settings, written_json

Framed = Literal["both", "end", "none"]

# Cuts a text into its lines, the ends a part of them.
LINES = {"type": "Split", "pattern": {"Regex": r"[^\n]*\n|[^\n]+"}, "behavior": "Isolated", "invert": False}
# What `transformers` calls our control tokens; [MASK] is a tag of models that fill.
ROLES = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "mask_token": "<mask>"}


def read_one(folder: Path, config: Settings, **roles: Any) -> dict[str, Tokenizer]:
    """The tokenizer of a model that reads one kind of text, {"": it}; {} where the folder has none. `roles` are those
    of `foreign_files.read` that the layout knows."""
    return {"": read(folder, size=config.size("vocab_size"), **roles)} if _has_one(folder) else {}


def read_sides(
    folder: Path, config: Settings, source: Mapping[str, Any], target: Mapping[str, Any]
) -> dict[str, Tokenizer]:
    """Those of an encoder-decoder, {"source": ..., "target": ...}; {} where the folder has none. `source` and `target`
    are roles, as in `read_one`; the target's start is what answers begin from."""
    if not _has_one(folder):
        return {}
    end, config = _end(config), config.answering
    known = {"pad": config.take("pad_token_id", int, end), "end": end}
    sizes = {
        "source": config.size("vocab_size"),
        "target": config.size("decoder_vocab_size", config.size("vocab_size")),
    }
    start = config.take("decoder_start_token_id", int, known["pad"])
    asked = {"source": {**known, **source}, "target": {**known, "start": start, **target}}
    return {side: read(folder, size=sizes[side], side=side, **given) for side, given in asked.items()}


def _end(config: Settings) -> int:
    """The token that answers end with; UserError for several of them."""
    asked = config.answering
    if not isinstance(asked.tree.get("eos_token_id"), list):
        return asked.take("eos_token_id", int, 2)
    ends = asked.take("eos_token_id", list[int])
    if len(ends) != 1:
        where = f"{GENERATION} beside {config.where}" if "eos_token_id" in config.generation else config.where
        raise UserError(f"{where}: 'eos_token_id' is {ends}; one token ends an answer here: leave that one")
    return ends[0]


def _has_one(folder: Path) -> bool:
    return any(path.name in LISTS or path.name.endswith(PIECES) for path in folder.iterdir())


def files_of(
    tokenizers: Mapping[str, Tokenizer], framed: Framed, *, fills: bool = False, segments: bool = False
) -> dict[str, bytes]:
    """Files by name: of a foreign tokenizer its own, of ours what `AutoTokenizer` reads. `framed` says what stands
    around a text: "both" controls, the "end" only, or "none". The target's own tokenizer is in target/.

    For a model that `fills` in words a mask can be written in a text, and for one with languages their tags; else a
    text is only ever text. One with `segments` is told which of two texts a token is of.
    """
    source = tokenizers.get("", tokenizers.get("source"))
    if source is None:
        return {}
    found = _files(source, framed, fills, segments)
    target = tokenizers.get("target", source)
    if target is not source and not (isinstance(target, Foreign) and isinstance(source, Foreign)):
        found |= {f"target/{name}": content for name, content in _files(target, framed, False, False).items()}
    elif isinstance(target, Foreign):
        found |= target.files
    return found


def ids_of(tokenizers: Mapping[str, Tokenizer]) -> dict[str, int]:
    """The keys of their config.json that name controls, of tokenizers of ours; a foreign one came with its own."""
    source, target = (tokenizers.get(side, tokenizers.get("")) for side in ("source", "target"))
    if source is None or target is None or isinstance(source, Foreign):
        return {}
    found = {"pad_token_id": source.pad, "bos_token_id": source.start, "eos_token_id": source.end}
    return found if "" in tokenizers else {**found, "decoder_start_token_id": target.start}


def _files(tokenizer: Tokenizer, framed: Framed, fills: bool, segments: bool) -> dict[str, bytes]:
    if isinstance(tokenizer, Foreign):
        return dict(tokenizer.files)
    tree = json.loads(tokenizer.to_json())
    if tokenizer.prose:  # which is read line by line
        tree["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [LINES, tree["pre_tokenizer"]]}
    elif fills:
        _put_space_first(tree, tokenizer)
    languages = {name for name in tokenizer.tags if name != MASK}
    names = [*CONTROLS, *tokenizer.tags]
    tree["added_tokens"] = [
        {"id": tokenizer.ids[control(name)], "content": control(name), "single_word": False, "lstrip": False,
         "rstrip": name in languages, "normalized": False, "special": True} for name in names
    ]  # fmt: skip
    tree["post_processor"] = _template(tokenizer, framed)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False,
        "split_special_tokens": not (fills or languages),
        "model_input_names": ["input_ids", *(["token_type_ids"] if segments else []), "attention_mask"],
        **{role: control(name) for role, name in ROLES.items() if name in names},
    }  # fmt: skip
    return {"tokenizer.json": written_json(tree), "tokenizer_config.json": written_json(config)}


def _put_space_first(tree: dict[str, Any], tokenizer: Tokenizer) -> None:
    """The space in front of a text in another way: `tokenizers` takes what follows a mask for a text of its own, and
    would put one there as well. (A text that begins with a space then gets no second one.)"""
    steps = tree["normalizer"]["normalizers"]
    tree["normalizer"]["normalizers"] = [step for step in steps if step["type"] != "Prepend"]
    space = {"type": "Metaspace", "replacement": " " if tokenizer.kind == "bytes" else SPACE,
             "prepend_scheme": "first", "split": False}  # fmt: skip
    tree["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [space, tree["pre_tokenizer"]]}


def _template(tokenizer: Tokenizer, framed: Framed) -> dict[str, Any] | None:
    """What `tokenizers` puts around texts."""
    if framed == "none":
        return None
    mark = lambda token, part: {"SpecialToken": {"id": control(token), "type_id": part}}
    text = lambda name, part: {"Sequence": {"id": name, "type_id": part}}
    first = [mark("<s>", 0)] if framed == "both" else []
    single = [*first, text("A", 0), mark("</s>", 0)]
    ids = {control(name): {"id": control(name), "ids": [tokenizer.ids[control(name)]], "tokens": [control(name)]}
           for name in ("<s>", "</s>")}  # fmt: skip
    return {
        "type": "TemplateProcessing", "single": single, "pair": [*single, text("B", 1), mark("</s>", 1)],
        "special_tokens": ids,
    }  # fmt: skip
