"""What `heedful tag` does: texts given as arguments, or lines of files and of standard input."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from ...errors import visible
from ..finding import last_run
from ..streams import Readable, answer_files, answer_lines, require
from .tagger import Tagged, Tagger, load

Form = Literal["text", "json", "columns"]


@dataclass(frozen=True)
class Asked:
    """Which model (None: the last run here), the form of answers, and whether texts are cut into words by spaces."""

    model: Path | None
    form: Form
    spaced: bool

    def load(self) -> Tagger:
        """The model; which one it is is said if none was named."""
        if self.model is not None:
            return load(self.model)
        model = last_run(task="tag")
        print(f"using {model}", file=sys.stderr)
        return load(model)


def tag_texts(asked: Asked, texts: Sequence[str]) -> None:
    """Each text with its labels."""
    tagger = asked.load()
    for found in tagger.tag(texts, asked.spaced):
        answer = said(found, asked.form, tagger.kept.entities)
        print(answer if asked.form == "json" else "\n".join(map(visible, answer.split("\n"))))


def tag_lines(asked: Asked, files: Sequence[Path], lines: Readable | None, out: BinaryIO) -> None:
    """A line for each line of the files, or of `lines`; as columns, a sentence for each."""
    for path in files:
        require(path)
    tagger = asked.load()

    def answer(texts: Sequence[str]) -> list[str]:
        return [said(found, asked.form, tagger.kept.entities) for found in tagger.tag(texts, asked.spaced)]

    if lines is not None:
        answer_lines(lines, out, answer)
    answer_files(files, out, answer)


def said(found: Tagged, form: Form, entities: bool) -> str:
    """A tagged text in a form: entities in the text in brackets, or words with their labels; an object; columns of word
    and label, with an empty line after them."""
    if form == "json":
        return json.dumps(msgspec.to_builtins(found), ensure_ascii=False)
    if form == "columns":
        return "".join(f"{word.text} {word.label}\n" for word in found.words)
    if not entities:
        return " ".join(f"{word.text}/{word.label}" for word in found.words)
    parts, done = [], 0
    for one in found.entities:
        parts += [found.text[done : one.start], f"[{one.label} {one.text}]"]
        done = one.end
    return "".join([*parts, found.text[done:]])
