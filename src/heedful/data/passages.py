"""Documents as the rows that an encoder is pretrained on: [start] text [end], or two passages with an [end] each (or
as many between them as the tokenizer says).

A document longer than a row is cut, in every epoch elsewhere. For next-sentence prediction (Devlin et al. 2019, 3.1) a
row's text is parted before a word near its middle, and half of the second parts are another document's. Texts in which
no word begins with a space cannot be parted so; they stay alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ..text.draws import below, draws
from ..text.ragged import offsets, spans
from ..text.tokenizer import Tokenizer
from .masking import word_marks
from .pieces import Cut, cut
from .shards import Ids


class Rows(NamedTuple):
    """`ids` and `segments` [tokens] of rows end to end, the rows' `lengths`; `follows` [rows]: whether the second
    passage follows the first (0), does not (1), or is none (-1)."""

    ids: Ids
    segments: Ids
    lengths: Ids
    follows: Ids


class Texts(Protocol):
    """Documents of one stream as ids end to end: `Shards`, or some in memory."""

    @property
    def streams(self) -> tuple[str, ...]: ...
    def lengths(self, stream: str) -> Ids: ...
    def begins(self, stream: str) -> Ids: ...
    def tokens(self, stream: str) -> npt.NDArray[Any]: ...


class Encoded:
    """Some texts as ids, in memory; texts without any token are left out."""

    streams = ("text",)

    def __init__(self, tokenizer: Tokenizer, texts: Sequence[str]) -> None:
        rows = [ids for ids in tokenizer.encode_many(texts) if ids]
        self._ids = np.array([token for ids in rows for token in ids], np.int64)
        self._offsets = offsets(np.array([len(ids) for ids in rows], np.int64))

    def lengths(self, stream: str) -> Ids:
        return np.diff(self._offsets)

    def begins(self, stream: str) -> Ids:
        return self._offsets[:-1]

    def tokens(self, stream: str) -> Ids:
        return self._ids


class _Epoch(NamedTuple):
    """[pieces] each. A row is `first` tokens from `begin`, then `second` from `other`; without a second it has 0."""

    begin: Ids
    first: Ids
    other: Ids
    second: Ids
    follows: Ids


class Passages:
    """The rows of some documents, at most `longest` tokens each, for `batches.Batches`.

    A pure function of (seed, epoch); epoch None: documents are cut from their beginnings. `parting` makes pairs of
    passages.
    """

    def __init__(self, texts: Texts, tokenizer: Tokenizer, longest: int, seed: int, parting: bool = False) -> None:
        self.texts, self.tokenizer, self.seed = texts, tokenizer, seed
        (self.stream,) = self.streams = texts.streams
        self.room = longest - 2 - tokenizer.between * parting
        ids = texts.tokens(self.stream)
        self._next: Ids | None = None  # the next place where a word begins
        if parting:
            begins = np.where(word_marks(tokenizer)[ids], np.arange(len(ids)), len(ids))
            self._next = np.append(np.minimum.accumulate(begins[::-1])[::-1], len(ids))
        self._known: tuple[int | None, _Epoch] | None = None

    def __len__(self) -> int:
        return len(self._of(None).begin)

    def drawn(self, epoch: int) -> Ids:
        """The numbers of all rows of an epoch (for `Batches`)."""
        return np.arange(len(self._of(epoch).begin))

    def lengths(self, stream: str, epoch: int | None = None) -> Ids:
        """Tokens of each row but one: `Batches` counts an end token more."""
        found = self._of(epoch)
        return found.first + found.second + 1 + self.tokenizer.between * (found.second > 0)

    def rows(self, numbers: Ids, epoch: int | None = None) -> Rows:
        """Some rows of an epoch."""
        begin, first, other, second, follows = (part[numbers] for part in self._of(epoch))
        starts, sizes = np.stack([begin, other], 1).ravel(), np.stack([first, second], 1).ravel()
        ids = self.texts.tokens(self.stream)[spans(starts, sizes)].astype(np.int64)
        stops = np.cumsum(sizes).reshape(-1, 2)
        # In each row: start before the first passage, end after it; and of a pair the ends between, and the last one.
        start, end, more = self.tokenizer.start, self.tokenizer.end, self.tokenizer.between - 1
        ends, always = second > 0, np.ones(len(numbers), bool)
        places = np.stack([stops[:, 0] - first, stops[:, 0], *[stops[:, 0]] * more, stops[:, 1]], 1).ravel()
        controls = np.tile([start, end, *[end] * more, end], len(numbers))
        there = np.stack([always, always, *[ends] * more, ends], 1).ravel()
        parts = np.stack([first + 2 + more * ends, second + ends], 1).ravel()
        return Rows(
            ids=np.insert(ids, places[there], controls[there]),
            segments=np.repeat(np.tile([0, 1], len(numbers)), parts),
            lengths=parts.reshape(-1, 2).sum(1),
            follows=follows,
        )

    def _of(self, epoch: int | None) -> _Epoch:
        if self._known is None or self._known[0] != epoch:
            pieces = cut(self.texts.lengths(self.stream), self.room, self.seed, epoch)
            begin = self.texts.begins(self.stream)[pieces.document] + pieces.first
            self._known = epoch, self._pairs(pieces, begin, -1 if epoch is None else epoch)
        return self._known[1]

    def _pairs(self, pieces: Cut, begin: Ids, epoch: int) -> _Epoch:
        count, size = len(begin), pieces.length
        none, numbers = np.zeros(count, np.int64), np.arange(count)
        if self._next is None:
            return _Epoch(begin, size, begin, none, none - 1)
        draw = lambda what, limit: below(draws(self.seed, epoch, what, numbers), limit)
        quarter = size // 4
        middle = np.maximum(quarter + draw(5, size - 2 * quarter), 1)
        first = np.minimum(self._next[np.minimum(begin + middle, len(self._next) - 1)] - begin, size)
        parted = first < size
        # Half of the second passages are taken from a piece of another document that is parted as well.
        taken = draw(6, count)
        fits = parted & parted[taken] & (pieces.document != pieces.document[taken]) & (draw(7, 2) == 1)
        source = np.where(fits, taken, numbers)
        second = np.minimum((size - first)[source], self.room - first)
        return _Epoch(begin, first, (begin + first)[source], second, np.where(parted, fits, -1).astype(np.int64))
