"""What was seen while a model read and wrote one text: the one thing that pages, pictures and files are made of.

Nothing here knows of torch or of tasks. Numbers are float32 arrays; a page rounds them and says so, files keep them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Picture:
    """A picture that was looked at: `png` is its file, `boxes` [tokens, 4] are (x1, y1, x2, y2) of each token of its
    stream in 0..1 from the upper left corner. A token for the whole picture has the whole as its box."""

    png: bytes
    width: int
    height: int
    boxes: Reals


@dataclass(frozen=True)
class Line:
    """One side of attention: tokens in order, and the words they make.

    `name` is how kinds refer to it; `label` says it to people. `word` [tokens] is the word each token is in. `control`
    [words] marks what is no word of the text: starts, ends, tags, the whole of a picture. A picture's regions are its
    tokens, each a word.
    """

    name: str
    label: str
    pieces: tuple[str, ...]
    words: tuple[str, ...]
    word: Ids
    control: tuple[bool, ...]
    picture: Picture | None = None

    def __len__(self) -> int:
        return len(self.pieces)


@dataclass(frozen=True)
class Layer:
    """One attention: its address without the point (`target.3.source`) and its weights [heads, queries, keys]. Layers
    of a pruned model differ in heads. `weighted`, if asked for, is the same by what values add (see
    `measures.value_weighted`). `order` is its place among all attentions as the model runs them: which of a block is
    first."""

    address: str
    weights: Reals
    weighted: Reals | None = None
    order: int = 0


@dataclass(frozen=True)
class Kind:
    """All attentions of one stream to one stream, in order: `queries` and `keys` name lines.

    What a decoder asks with at step i is written as token i + 1: its query line is what was written, one ahead of the
    line it reads. `causal`: query i sees no key after i.
    """

    name: str  # "target.source", "text.text", "picture.text"
    label: str
    queries: str
    keys: str
    causal: bool
    layers: tuple[Layer, ...]

    @property
    def own(self) -> bool:
        """Whether a stream attends to itself: query i is at the position of key i."""
        stream, _, attended = self.name.partition(".")
        return stream == attended


@dataclass(frozen=True)
class View:
    """One more matrix [queries, keys] of a kind's lines beside those of single heads: rollout, the best heads, an
    attribution. `signed`: numbers may be negative and are drawn on two colours; others are 0 or more, and rows sum to
    at most about 1. `note` says in a sentence what it is and where it is from."""

    kind: str
    name: str
    label: str
    note: str
    weights: Reals
    signed: bool = False


@dataclass(frozen=True)
class Guess:
    """A text that might stand somewhere, with its probability."""

    text: str
    probability: float


@dataclass(frozen=True)
class Said:
    """A token of the answer, its log-probability in nats, and the likeliest tokens in its place, best first."""

    text: str
    logprob: float
    others: tuple[Guess, ...] = ()


@dataclass(frozen=True)
class Lens:
    """What each layer would say if it were the last (nostalgebraist 2020, "logit lens").

    `line` names the line whose tokens are predicted from; `layers` are labels, from the embedding to the last;
    `guesses` [layers][tokens] the likeliest, best first; `positions` are the tokens shown (a masked word, or all).
    """

    line: str
    label: str
    layers: tuple[str, ...]
    positions: tuple[int, ...]
    guesses: tuple[tuple[tuple[Guess, ...], ...], ...]


@dataclass(frozen=True)
class Answers:
    """What the model answers besides text: labels or candidates with probabilities, best first; for a masked word what
    may stand there (`title` says which)."""

    title: str
    guesses: tuple[Guess, ...]


@dataclass(frozen=True)
class WhatIf:
    """One changed run: what was changed, what came of it.

    `what`: "head" (`where` is its address and number: `target.3.source`, 5), "word" (a line's name and a word's number)
    or "state" (of another run: an address and a word's number). `label` says it in words. `text` is the new answer;
    `logprob` the log-probability of the ORIGINAL answer under the change in nats (a sum over its tokens), `change` that
    less what it was: below 0, the change hurts. `tokens` are those of the new answer with their log-probabilities;
    `changes` [tokens of the original answer] is the change of each.
    """

    what: str
    where: tuple[str, int]
    label: str
    text: str
    logprob: float
    change: float
    tokens: tuple[Said, ...] = ()
    changes: tuple[float, ...] = ()


@dataclass(frozen=True)
class Record:
    """Everything of one look. `text` is what was read, `answer` what came out; `best` are, by kind, the (layer, head)
    whose alignment the view "best" is the mean of; `measures` [kind][measure][layer][head]; `notes` are sentences for
    the reader: what was cut, what is missing and why. `asked` are, by a line's name, the tokens whose states give the
    answer: a masked word, or the token a label is read from. It is empty for text that is written."""

    model: str
    task: str
    text: str
    answer: str
    lines: dict[str, Line]
    kinds: tuple[Kind, ...]
    views: tuple[View, ...] = ()
    measures: dict[str, dict[str, list[list[float]]]] = field(default_factory=dict)
    best: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    said: tuple[Said, ...] = ()
    lenses: tuple[Lens, ...] = ()
    answers: tuple[Answers, ...] = ()
    what_if: tuple[WhatIf, ...] = ()
    notes: tuple[str, ...] = ()
    asked: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def kind(self, name: str) -> Kind:
        return next(kind for kind in self.kinds if kind.name == name)


def by_words(weights: Reals, queries: Line, keys: Line) -> Reals:
    """Token weights [queries, keys] by words [query words, key words]; see `merged`."""
    return merged(weights, queries.word, keys.word, (len(queries.words), len(keys.words))).astype(np.float32)


def merged(weights: npt.ArrayLike, query_word: Ids, key_word: Ids, words: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Token weights [queries, keys] by `words` [query words, key words], given the word of each token: summed over the
    tokens that are attended to, averaged over those that attend, so that rows still sum to what they did."""
    found = np.zeros(words)
    np.add.at(found, (query_word[:, None], key_word[None, :]), np.asarray(weights, np.float64))
    return found / np.maximum(np.bincount(query_word, minlength=words[0]), 1)[:, None]


def layer_number(address: str) -> int:
    """What a layer is called: its block's number within its stream, from 1, whichever layers are shown."""
    return int(address.split(".")[1]) + 1


def mean_of(layers: Sequence[Layer]) -> Reals:
    """The mean [queries, keys] over all heads of some attentions."""
    return np.concatenate([layer.weights for layer in layers]).mean(0, dtype=np.float64).astype(np.float32)
