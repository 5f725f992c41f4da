"""What is asked for, and what each task makes of it: one text that a model has read and answered, ready to be looked
into. Nothing after this knows of tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from ...inside.record import Answers, Line, Reals, Said
from ...inside.scores import Score
from ...model.embeddings import Input, TokenInput
from ...model.layout import Layout
from ...model.model import Model
from ...text.tokenizer import Tokenizer
from .lines import line_of

if TYPE_CHECKING:
    from .passing import Begun

Unit = Literal["nats", "cosine", "value"]
TOP = 5  # of what might stand somewhere, the likeliest


@dataclass(frozen=True)
class Asked:
    """What to look at. `texts` are one or two (a question and its context, say); `length` is that of what a language
    model writes; `sentence` counts from 1. With `said`, ids of an answer, a model that writes is shown while it says
    these."""

    texts: tuple[str, ...] = ()
    picture: Path | None = None
    features: Path | None = None
    tag: str | None = None
    length: int = 24
    sentence: int = 1
    said: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Row:
    """One row of each stream.

    `lines` are of what streams read, by stream; `asks` of what they ask with, where that is one token ahead. `told` are
    the streams that were given and not written, so that one may ask what they matter; `blank` is the token that says
    nothing in them; `begun` has what was seen of them while the answer was made.
    """

    inputs: Mapping[str, Input]
    lines: Mapping[str, Line]
    told: tuple[str, ...]
    asks: Mapping[str, Line] = field(default_factory=dict)
    blank: int = 0
    begun: Begun | None = None

    @property
    def named(self) -> dict[str, Line]:
        """All lines by their own names."""
        return {line.name: line for line in (*self.lines.values(), *self.asks.values())}


def written_over(model: Model, source: Row, tokenizer: Tokenizer, start: int, said: Sequence[int], label: str) -> Row:
    """The row of a decoder that says `said` over a source, which is a row without it: each token is read one step after
    it was written."""
    read = [start, *said[:-1]]
    lines = {**source.lines, "target": line_of("target", f"{label} so far", tokenizer, read)}
    asks = {"target": line_of("written", label, tokenizer, said)}
    return replace(source, inputs={**source.inputs, "target": tokens(read, model)}, lines=lines, asks=asks)


@dataclass(frozen=True)
class Scored:
    """How sure a model is of its answer: numbers that a score gives of each row, made one by `combine`.

    `at` has for each number the token it is read at, by stream (-1: the last); with `mean` it stands for all of them.
    `unit` says what the numbers are. `total` makes of the numbers [1, n] of each row those [k] whose gradient says what
    matters to the answer.
    """

    score: Score
    at: Mapping[str, Sequence[int]]
    last: int | None = None
    unit: Unit = "nats"
    combine: Callable[[Sequence[Reals]], Reals] = lambda rows: rows[0]
    total: Callable[[Sequence[torch.Tensor]], torch.Tensor] = lambda rows: rows[0].sum(1)
    mean: bool = False


@dataclass(frozen=True)
class Lensed:
    """What a lens may look through: a head of tokens, what its outputs are called, and where it is read (None: at every
    token) in a stream. `before` is what stands before an output in each place where something is said."""

    head: str
    named: Callable[[int], str]
    label: str
    positions: tuple[int, ...] | None = None
    before: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """A text, or two, that a model has read and answered.

    `again` answers the same once more, with whatever probe watches the model. `written` are the ids that were said by
    a model that writes. `windows`: the text was read in several, of which one is shown; `again` reads them all.
    """

    task: str
    model: Model
    text: str
    answer: str
    rows: tuple[Row, ...]
    again: Callable[[], Reading]
    scored: Scored | None = None
    said: tuple[Said, ...] = ()
    answers: tuple[Answers, ...] = ()
    lens: Lensed | None = None
    notes: tuple[str, ...] = ()
    written: tuple[int, ...] | None = None
    windows: bool = False

    def noted(self, *notes: str) -> Reading:
        """With more notes."""
        return replace(self, notes=(*self.notes, *notes))


def blank_of(tokenizer: Tokenizer) -> int:
    """The token that says nothing."""
    return tokenizer.unknown if tokenizer.mask is None else tokenizer.mask


def tokens(ids: Sequence[int], model: Model, segments: torch.Tensor | None = None) -> TokenInput:
    """One row of token ids as a model's input."""
    device = next(model.parameters()).device
    given = torch.tensor(list(ids), dtype=torch.long, device=device)
    return TokenInput(given, Layout.packed(np.array([len(ids)], np.int64), device), segments)
