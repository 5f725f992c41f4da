"""What masked pretraining hides of texts, and what stands in its place (Devlin et al. 2019, 3.1 and A.1).

Of the hidden tokens 80 % become the mask, 10 % any other token of text, 10 % stay as they are; all are to be said. What
is hidden is a pure function of (seed, epoch, example), so a run that is resumed hides the same.
"""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..text.draws import below, draws
from ..text.ragged import offsets, spans
from ..text.tokenizer import Tokenizer

Ids = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

MOST_PIECES = 8  # of a word: in longer runs (writing without spaces, addresses) every token is hidden for itself
NEVER = np.uint64(2**64 - 1)


class Hidden(NamedTuple):
    """Texts with something hidden: their ids [tokens], the places that are to be said, in order, and what is there."""

    ids: Ids
    places: Ids
    wanted: Ids


class Masking:
    """Hides a `share` of the words of texts, or of their tokens; in each row at least one. Control tokens are never
    hidden."""

    def __init__(self, tokenizer: Tokenizer, share: float, whole_words: bool = True, seed: int = 0) -> None:
        assert tokenizer.mask is not None
        self.mask = tokenizer.mask
        self.share, self.whole_words, self.seed = share, whole_words, seed
        self._kinds = np.array([_kind(tokenizer, token) for token in range(tokenizer.vocab_size)])
        self._marks = word_marks(tokenizer)
        if tokenizer.cut == "digits":
            self._marks = self._marks | (self._kinds == "digit")
        self._texts = np.flatnonzero(self._kinds != "control")

    def hide(self, ids: Ids, lengths: Ids, examples: Ids, epoch: int) -> Hidden:
        """Rows of ids end to end, none of them empty, with their numbers as examples [rows]."""
        place, example = spans(np.zeros(len(lengths), np.int64), lengths), np.repeat(examples, lengths)
        begin = self.begins(ids, lengths)
        firsts, word = np.flatnonzero(begin), np.cumsum(begin) - 1
        drawn = draws(self.seed, epoch, 3, example[firsts], place[firsts])
        drawn[self._kinds[ids[firsts]] == "control"] = NEVER
        rows = np.cumsum(begin)[offsets(lengths)[:-1]] - 1  # the first word of each row
        lowest = np.repeat(np.minimum.reduceat(drawn, rows), np.diff(np.append(rows, len(firsts))))
        chosen = (drawn < np.uint64(self.share * 2.0**64)) | (drawn == lowest)
        chosen &= drawn != NEVER
        places = np.flatnonzero(chosen[word])
        bits = draws(self.seed, epoch, 4, example[places], place[places])
        tenth, other = below(bits, 10), self._texts[below(bits << np.uint64(32), len(self._texts))]
        shown, wanted = ids.copy(), ids[places]
        shown[places] = np.where(tenth < 8, self.mask, np.where(tenth < 9, other, wanted))
        return Hidden(shown, places, wanted)

    def begins(self, ids: Ids, lengths: Ids) -> Flags:
        """Where a word begins [tokens]: where the tokenizer cuts (`text.pipeline.splitter`)."""
        starts = offsets(lengths)[:-1]
        begin = np.ones(len(ids), bool)
        if not self.whole_words or not len(ids):
            return begin
        kind = self._kinds[ids]
        begin[1:] = self._marks[ids[1:]] | ((kind[1:] != kind[:-1]) & (kind[:-1] != "space"))
        begin[starts] = True
        word = np.cumsum(begin) - 1
        return begin | (np.bincount(word)[word] > MOST_PIECES)


def word_marks(tokenizer: Tokenizer) -> Flags:
    """Of every token whether it begins with the space before a word [vocab]."""
    return np.array([tokenizer.begins_word(token) for token in range(tokenizer.vocab_size)])


def _kind(tokenizer: Tokenizer, token: int) -> str:
    if not tokenizer.is_text(token):
        return "control"
    text = tokenizer.decode([token]).strip(" ")
    if not text:
        return "space"
    if tokenizer.cut == "spaces":  # any other white space is a word of its own, and nothing else ends one
        return "sign" if text[0].isspace() else "letter"
    return {"L": "letter", "M": "letter", "N": "digit"}.get(unicodedata.category(text[0])[0], "sign")
