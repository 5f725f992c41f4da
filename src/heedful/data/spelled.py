"""Labelled texts as rows of word numbers, and the ids each word is spelt with: the same way to ids for training,
validation and prediction, with subword sampling and token dropout in training.

A word is what a tokenizer cuts a text into (`Tokenizer.words`), so it is spelt alike wherever it stands. The controls
around a text are words as well: those of `pipeline.control`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..config.sections import Tokenizer as Settings
from ..text.draws import below, draws
from ..text.pipeline import control
from ..text.ragged import offsets, spans, sums
from ..text.segmentations import Segmentations
from ..text.tokenizer import Tokenizer
from .table import Ids, Table

START, END, UNKNOWN = map(control, ("<s>", "</s>", "<unk>"))  # as `Tokenizer.ids` has them, whoever's it is
SEGMENTATION, DROPOUT = 3, 4  # what of an example is drawn


class Words:
    """Distinct words, numbered as they come. `sizes` says how many ids each has."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.numbers: dict[str, int] = {}
        self.sizes: list[int] = []
        self._ids: list[int] = []

    def number(self, word: str) -> int:
        """The number of a word in its written form."""
        known = self.numbers.get(word)
        if known is None:
            known = self.numbers[word] = len(self.numbers)
            (ids,) = self.tokenizer.encode_words([word])
            self._ids += ids
            self.sizes.append(len(ids))
        return known

    def of(self, text: str) -> list[int]:
        """The numbers of the words of a text."""
        return [self.number(word) for word in self.tokenizer.words(text)]

    def fitting(self, words: list[int], most: int) -> list[int]:
        """As many words from the first as have at most `most` ids together."""
        ends = np.cumsum([self.sizes[word] for word in words])
        return words[: int(np.searchsorted(ends, most, side="right"))]

    def count(self, words: list[int]) -> int:
        """The ids of some words."""
        return sum(self.sizes[word] for word in words)

    def spellings(self, settings: Settings | None = None, seed: int = 0) -> Segmentations:
        """The ids of all words: the tokenizer's own, and with sampling those that are drawn."""
        if settings is not None and settings.sampling:
            chosen = settings.segmentations, settings.sampling, seed
            return Segmentations.build(self.tokenizer, list(self.numbers), *chosen)
        return Segmentations(np.array(self._ids, np.int64), offsets(np.array(self.sizes, np.int64)), 0)


def save_spellings(path: Path, found: Segmentations, key: str) -> None:
    """Write them beside the tables that number the words."""
    count = np.array([found.count]), np.array([0, 1])
    Table({"ids": (found.tokens, found.offsets), "count": count}, ("ids",)).save(path, key)


def open_spellings(path: Path) -> Segmentations:
    """What `save_spellings` wrote."""
    columns = Table.open(path).columns
    return Segmentations(*columns["ids"], int(columns["count"][0][0]))


class Rows(NamedTuple):
    """Some examples: their ids end to end, the length of each row, and the ids of each word with the words of each
    row."""

    ids: Ids
    lengths: Ids
    sizes: Ids
    words: Ids


@dataclass(frozen=True)
class Spelled:
    """A table whose column "word" has numbers of words, and how they are spelt.

    In training (an epoch is given) each word gets one of its drawn segmentations, but for rows that would have more
    than `longest` ids; and a share `dropout` of the ids is unknown. A pure function of (seed, epoch, example).
    """

    table: Table
    spellings: Segmentations
    tokenizer: Tokenizer
    longest: int
    seed: int = 0
    dropout: float = 0.0

    def rows(self, examples: Ids, epoch: int | None = None) -> Rows:
        """The ids of some examples."""
        words, counts = self.table.rows("word", examples)
        chosen = self._chosen(words, counts, np.asarray(examples), epoch)
        starts = self.spellings.offsets[chosen]
        sizes = self.spellings.offsets[chosen + 1] - starts
        ids, lengths = self.spellings.tokens[spans(starts, sizes)], sums(sizes, counts)
        if epoch is not None and self.dropout:
            example, place = np.repeat(examples, lengths), spans(np.zeros(len(lengths), np.int64), lengths)
            drawn = draws(self.seed, epoch, DROPOUT, example, place) < np.uint64(self.dropout * 2.0**64)
            own = self.tokenizer
            frame = np.isin(ids, [own.pad, own.start, own.end, own.unknown])
            ids = np.where(drawn & ~frame, own.unknown, ids)
        return Rows(ids, lengths, sizes, counts)

    def _chosen(self, words: Ids, counts: Ids, examples: Ids, epoch: int | None) -> Ids:
        """The segmentation of each word, by its number among all."""
        own: Ids = words * (self.spellings.count + 1)
        if epoch is None or not self.spellings.count:
            return own
        example, place = np.repeat(examples, counts), spans(np.zeros(len(counts), np.int64), counts)
        drawn = own + 1 + below(draws(self.seed, epoch, SEGMENTATION, example, place), self.spellings.count)
        lengths = sums(np.diff(self.spellings.offsets)[drawn], counts)
        return np.where(np.repeat(lengths <= self.longest, counts), drawn, own)
