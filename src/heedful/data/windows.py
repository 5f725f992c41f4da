"""A question and its context as rows that a model reads at once: long contexts in windows that overlap.

A row is [start] question [end] window [end] (Devlin et al. 2019, 4.2). The question is cut at `longest_question`
tokens; windows begin `stride` tokens apart and are as long as `longest` allows. Training is told the first and the last
token of the answer where the window holds all of it, and else the first token of the row: no answer here.
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
MARKS = 3  # [start], [end] and [end]


class Reading(NamedTuple):
    """How long rows, questions and answers are, in tokens, and how far apart windows begin."""

    longest: int
    stride: int
    longest_question: int
    longest_answer: int

    @classmethod
    def of(cls, data: Data) -> Reading:
        """What a recipe says; UserError where windows would leave tokens out."""
        reading = cls(data.longest, data.stride, data.longest_question, data.longest_answer)
        room = reading.longest - MARKS - reading.longest_question
        if reading.stride >= room:
            raise UserError(
                f"data.stride = {reading.stride}, but beside a question of data.longest_question = "
                f"{reading.longest_question} tokens a row of data.longest = {reading.longest} has room for {room} of "
                f"the context; windows must overlap: lower data.stride or data.longest_question, or raise data.longest"
            )
        return reading


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
    return {text: Context(text, np.array(ids, np.int64), *offsets(tokenizer, text, ids)) for text, ids in rows}


def windows_of(question: Sequence[int], context: Context, reading: Reading) -> Iterator[Window]:
    """The rows of a question (its ids) over a context; none where the context has no tokens."""
    asked = np.array(question[: reading.longest_question], np.int64)
    head = len(asked) + 2
    room = reading.longest - MARKS - len(asked)
    first, total = 0, len(context.ids)
    while first < total:
        end = min(first + room, total)
        parts = ([Tokenizer.start], asked, [Tokenizer.end], context.ids[first:end], [Tokenizer.end])
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
