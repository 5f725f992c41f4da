"""A finished tagger: texts, or sentences cut into words, in; a label for each word and the entities out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch

from ...data.spelled import Spelled, Words
from ...errors import UserError
from ...measure.entities import entities
from ...model.model import Model
from ...text.cutting import cut
from ...text.tokenizer import Tokenizer
from ..finding import find, load_for
from .preparing import Kept, table_of
from .training import answers, likeliest

AT_A_TIME = 1024  # sentences


class Word(msgspec.Struct, frozen=True):
    """A word, where it stands in its text, its label and the label's probability."""

    text: str
    start: int
    end: int
    label: str
    score: float


class Named(msgspec.Struct, frozen=True):
    """An entity: characters `start` to `end` (not included) of its text. `score` is the least of its words'."""

    text: str
    start: int
    end: int
    label: str
    score: float


class Tagged(msgspec.Struct, frozen=True):
    """A text with its words, and the entities among them where the model names such."""

    text: str
    words: list[Word]
    entities: list[Named]


class Tagger:
    """`kept` says what its labels are; sentences of more than `longest` tokens are read in windows."""

    def __init__(self, model: Model, tokenizer: Tokenizer, kept: Kept, longest: int) -> None:
        self.model, self.tokenizer, self.kept, self.longest = model, tokenizer, kept, longest

    @property
    def labels(self) -> list[str]:
        return list(self.kept.labels)

    def tag(self, texts: Sequence[str], spaced: bool = False) -> list[Tagged]:
        """Labels for the words of each text: found by white space and punctuation, or by white space if `spaced`."""
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise UserError("tag takes a list of texts: tag([text])")
        spans = [[one.span() for one in re.finditer(r"\S+", text)] if spaced else cut(text) for text in texts]
        words = [[text[start:end] for start, end in own] for text, own in zip(texts, spans, strict=True)]
        found = zip(texts, spans, self.tag_words(words), strict=True)
        return [self._tagged(text, own, *said) for text, own, said in found]

    def tag_words(self, sentences: Sequence[Sequence[str]]) -> list[tuple[list[str], list[float]]]:
        """For sentences that are cut into words already: the label of each word and its probability."""
        if not all(isinstance(word, str) for sentence in sentences for word in sentence):
            raise UserError("tag_words takes sentences as lists of words")
        groups = [sentences[n : n + AT_A_TIME] for n in range(0, len(sentences), AT_A_TIME)]
        return [one for group in groups for one in self._labelled(group)]

    @torch.no_grad()
    def _labelled(self, sentences: Sequence[Sequence[str]]) -> list[tuple[list[str], list[float]]]:
        words = Words(self.tokenizer)
        table, _ = table_of(sentences, words, self.longest)
        device = next(self.model.parameters()).device
        scores = answers(self.model, Spelled(table, words.spellings(), self.tokenizer, self.longest), device)
        counts = np.array([len(sentence) for sentence in sentences], np.int64)
        found, begin = [], 0
        for numbers in likeliest(scores, counts, self.kept):
            own = scores[begin : begin + len(numbers)]
            begin += len(numbers)
            chances = np.exp(own[np.arange(len(numbers)), numbers])
            found.append(([self.kept.labels[number] for number in numbers], chances.tolist()))
        return found

    def _tagged(self, text: str, spans: list[tuple[int, int]], labels: list[str], scores: list[float]) -> Tagged:
        words = [
            Word(text[start:end], start, end, label, score)
            for (start, end), label, score in zip(spans, labels, scores, strict=True)
        ]
        names = []
        for label, first, last in entities(labels) if self.kept.entities else ():
            start, end = spans[first][0], spans[last - 1][1]
            names.append(Named(text[start:end], start, end, label, min(scores[first:last])))
        return Tagged(text, words, names)


def load(path: str | Path) -> Tagger:
    """The tagger in a folder of a run or a model; UserError if it is another task's, or damaged."""
    model, extra, tokenizer = load_for(path, "tag")
    where = find(path) / "config.json"
    try:
        kept, longest = msgspec.convert(extra.get("answers"), Kept), msgspec.convert(extra.get("longest"), int)
    except msgspec.ValidationError as error:
        raise UserError(f"{where}: {error}; copy the model again") from None
    outputs = model.heads["label"].plan.outputs if "label" in model.heads else 0
    if outputs != len(kept.labels) or longest < 4:
        raise UserError(f"{where}: {outputs} outputs for {len(kept.labels)} labels; copy the model again")
    return Tagger(model, tokenizer, kept, longest)
