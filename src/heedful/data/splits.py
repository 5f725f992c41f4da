"""Which files of a recipe make up which corpus: to train on, to validate with, to test with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from ..config import Data
from ..errors import UserError
from .readers import Pair, paths, read_pairs


class Corpus(NamedTuple):
    """Files read one after another: `data` with nothing but them. `name` is that of its folder; `tag` its language."""

    name: str
    data: Data
    tag: str | None = None

    def pairs(self) -> Iterator[Pair]:
        return read_pairs(self.data)

    def paths(self) -> list[Path]:
        return paths(self.data)


class Splits(NamedTuple):
    """All corpora. With `held_out` there are no dev files: each dev corpus is made of pairs of the training corpus."""

    train: list[Corpus]
    dev: list[Corpus]
    test: list[Corpus]
    held_out: bool


def splits(data: Data) -> Splits:
    """The corpora of a recipe. Files are apart where they differ in language or weight, else they are one corpus.

    UserError where tags, weights and files do not match in number.
    """
    if data.weights and data.temperature is not None:
        raise UserError("data.weights and data.temperature are two ways to say the same; leave one of them out")
    apart = bool(data.tags or data.weights or data.temperature is not None)
    if other := [tag for tag in data.dev_tags if tag not in data.tags]:
        raise UserError(f"data.dev_tags has {other[0]!r}, which no training corpus has in data.tags")
    train = _corpora(data, "", data.tags, apart)
    if data.weights and len(data.weights) != len(train):
        raise UserError(f"data.weights has {len(data.weights)} numbers for {len(train)} training corpora")
    dev = _corpora(data, "dev_", data.dev_tags or data.tags, bool(data.tags))
    test = _corpora(data, "test_", (), False)
    if held_out := not dev:
        dev = [corpus._replace(name=f"dev-{number}") for number, corpus in enumerate(train)]
    return Splits(train, dev, test, held_out)


def _corpora(data: Data, which: str, tags: Sequence[str], apart: bool) -> list[Corpus]:
    sources, targets, tables = (getattr(data, which + name) for name in ("source", "target", "pairs"))
    if len(sources) != len(targets):
        raise UserError(
            f"data.{which}source names {len(sources)} file(s) and data.{which}target {len(targets)}; they go together"
        )
    nothing = {f"{other}{name}": () for other in ("", "dev_", "test_") for name in ("source", "target", "pairs")}
    files = [{"source": (one,), "target": (other,)} for one, other in zip(sources, targets, strict=True)]
    files += [{"pairs": (table,)} for table in tables]
    if not files:
        return []
    if not apart:
        files = [{"source": sources, "target": targets, "pairs": tables}]
    elif tags and len(tags) != len(files):
        raise UserError(
            f"data.{which if which == 'dev_' and data.dev_tags else ''}tags names {len(tags)} languages for "
            f"{len(files)} {which.strip('_') or 'training'} corpora; one for each"
        )
    name = which.strip("_") or "train"
    return [
        Corpus(f"{name}-{number}", msgspec.structs.replace(data, **{**nothing, **one}), tags[number] if tags else None)
        for number, one in enumerate(files)
    ]
