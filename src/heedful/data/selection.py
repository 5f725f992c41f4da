"""Which pairs are trained on, which are held out for validation, and an account of those left out (dropped.json)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from ..config import Recipe
from ..errors import UserError
from .cleaning import Cleaner, Dropped, Memory, Norms, Seen, canonical, gather, hash_of, needs_norms
from .readers import Pair
from .splits import Corpus, Splits

FILE = "dropped.json"
FORMAT = 1


class Chosen(NamedTuple):
    """The pairs of a corpus that stay, and what the rules left out of it. `read` counts all of its pairs.

    `marks` has a byte for each pair, 1 where it stays; None: all of them do. `others` is what rules that are off
    would leave out, if that was asked for.
    """

    corpus: Corpus
    marks: bytes | None
    read: int
    dropped: list[Dropped]
    others: list[Dropped]

    @property
    def kept(self) -> int:
        """How many pairs stay; known where there are marks."""
        return sum(self.marks or b"")

    def pairs(self) -> Iterator[Pair]:
        """The pairs that stay, in order."""
        if self.marks is None:
            yield from self.corpus.pairs()
            return
        marks = iter(self.marks)
        for pair in self.corpus.pairs():
            mark = next(marks, None)
            if mark is None:
                raise UserError(f"{pair.where}: the file has grown while it was read; wait until it is complete")
            if mark:
                yield pair


def select(
    recipe: Recipe, found: Splits, all_rules: bool = False, norms: Mapping[str, Norms] | None = None
) -> dict[str, Chosen]:
    """Judge the training pairs and draw what is held out: the pairs of every corpus of training and dev, by its name.

    Dev pairs are taken as they are, but for held-out ones, which are drawn from those that the rules keep. Memory grows
    by some 25 bytes a pair. `norms` of the training corpora, by name, may be known already. Whether enough is left is
    for `require_pairs` to say.
    """
    rules, known = recipe.cleaning, Seen()
    apart = [*found.test] if found.held_out else [*found.dev, *found.test]
    for corpus in apart if rules.leaks or all_rules else ():
        for pair in corpus.pairs():
            known.add(_hash(pair))
    chosen: dict[str, Chosen] = {}
    memories: dict[str | None, Memory] = {}
    for number, corpus in enumerate(found.train):
        # The same pair in two languages is two pairs.
        memory = memories.setdefault(corpus.tag, Memory(known, Seen(), Seen()))
        needed = not norms and (all_rules or needs_norms(rules))
        usual = gather(corpus.pairs()) if needed else (norms or {}).get(corpus.name, Norms())
        cleaner = Cleaner(rules, usual, memory, all_rules)
        marks = bytearray(map(cleaner.keeps, corpus.pairs()))
        if found.held_out:
            held = _held_out(recipe, marks, number)
            dev = found.dev[number]
            chosen[dev.name] = Chosen(dev, held, sum(held), [], [])
            for place in np.flatnonzero(np.frombuffer(held, np.uint8)):
                marks[place] = 0
        chosen[corpus.name] = Chosen(corpus, bytes(marks), len(marks), cleaner.dropped, cleaner.others)
    if found.held_out and rules.leaks and not rules.duplicates:
        for corpus in found.train:
            beside = [dev for train, dev in zip(found.train, found.dev, strict=True) if train.tag == corpus.tag]
            chosen[corpus.name] = _without_held_out(chosen[corpus.name], [chosen[dev.name] for dev in beside])
    if not found.held_out:
        chosen |= {corpus.name: Chosen(corpus, None, 0, [], []) for corpus in found.dev}
    return chosen


def require_pairs(chosen: dict[str, Chosen], found: Splits) -> None:
    """UserError where nothing is left to train on."""
    for train, dev in zip(found.train, found.dev if found.held_out else [None] * len(found.train), strict=True):
        one = chosen[train.name]
        if not one.kept:
            language = f" {train.tag}" if train.tag else ""
            held = f", {chosen[dev.name].kept} held out for validation" if dev else ""
            raise UserError(
                f"nothing is left to train{language} on: {one.read} pairs read{held}; left out: {told(one.dropped)}; "
                "give more pairs, or leave rules of [cleaning] out"
            )


def told(dropped: list[Dropped]) -> str:
    """What was left out, as part of a line."""
    return ", ".join(map(str, dropped))


def _hash(pair: Pair) -> int:
    return hash_of(canonical(pair.source), canonical(pair.target))


def _held_out(recipe: Recipe, marks: bytearray, number: int) -> bytes:
    """A mark for every pair of those that stay: whether it is held out, drawn by (seed, number of the corpus)."""
    kept = np.flatnonzero(np.frombuffer(marks, np.uint8))
    total = len(kept)
    if total < 2:  # `require_pairs` refuses
        return bytes(marks)
    wanted = recipe.data.hold_out or min(1000, max(1, total // 20))
    if wanted > total // 2:
        raise UserError(f"data.hold_out = {wanted} of {total} pairs leaves too few to train on; at most half")
    held = np.zeros(len(marks), np.uint8)
    held[kept[np.random.default_rng((recipe.seed, number)).choice(total, size=wanted, replace=False)]] = 1
    return held.tobytes()


def _without_held_out(train: Chosen, held: list[Chosen]) -> Chosen:
    """Leave out what is the same as a held-out pair; where duplicates are left out anyway there is none."""
    assert train.marks is not None
    known, marks = Seen(), bytearray(train.marks)
    for dev in held:
        for pair in dev.pairs():
            known.add(_hash(pair))
    leaks = next(one for one in train.dropped if one.rule == "leaks")
    for place, pair in enumerate(train.corpus.pairs()):
        if marks[place] and _hash(pair) in known:
            marks[place] = 0
            leaks.add(pair)
    return train._replace(marks=bytes(marks))


class Account(msgspec.Struct, kw_only=True):
    """What became of a corpus: `read` = `kept` + `held_out` + all counts of `rules`."""

    name: str
    tag: str | None
    files: list[str]
    read: int
    kept: int
    held_out: int
    rules: list[Dropped]

    @property
    def lost(self) -> int:
        """How many pairs were left out."""
        return sum(dropped.count for dropped in self.rules)

    def __str__(self) -> str:
        of = "train on" if self.name.startswith("train") else "validate with"
        parts = [f"data: {self.tag + ' ' if self.tag else ''}{self.kept} pairs to {of}"]
        parts += [f"left out: {told(self.rules)}"] if self.rules else []
        parts += [f"held out for validation: {self.held_out}"] if self.held_out else []
        return "; ".join(parts)


class _File(msgspec.Struct, kw_only=True):
    format: int
    key: str
    corpora: list[Account]


def write_accounts(folder: Path, key: str, accounts: list[Account]) -> None:
    """dropped.json in the folder, whole or not at all. `key` says what the data were made from."""
    content = msgspec.json.format(msgspec.json.encode(_File(format=FORMAT, key=key, corpora=accounts)))
    aside = folder / f".tmp-{FILE}"
    try:
        aside.write_bytes(content + b"\n")
        os.replace(aside, folder / FILE)
    except OSError as error:
        raise UserError(f"{folder / FILE}: cannot be written: {error.strerror}; free some space") from None


def read_accounts(folder: Path, key: str | None = None) -> list[Account]:
    """The accounts in dropped.json; none where there is no such file, or it is of other data than `key` says."""
    try:
        file = msgspec.json.decode((folder / FILE).read_bytes(), type=_File)
    except (OSError, msgspec.DecodeError, UnicodeError, RecursionError):
        return []
    return file.corpora if file.format == FORMAT and key in (None, file.key) else []
