"""What `heedful classify` does: an answer for each line, or each record, of files and of standard input."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from ...data.labelled import names_of
from ...data.records import SUFFIXES, read_records, suffix_of
from ...errors import UserError
from ..finding import last_run
from ..streams import LINES_AT_A_TIME, Readable, answer_lines, opened, require
from .classifier import Answer, Classifier, load


@dataclass(frozen=True)
class Asked:
    """Which model (None: the last run here), so many of the likeliest labels, whether as JSON, and which fields of a
    record are read (empty: as in training)."""

    model: Path | None
    best: int
    as_json: bool
    fields: tuple[str, ...] = ()

    def load(self) -> Classifier:
        """The model; which one it is is said if none was named."""
        if self.model is not None:
            return load(self.model)
        model = last_run(task="classify")
        print(f"using {model}", file=sys.stderr)
        return load(model)


def classify_lines(asked: Asked, files: Sequence[Path], lines: Readable | None, out: BinaryIO) -> None:
    """A line for each line of `lines` or of the files, for each record of those that hold records.

    What a classifier of pairs reads are two texts with a tab between; where it is not known to be one, a line with a
    tab is a pair. A line without text is answered by an empty one.
    """
    for path in files:
        require(path)
    model = asked.load()
    answer = lambda some: _answered(model, asked, some)
    if lines is not None:
        answer_lines(lines, out, answer)
    open_end = False
    for path in files:
        out.write(b"\n" if open_end else b"")
        if open_end := suffix_of(path) not in SUFFIXES:
            with opened(path) as stream:
                open_end = answer_lines(stream, out, answer, str(path))
        else:
            _records(model, asked, path, out)


def _records(model: Classifier, asked: Asked, path: Path, out: BinaryIO) -> None:
    pairs = len(asked.fields) > 1 if model.pairs is None else model.pairs
    names = ("text", "second")[: 1 + pairs]
    fields = asked.fields or model.kept.fields[: len(names_of(model.kept.fields)) - 1]
    records = read_records(path, names, fields)
    while some := list(islice(records, LINES_AT_A_TIME)):
        for record in some:
            if not all(isinstance(text, str) for text in record.values):
                raise UserError(f"{record.where}: {record.values!r} is not a text; say which field with --fields")
        texts = [record.values for record in some]
        for said in _said(model, asked, texts):
            out.write(said.encode("utf-8", "replace") + b"\n")


def _answered(model: Classifier, asked: Asked, lines: Sequence[str]) -> list[str]:
    if model.pairs is False:
        return _said(model, asked, lines)
    texts, fits = [tuple(line.split("\t")) for line in lines], (2,) if model.pairs else (1, 2)
    if wrong := [line for line, text in zip(lines, texts, strict=True) if len(text) not in fits and line.strip()]:
        raise UserError(f"{wrong[0][:60]!r} is no pair: this model reads two texts with a tab between")
    return _said(model, asked, [text if len(text) in fits else ("",) for text in texts])


def _said(model: Classifier, asked: Asked, texts: Sequence[str] | Sequence[tuple[str, ...]]) -> list[str]:
    """The answers as lines."""
    full = [bool("".join(text).strip()) for text in texts]
    found = iter(model.classify([text for text, there in zip(texts, full, strict=True) if there]))  # type: ignore[misc]
    return [_line(next(found), asked) if there else "null" * asked.as_json for there in full]


def _line(answer: Answer, asked: Asked) -> str:
    if asked.as_json:
        if answer.value is not None:
            return json.dumps({"value": answer.value})
        return json.dumps({"labels": list(answer.labels), "probabilities": answer.chances}, ensure_ascii=False)
    if answer.value is not None:
        return answer.label
    labels = list(answer.chances)[: asked.best] if asked.best > 1 else list(answer.labels)
    return "\t".join(f"{label}\t{answer.chances[label]:.4f}" for label in labels)
