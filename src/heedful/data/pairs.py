"""Pairs of texts that mean the same: TSV, CSV or JSONL files to a tokenizer and tables of ids.

A record has a "first" and a "second" text, and may have a "group": pairs of one group, or with the same first or the
same second text, are no negatives of each other, and are held out together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..config import Recipe
from ..errors import UserError
from ..text.tokenizer import Tokenizer
from .records import read_records
from .shards import Ids, key_of
from .table import Table
from .texts import kept_tokenizer, trained_as

NAMES = ("first", "second", "group")


class Pair(NamedTuple):
    """Two texts, and what their group is called ("": it is named by nobody)."""

    first: str
    second: str
    group: str = ""


def read_pairs(path: Path, fields: Sequence[str] = ()) -> Iterator[Pair]:
    """The pairs of a file; UserError for a record without both texts."""
    for values, where in read_records(path, NAMES, fields, optional=NAMES[2:]):
        for name, value in zip(NAMES[:2], values, strict=False):
            if not isinstance(value, str) or not value.strip():
                raise UserError(f'{where}: "{name}" is {value!r}, not a text; leave the record out or mend it')
        yield Pair(values[0], values[1], "" if values[2] is None else str(values[2]))


def read_parts(recipe: Recipe) -> tuple[list[Pair], list[Pair]]:
    """The pairs of training and those held out: of the dev files, or the last `dev_share` of the groups."""
    data = recipe.data
    read = lambda files: [pair for file in files for pair in read_pairs(Path(file), data.fields)]
    train, dev = read(data.train), read(data.dev)
    if not data.dev:
        names = list(dict.fromkeys(pair.group or pair.first for pair in train))
        last = set(names[min(len(names) - 1, int(len(names) * (1 - data.dev_share))) :])
        train, dev = (
            [pair for pair in train if ((pair.group or pair.first) in last) == held] for held in (False, True)
        )
    for what, pairs in (("training", train), ("validation", dev)):
        if not pairs:
            raise UserError(f"{', '.join(data.train)}: no pair is left for {what}; change data.dev_share")
    return train, dev


def groups_of(pairs: Sequence[Pair]) -> Ids:
    """Numbers [pairs, 3] of a pair's first text, second text and group: pairs that share one say the same."""
    known: dict[tuple[int, object], int] = {}
    return np.array(
        [
            [known.setdefault((place, name), len(known)) for place, name in enumerate(names)]
            for names in ((pair.first, pair.second, pair.group or number) for number, pair in enumerate(pairs))
        ],
        np.int64,
    ).reshape(-1, len(NAMES))


def prepare_pairs(recipe: Recipe, folder: Path, tokenizer: Tokenizer | None = None) -> list[str]:
    """Tokenizer and tables "train" and "dev" in `folder`, made or found there; lines about them."""
    train, dev = read_parts(recipe)
    data, given = recipe.data, tokenizer.fingerprint if tokenizer else ""
    settings = {
        "tokenizer": str(recipe.tokenizer), "fields": data.fields, "share": data.dev_share, "dev": len(data.dev),
        "longest": data.longest, "given": given,
    }  # fmt: skip
    key = key_of([Path(file) for file in (*data.train, *data.dev)], [], settings)
    if tokenizer is None:
        tokenizer = kept_tokenizer(folder, key, lambda: _trained(recipe, train))
    else:
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer.save(folder / "tokenizer.json")
    lines = []
    for name, pairs in (("train", train), ("dev", dev)):
        path = folder / f"{name}.safetensors"
        table = Table.reuse(path, key)
        if table is None:
            table = table_of(pairs, tokenizer, data.longest - 2)
            table.save(path, key)
        lines.append(f"{name}: {len(pairs):,} pairs, {len({pair.group or pair.first for pair in pairs}):,} groups")
    return lines


def table_of(pairs: Sequence[Pair], tokenizer: Tokenizer, longest: int) -> Table:
    """Columns "first" and "second", ids without start and end of at most `longest` tokens, and "groups"."""
    encode = lambda texts: (np.array(ids[:longest], np.int64) for ids in tokenizer.encode_many(texts))
    rows = {
        "first": encode([pair.first for pair in pairs]),
        "second": encode([pair.second for pair in pairs]),
        "groups": groups_of(pairs),
    }
    return Table.of(NAMES[:2], rows)


def _trained(recipe: Recipe, pairs: Sequence[Pair]) -> Tokenizer:
    texts = dict.fromkeys(chain.from_iterable((pair.first, pair.second) for pair in pairs))
    return trained_as(recipe.tokenizer, texts)
