"""Sentences with a label for each word: columns as in the CoNLL tasks, or JSONL with "words" and "labels".

Columns are separated by white space, or by tabs where the first line has one; the word comes first and the label last,
or as `data.fields` says by number. An empty line ends a sentence, and so does a line of -DOCSTART-; among tabs a line
that begins with "#" and has none is a comment (CoNLL-U).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UserError
from .readers import read_lines
from .records import read_records, suffix_of

DOCUMENT = "-DOCSTART-"


class Sentence(NamedTuple):
    """Words, their labels, and where they come from: word n stands in line `line + n * step` of the file."""

    words: tuple[str, ...]
    labels: tuple[str, ...]
    file: str = ""
    line: int = 0
    step: int = 0

    def where(self, word: int = 0) -> str:
        """The "file:line" of a word."""
        return f"{self.file}:{self.line + word * self.step}"


def read_sentences(path: Path, fields: Sequence[str] = ()) -> Iterator[Sentence]:
    """The sentences of a file; UserError names the line that is malformed."""
    if len(fields) not in (0, 2):
        raise UserError(f"data.fields = {', '.join(fields)}; name two, of the word and of its label, or none")
    return _read_jsonl(path, fields) if suffix_of(path) == ".jsonl" else _read_columns(path, fields)


def _read_jsonl(path: Path, fields: Sequence[str]) -> Iterator[Sentence]:
    for number, ((words, labels), where) in enumerate(read_records(path, ("words", "labels"), fields), 1):
        if not (_texts(words) and _texts(labels) and len(words) == len(labels)):
            raise UserError(f"{where}: words and labels must be two lists of texts, equally long")
        if words:
            yield Sentence(tuple(words), tuple(labels), str(path), number)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) and one for one in value)


def _read_columns(path: Path, fields: Sequence[str]) -> Iterator[Sentence]:
    if not all(field.isdigit() and int(field) > 0 for field in fields):
        raise UserError(f"data.fields = {', '.join(fields)}; {path.name} has columns: name two by number, from 1")
    places = [int(field) - 1 for field in fields]
    tabs: bool | None = None
    width, begin, words, labels = 0, 0, list[str](), list[str]()
    for number, line in enumerate(read_lines(path), 1):
        if tabs is None and line.strip() and not line.startswith("#"):
            tabs = "\t" in line
        comment = line.startswith("#") and "\t" not in line and tabs is not False and not words
        columns = [] if comment else line.split("\t") if tabs else line.split()
        if comment and tabs is None:
            continue
        if not line.strip() or (columns and columns[0] == DOCUMENT):
            if words:
                yield Sentence(tuple(words), tuple(labels), str(path), begin, 1)
            words, labels = [], []
            continue
        if comment:
            continue
        width = width or len(columns)
        where = f"{path}:{number}"
        _check(columns, width, places, where)
        begin = begin if words else number
        word, label = (columns[0], columns[-1]) if not places else (columns[places[0]], columns[places[1]])
        if not word or not label:
            raise UserError(f"{where}: the {'label' if word else 'word'} is empty")
        words.append(word)
        labels.append(label)
    if words:
        yield Sentence(tuple(words), tuple(labels), str(path), begin, 1)


def _check(columns: Sequence[str], width: int, places: Sequence[int], where: str) -> None:
    if len(columns) < 2 or len(columns) != width:
        raise UserError(f"{where}: {len(columns)} columns, not {max(width, 2)}: a word first, its label last")
    if places and max(places) >= width:
        raise UserError(f"{where}: there is no column {max(places) + 1}; there are {width}; see data.fields")
