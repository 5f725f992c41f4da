"""How an answer stands in the output: as text, with scores, with alternatives, aligned, as JSON."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np

from ...errors import visible
from ...look.alignment import align, cross_attention
from .answers import Answer, Piece
from .translator import Translator

Form = Literal["text", "scores", "best", "json"]
Marks = Literal["stderr", "text"]


@dataclass(frozen=True)
class Show:
    """`form` "text" gives the translation, "scores" puts its mean log-probability and a tab in front, "best" gives a
    line (number of the input line, score, text, with tabs between) for each alternative, and "json" an object.

    `alignment` adds a tab and Pharaoh's links ("0-0 1-2": source word, target word, from 0), or a key in JSON. What a
    translation lacks that it should have kept is told on standard error, or in front of it ("text"); JSON has it too.
    """

    form: Form = "text"
    alignment: bool = False
    marks: Marks = "stderr"

    def lines(self, translator: Translator, number: int, source: str, answer: Answer) -> list[str]:
        """The lines of output (without ends) for line `number` of the input; one, but for "best"."""
        if self.form == "json":
            return [msgspec.json.encode(self._object(translator, source, answer)).decode()]
        problems = "; ".join(answer.problems)
        text = answer.text
        if problems and self.marks == "text":
            text = f"[check: {problems}] {text}"
        elif problems:
            print(f"line {number}: check the translation: {visible(problems)}", file=sys.stderr, flush=True)
        text = one_line(text)
        if self.form == "best":
            found = [(answer.score, text), *((other.score, one_line(other.text)) for other in answer.alternatives)]
            return [f"{number}\t{score:.4f}\t{one}" for score, one in found]
        links = f"\t{' '.join(f'{s}-{t}' for s, t in Aligned.of(translator, answer).links)}" if self.alignment else ""
        return [f"{answer.score:.4f}\t{text}{links}" if self.form == "scores" else f"{text}{links}"]

    def _object(self, translator: Translator, source: str, answer: Answer) -> dict[str, Any]:
        found: dict[str, Any] = {
            "source": source,
            "text": answer.text,
            "score": answer.score,
            "logprob": answer.logprob,
            "finished": answer.finished,
            "tokens": [[token.piece, token.logprob] for token in answer.tokens],
            "alternatives": [
                {"text": other.text, "score": other.score, "problems": other.problems} for other in answer.alternatives
            ],
            "problems": answer.problems,
        }
        if self.alignment:
            aligned = Aligned.of(translator, answer)
            found["alignment"] = {"source": aligned.source, "target": aligned.target, "links": aligned.links}
        return found


@dataclass(frozen=True)
class Aligned:
    """Words of what the model read and wrote, and links (source word, target word): each target word with the source
    word that it was read from most, by the mean over the heads of the last layer's attention."""

    source: list[str]
    target: list[str]
    links: list[tuple[int, int]]

    @classmethod
    def of(cls, translator: Translator, answer: Answer) -> Aligned:
        """Of all the pieces of an answer, one after another."""
        found = cls([], [], [])
        for piece in answer.pieces:
            found._add(translator, piece)
        return found

    def _add(self, translator: Translator, piece: Piece) -> None:
        reader, writer = (translator.tokenizers[side] for side in ("source", "target"))
        ids = piece.hypothesis.ids
        read, written = reader.pieces(piece.source), writer.pieces([*ids, writer.end])
        controls = {*reader.tags, written[-1]}  # a tag and the end are no words: they stand alone, and are left out
        layers = cross_attention(translator.model, piece.source, [writer.start, *ids])
        alone = (*controls, *reader.pieces(reader.placeholders), *writer.pieces(writer.placeholders))
        one = align(list(layers.values())[-1].mean(0), written, read, alone)
        columns = [number for number, word in enumerate(one.source) if word and word not in controls]
        rows = [number for number, word in enumerate(one.target) if word and word not in controls]
        if columns:
            best = one.weights[np.ix_(rows, columns)].argmax(1) if rows else []
            self.links.extend(
                (len(self.source) + int(column), len(self.target) + row) for row, column in enumerate(best)
            )
        self.source.extend(one.source[number] for number in columns)
        self.target.extend(one.target[number] for number in rows)


def one_line(text: str) -> str:
    """A translation as it stands in a line of output."""
    return " ".join(text.split("\n"))
