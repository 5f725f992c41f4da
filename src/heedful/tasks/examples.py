"""Labelled examples in a run's folder: what classifiers and taggers prepare alike.

There are "tokenizer.json", the tables "train" and "dev" of word numbers, "kept.json" with what else is known of them,
and "spellings", written last, which say that everything is there.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TypeVar

import msgspec

from ..config import Recipe
from ..data.shards import key_of
from ..data.spelled import Spelled, Words, open_spellings, save_spellings
from ..data.table import Table
from ..data.texts import READ_FOR_TOKENIZER, kept_tokenizer, trained_as
from ..errors import UserError
from ..text.tokenizer import Tokenizer
from .beginning import extra_of_start
from .closing import write

Known = TypeVar("Known")
TABLES = ("train", "dev", "spellings")


def key_for(recipe: Recipe, start: Tokenizer | None, **settings: object) -> str:
    """A hash of everything the examples are made from: files, tokenizer, and what the task reads them by."""
    data = recipe.data
    files = [Path(file) for file in (*data.train, *data.dev, *data.test)]
    common = {
        "tokenizer": str(recipe.tokenizer), "share": data.dev_share, "longest": data.longest, "seed": recipe.seed,
        "files": [len(data.train), len(data.dev)], "start": start.fingerprint if start else "",
    }  # fmt: skip
    return key_of(files, [], {**common, **settings})


def made(folder: Path, key: str) -> bool:
    """Whether everything is there."""
    return all(Table.reuse(folder / f"{name}.safetensors", key) is not None for name in TABLES)


def tokenizer_for(recipe: Recipe, folder: Path, key: str, start: Tokenizer | None, texts: Iterable[str]) -> Tokenizer:
    """The tokenizer of the model to start from, or one trained on the texts; in the folder as well."""
    if start is not None:
        folder.mkdir(parents=True, exist_ok=True)
        start.save(folder / "tokenizer.json")
        return start
    return kept_tokenizer(folder, key, lambda: trained_as(recipe.tokenizer, islice(texts, READ_FOR_TOKENIZER)))


def finish(recipe: Recipe, folder: Path, key: str, words: Words, kept: msgspec.Struct) -> None:
    """Write what is known of the examples, and the spellings of the words that their tables number."""
    write(folder / "kept.json", msgspec.json.encode(kept))
    save_spellings(folder / "spellings.safetensors", words.spellings(recipe.tokenizer, recipe.seed), key)


def ordered(labels: list[str], recipe: Recipe, folder: Path) -> list[str]:
    """Labels as the model to start from numbers them, where it has the very same; else as they are."""
    answers = extra_of_start(recipe, folder).get("answers")
    known = answers.get("labels") if isinstance(answers, dict) else None
    return known if isinstance(known, list) and sorted(map(str, known)) == sorted(labels) else labels


def read_kept(folder: Path, kind: type[Known]) -> Known:
    """What `finish` was given."""
    path = folder / "kept.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}; begin the run again") from None


def opened(folder: Path, name: str, recipe: Recipe, tokenizer: Tokenizer) -> Spelled:
    """A table with its spellings, as training reads it."""
    table, spellings = Table.open(folder / f"{name}.safetensors"), open_spellings(folder / "spellings.safetensors")
    return Spelled(table, spellings, tokenizer, recipe.data.longest, recipe.seed, recipe.training.token_dropout)


def told(notes: Iterable[tuple[str, str]]) -> list[str]:
    """Rows about the data as a line."""
    return ["data: " + "; ".join(f"{what} {count}" for what, count in notes)]
