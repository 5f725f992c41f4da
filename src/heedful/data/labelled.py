"""Texts with labels from files: TSV, CSV and JSONL, and text whose lines begin with the label.

A line of text is "label text", where the label ends at white space or before `data.label_until` ("DESC:manner How ..."
with ":" is "DESC"); or as fastText has it, "__label__one __label__two text".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..config import Data
from ..errors import UserError
from .readers import read_lines
from .records import SUFFIXES, read_records, suffix_of

FASTTEXT = "__label__"
Answer = str | tuple[str, ...] | float


class Example(NamedTuple):
    """One or two texts and their label, labels or number, and the "file:line" they come from."""

    texts: tuple[str, ...]
    answer: Answer
    where: str


def names_of(fields: Sequence[str]) -> tuple[str, ...]:
    """What a record holds, in the order of `data.fields`: three names mean pairs of texts."""
    return ("text", "second", "label") if len(fields) > 2 else ("text", "label")


def read_examples(path: Path, data: Data) -> Iterator[Example]:
    """The examples of a file; UserError names the line of one that has no label, or one of the wrong kind."""
    suffix = suffix_of(path)
    if suffix in SUFFIXES:
        for values, where in read_records(path, names_of(data.fields), data.fields):
            *texts, answer = values
            yield Example(tuple(_text(text, where) for text in texts), _answer(answer, data, where), where)
    elif len(data.fields) > 2:
        raise UserError(f"{path}: pairs of texts are read from {', '.join(SUFFIXES)} files")
    else:
        for number, line in enumerate(read_lines(path), 1):
            where = f"{path}:{number}"
            if not line.strip():
                raise UserError(f"{where}: the line is empty; each begins with a label")
            label, text = _parted(line)
            yield Example((text,), _answer(label, data, where), where)


def _parted(line: str) -> tuple[str, str]:
    """The label (those of fastText with commas in between) and the text of a line."""
    label, _, text = line.strip().partition(" ")
    if not label.startswith(FASTTEXT):
        return label, text.strip()
    words, labels = line.split(), []
    while words and words[0].startswith(FASTTEXT):
        labels.append(words.pop(0).removeprefix(FASTTEXT))
    return ",".join(labels), " ".join(words)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise UserError(f"{where}: {value!r} is not a text; say which field is in data.fields")
    return value


def _answer(value: Any, data: Data, where: str) -> Answer:
    if data.labels == "number":
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if isinstance(value, bool) or not math.isfinite(number):
            raise UserError(f"{where}: {value!r} is not a number, as data.labels says")
        return number
    if data.labels == "several":
        parts = value if isinstance(value, list) else str(value).split(",")
        return tuple(dict.fromkeys(_label(part, data, where) for part in parts if str(part).strip()))
    return _label(value, data, where)


def _label(value: Any, data: Data, where: str) -> str:
    """Numbers and truth values of JSON are labels as they are written."""
    if isinstance(value, bool):
        value = "true" if value else "false"
    if not isinstance(value, (str, int, float)):
        raise UserError(f"{where}: the label {value!r} is not a text; for several labels set data.labels = 'several'")
    label = str(value).strip()
    if data.label_until:
        label = label.partition(data.label_until)[0]
    if not label:
        raise UserError(f"{where}: the label is empty")
    return label
