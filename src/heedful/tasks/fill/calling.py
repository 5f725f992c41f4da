"""What `heedful fill` does: texts with masks given as arguments, or lines of files and of standard input."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ...errors import visible
from ..finding import last_run
from ..streams import Readable, answer_files, answer_lines, require
from .filler import Filled, Filler, as_plain, load


@dataclass(frozen=True)
class Asked:
    """Which model (None: the last run here), how many guesses, how a hidden word is written, and the form."""

    model: Path | None
    best: int
    word: str
    as_json: bool

    def load(self) -> Filler:
        """The model; which one it is is said if none was named."""
        if self.model is not None:
            return load(self.model)
        model = last_run(task="fill")
        print(f"using {model}", file=sys.stderr)
        return load(model)


def fill_texts(asked: Asked, texts: Sequence[str]) -> None:
    """Each text with its guesses, one under the other."""
    filler = asked.load()
    for text in texts:
        found = filler.fill(text, asked.best, asked.word)
        print(_line(found) if asked.as_json else "\n".join(_table(found)))


def fill_lines(asked: Asked, files: Sequence[Path], lines: Readable | None, out: BinaryIO) -> None:
    """A line for each line of the files, or of `lines`; one without a mask stays as it is."""
    for path in files:
        require(path)
    filler = asked.load()

    def answer(texts: Sequence[str]) -> list[str]:
        found = filler.fill_many(texts, asked.best, asked.word)
        return [_line(one) if asked.as_json else one.text for one in found]

    if lines is not None:
        answer_lines(lines, out, answer)
    answer_files(files, out, answer)


def _line(found: Filled) -> str:
    return json.dumps(as_plain(found), ensure_ascii=False)


def _table(found: Filled) -> list[str]:
    rows = [visible(found.text)]
    for number, guesses in enumerate(found.masks, 1):
        rows += [f"mask {number}"] if len(found.masks) > 1 else []
        rows += [f"  {one.probability:6.1%}  {visible(one.text)}" for one in guesses]
    return rows
