"""How an answer stands in the output: as text, with scores, with alternatives, aligned, as JSON."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np

from ...errors import visible
from ...inside.alignment import align, cross_attention, words_of
from .answers import Alternative, Answer, Piece
from .translator import Translator

Form = Literal["text", "scores", "best", "json"]
Marks = Literal["stderr", "text"]


@dataclass(frozen=True)
class Show:
    """`form` "text" gives the translation, "scores" puts its score and a tab in front, "best" gives a
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
        if self.form == "best":
            found = [answer, *answer.alternatives]
            return [f"{number}\t{one.score:.4f}\t{self._marked(one, number, at)}" for at, one in enumerate(found, 1)]
        text = self._marked(answer, number)
        links = f"\t{' '.join(f'{s}-{t}' for s, t in Aligned.of(translator, answer).links)}" if self.alignment else ""
        return [f"{answer.score:.4f}\t{text}{links}" if self.form == "scores" else f"{text}{links}"]

    def _marked(self, answer: Answer | Alternative, number: int, alternative: int = 1) -> str:
        """The text as a line; what it lacks is told where `marks` says."""
        text, problems = one_line(answer.text), "; ".join(answer.problems)
        if problems and self.marks == "text":
            return f"[check: {one_line(problems)}] {text}"
        if problems:
            which = f"line {number}" if alternative == 1 else f"line {number}, alternative {alternative}"
            print(f"{which}: check the translation: {visible(problems)}", file=sys.stderr, flush=True)
        return text

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
        source, target = words_of(reader, piece.source), words_of(writer, [*ids, writer.end])
        layers = cross_attention(translator.model, piece.source, [writer.start, *ids])
        weights = align(list(layers.values())[-1].mean(0), target, source)
        # A tag and the end are no words.
        controls = {reader.end, writer.end, *map(reader.tag, reader.tags)}
        columns, rows = (
            [number for number, text in enumerate(words.texts) if text and words.first[number] not in controls]
            for words in (source, target)
        )
        if columns:
            best = weights[np.ix_(rows, columns)].argmax(1) if rows else []
            self.links.extend(
                (len(self.source) + int(column), len(self.target) + row) for row, column in enumerate(best)
            )
        self.source.extend(source.texts[number] for number in columns)
        self.target.extend(target.texts[number] for number in rows)


def one_line(text: str) -> str:
    """A translation as it stands in a line of output."""
    return " ".join(text.split("\n"))
