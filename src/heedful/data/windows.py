"""A question and its context as rows that a model reads at once: long contexts in windows that overlap.

A row is [start] question [end] window [end] (Devlin et al. 2019, 4.2); where the tokenizer parts texts by two ends, two
stand between. The question is cut at `longest_question` tokens; windows begin `stride` tokens apart and are as long as
`longest` allows. Training is told the first and the last token of the answer where the window holds all of it, and else
the first token of the row: no answer here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..config import Data
from ..errors import UserError
from ..text.offsets import offsets
from ..text.tokenizer import Tokenizer
from .questions import Answer, Question

Ids = npt.NDArray[np.int64]


class Reading(NamedTuple):
    """How long rows, questions and answers are, in tokens, and how far apart windows begin."""

    longest: int
    stride: int
    longest_question: int
    longest_answer: int

    @classmethod
    def of(cls, data: Data, between: int = 1) -> Reading:
        """What a recipe says, for a tokenizer that parts texts by so many ends; UserError where windows would leave
        tokens out."""
        reading = cls(data.longest, data.stride, data.longest_question, data.longest_answer)
        room = reading.room(reading.longest_question, between)
        if reading.stride >= room:
            raise UserError(
                f"data.stride = {reading.stride}, but beside a question of data.longest_question = "
                f"{reading.longest_question} tokens a row of data.longest = {reading.longest} has room for {room} of "
                f"the context; windows must overlap: lower data.stride or data.longest_question, or raise data.longest"
            )
        return reading

    def room(self, asked: int, between: int) -> int:
        """How many tokens of the context a row has beside a question of so many."""
        return self.longest - 2 - between - asked


class Context(NamedTuple):
    """A context's tokens, and the characters of each: text[starts[i]:ends[i]]."""

    text: str
    ids: Ids
    starts: Ids
    ends: Ids


class Window(NamedTuple):
    """A row: its `ids`; where the context begins in it, `head`; and the first and the end of the context's tokens."""

    ids: Ids
    head: int
    first: int
    end: int


def contexts_of(tokenizer: Tokenizer, texts: Iterable[str]) -> dict[str, Context]:
    """The tokens of every distinct text, by the text."""
    distinct = list(dict.fromkeys(texts))
    rows = zip(distinct, tokenizer.encode_many(distinct), strict=True)
    return {text: _context(text, ids, *offsets(tokenizer, text, ids)) for text, ids in rows}


def _context(text: str, ids: Sequence[int], starts: Ids, ends: Ids) -> Context:
    """Libraries that leave spaces out of tokens may put one that is but a space behind the next."""
    rising = np.minimum.accumulate(starts[::-1])[::-1], np.maximum.accumulate(ends)
    return Context(text, np.array(ids, np.int64), *rising)


def windows_of(tokenizer: Tokenizer, question: Sequence[int], context: Context, reading: Reading) -> Iterator[Window]:
    """The rows of a question (its ids) over a context; none where the context has no tokens."""
    asked = np.array(question[: reading.longest_question], np.int64)
    start, end_mark, between = [tokenizer.start], [tokenizer.end], [tokenizer.end] * tokenizer.between
    head = 1 + len(asked) + len(between)
    room = reading.room(len(asked), tokenizer.between)
    first, total = 0, len(context.ids)
    while first < total:
        end = min(first + room, total)
        parts = (start, asked, between, context.ids[first:end], end_mark)
        yield Window(np.concatenate(parts).astype(np.int64), head, first, end)
        if end == total:
            return
        first += reading.stride


def tokens_of(answer: Answer, context: Context) -> tuple[int, int]:
    """The first and the last of the context's tokens that an answer has characters of."""
    first = int(np.searchsorted(context.ends, answer.start, side="right"))
    last = int(np.searchsorted(context.starts, answer.end, side="left")) - 1
    return first, last


def wanted(question: Question, context: Context, window: Window) -> tuple[int, int]:
    """What the model should say of a window: the first and last token of the answer in the row, or 0 and 0."""
    for answer in question.placed:
        first, last = tokens_of(answer, context)
        if window.first <= first and last < window.end:
            shift = window.head - window.first
            return first + shift, last + shift
    return 0, 0


def most_context(windows: Sequence[Window]) -> list[npt.NDArray[np.bool_]]:
    """For each window, which of its tokens have the most context there, on their shorter side (the official BERT code's
    "max context"). An answer may begin nowhere else: each is judged once, where it is seen best."""
    total = max((window.end for window in windows), default=0)
    best, chosen = np.full(total, -1.0), np.full(total, -1, np.int64)
    for number, window in enumerate(windows):
        place = np.arange(window.end - window.first)
        length = len(place)
        score = np.minimum(place, length - 1 - place) + 0.01 * length
        part = slice(window.first, window.end)
        better = score > best[part]
        best[part] = np.where(better, score, best[part])
        chosen[part] = np.where(better, number, chosen[part])
    return [chosen[window.first : window.end] == number for number, window in enumerate(windows)]
