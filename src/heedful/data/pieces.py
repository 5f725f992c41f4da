"""Long texts in pieces that a model can read at once: what language models and masked language models train on.

A document of n ids is n + 1 predictions: its first id from the start token, and the end token from its last id. A piece
is at most `context` of them in a row, so no piece holds parts of two documents, and a short document is one piece. In
every epoch a document longer than that is cut elsewhere, so that each place comes to stand at each distance from the
beginning of a piece.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..text.draws import below, draws
from ..text.ragged import spans
from ..text.tokenizer import Tokenizer
from .shards import Ids, Shards


class Cut(NamedTuple):
    """For each piece its document, the first prediction in it, and how many there are; [pieces] each."""

    document: Ids
    first: Ids
    length: Ids


def cut(sizes: Ids, context: int, seed: int, epoch: int | None) -> Cut:
    """Documents of so many predictions (or tokens) in pieces of at most `context`; see `Pieces`."""
    shift = np.zeros(len(sizes), np.int64)
    if epoch is not None:
        drawn = below(draws(seed, epoch, 2, np.arange(len(sizes))), context)
        shift = np.where(sizes > context, drawn, 0)
    counts = -(-(sizes - shift) // context) + (shift > 0)
    document = np.repeat(np.arange(len(sizes)), counts)
    number = spans(np.zeros(len(sizes), np.int64), counts)
    # With a shift the first piece ends there; without, a whole one begins at 0.
    start = np.where(shift > 0, shift - context, 0)[document] + number * context
    first = np.maximum(start, 0)
    return Cut(document, first, np.minimum(start + context, sizes[document]) - first)


class Pieces:
    """The pieces of the documents in some shards, of one stream, for `batches.Batches`.

    A pure function of (seed, epoch); epoch None: uncut documents are cut from their beginnings.
    """

    def __init__(self, shards: Shards, tokenizer: Tokenizer, context: int, seed: int) -> None:
        self.shards, self.tokenizer, self.context, self.seed = shards, tokenizer, context, seed
        (self.stream,) = shards.streams
        self.streams = shards.streams
        self._sizes = shards.lengths(self.stream) + 1
        self._known: tuple[int | None, Cut] | None = None

    def __len__(self) -> int:
        """In an epoch without shifts."""
        return len(self.cut(None).document)

    @property
    def predictions(self) -> int:
        """Of all documents."""
        return int(self._sizes.sum())

    def cut(self, epoch: int | None) -> Cut:
        """All pieces of an epoch, document by document."""
        if self._known is None or self._known[0] != epoch:
            self._known = epoch, cut(self._sizes, self.context, self.seed, epoch)
        return self._known[1]

    def drawn(self, epoch: int) -> Ids:
        """The numbers of all pieces of an epoch (for `Batches`)."""
        return np.arange(len(self.cut(epoch).document))

    def lengths(self, stream: str, epoch: int | None = None) -> Ids:
        """Predictions of each piece but one: `Batches` counts an end token more."""
        return self.cut(epoch).length - 1

    def rows(self, pieces: Ids, epoch: int | None = None) -> tuple[Ids, Ids, Ids]:
        """What is read and what is to be said next, ids [predictions] each, and the pieces' lengths [pieces]."""
        cut = self.cut(epoch)
        document, first, lengths = cut.document[pieces], cut.first[pieces], cut.length[pieces]
        begins = self.shards.begins(self.stream)[document]
        place = spans(first, lengths)  # in its document: prediction 0 is of the first id
        token = np.repeat(begins, lengths) + place
        last = np.repeat(self._sizes[document], lengths) - 1
        ids = self.shards.tokens(self.stream)
        most = len(ids) - 1
        read = np.where(place == 0, self.tokenizer.start, ids[np.clip(token - 1, 0, most)].astype(np.int64))
        said = np.where(place == last, self.tokenizer.end, ids[np.clip(token, 0, most)].astype(np.int64))
        return read, said, lengths
