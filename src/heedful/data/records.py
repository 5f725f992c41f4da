"""Records of named values from TSV, CSV and JSONL files, plain or .gz; every error says file:line.

A TSV or CSV file may begin with a header. A value that is asked for is found by its name there, by a name that the
recipe gives (`data.fields`), or by its column's number; without any of these the columns come in the order asked for.
There is no quoting in TSV; CSV is as RFC 4180 has it, a record a line.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ..errors import UserError
from .readers import read_lines

SUFFIXES = (".tsv", ".csv", ".jsonl")


class Record(NamedTuple):
    """The values asked for, in that order (None: the record has no such value), and the "file:line" they come from."""

    values: tuple[Any, ...]
    where: str


def suffix_of(path: Path) -> str:
    """The suffix that says the format: that before .gz."""
    return Path(path.name.removesuffix(".gz")).suffix


def read_records(
    path: Path, names: Sequence[str], fields: Sequence[str] = (), optional: Sequence[str] = ()
) -> Iterator[Record]:
    """The records of a file. `fields` are the file's own names (or column numbers) for `names`, in that order.

    `optional` names may be missing. UserError where a file is of no format known here, or lacks a value.
    """
    if len(fields) > len(names):
        raise UserError(f"data.fields names {len(fields)} values; this task reads {len(names)}: {', '.join(names)}")
    own = [*fields, *names[len(fields) :]]
    suffix = suffix_of(path)
    if suffix == ".jsonl":
        return _read_jsonl(path, names, own, optional)
    if suffix in (".tsv", ".csv"):
        return _read_columns(path, names, own, optional, given=len(fields))
    raise UserError(f"{path}: cannot be read by the suffix {suffix!r}; name it {', '.join(SUFFIXES)} (or .gz)")


def _read_jsonl(path: Path, names: Sequence[str], own: Sequence[str], optional: Sequence[str]) -> Iterator[Record]:
    decoder = msgspec.json.Decoder(dict[str, Any])
    for number, line in enumerate(read_lines(path), 1):
        try:
            record = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            reason = "the line is empty" if not line.strip() else str(error)
            raise UserError(f"{path}:{number}: {reason}; each line must be a JSON object") from None
        for name, key in zip(names, own, strict=True):
            if record.get(key) is None and name not in optional:
                known = ", ".join(list(record)[:8]) or "none"
                raise UserError(f'{path}:{number}: there is no "{key}"; the keys are {known}: say which in data.fields')
        yield Record(tuple(record.get(key) for key in own), f"{path}:{number}")


def _read_columns(
    path: Path, names: Sequence[str], own: Sequence[str], optional: Sequence[str], given: int
) -> Iterator[Record]:
    lines = enumerate(read_lines(path), 1)
    first = next(lines, None)
    if first is None:
        return
    split = _split_csv if suffix_of(path) == ".csv" else _split_tsv
    header = split(first[1], f"{path}:1")
    places, headed = _places(path, header, names, own, optional, given)
    need = 1 + max((place for place in places if place is not None), default=0)
    for number, line in lines if headed else _again(first, lines):
        where = f"{path}:{number}"
        columns = split(line, where)
        if len(columns) < need:
            raise UserError(f"{where}: {len(columns)} columns where {need} are needed; is it separated by tabs?")
        yield Record(tuple(None if place is None else columns[place] for place in places), where)


def _again(first: tuple[int, str], lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    yield first
    yield from lines


def _places(
    path: Path, header: list[str], names: Sequence[str], own: Sequence[str], optional: Sequence[str], given: int
) -> tuple[list[int | None], bool]:
    """The column of each name, and whether the first line is a header."""
    wanted = [key for key, name in zip(own, names, strict=True) if name not in optional]
    headed = all(key in header for key in own[:given] if not key.isdigit()) and any(key in header for key in wanted)
    places: list[int | None] = []
    for number, (name, key) in enumerate(zip(names, own, strict=True)):
        if headed and key in header:
            places.append(header.index(key))
        elif number < given and key.isdigit() and int(key) >= 1:
            places.append(int(key) - 1)
        elif number < given:
            raise UserError(f"{path}:1: there is no column {key!r}; the first line has: {', '.join(header)}")
        elif name in optional:
            places.append(None)
        elif headed:
            raise UserError(f"{path}:1: there is no column {key!r}; say which in data.fields: {', '.join(header)}")
        else:
            places.append(sum(place is not None for place in places))
    return places, headed


def _split_tsv(line: str, where: str) -> list[str]:
    return line.split("\t")


def _split_csv(line: str, where: str) -> list[str]:
    try:
        return next(csv.reader([line], strict=True), [""])
    except csv.Error as error:
        raise UserError(f"{where}: {error}; a record must be on one line, quotes doubled") from None
