"""TSV and JSONL as documents: rows without a translation are filled, every other byte stays.

A TSV row is "source TAB target", perhaps with more columns; a row of one column, or with nothing in the second, is to
be filled. A JSONL row is an object with the text "source"; it is to be filled where "target" is absent, null or blank.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from json.decoder import scanstring
from pathlib import Path

from .document import Document, Options, Original, Passage, Splice, Unit, decode, marked, one

SPACE = re.compile(r"[ \t\r]*")
_BREAKS = str.maketrans("\t\n\r", "   ")  # what would end a column or a row
_values = json.JSONDecoder()


def read_tsv(path: Path, content: bytes, options: Options) -> Document:
    """See the module; UserError for a file that is not UTF-8 or UTF-16."""
    original = _original(path, content)
    units, splices = [], []
    for start, line in _rows(original.text):
        columns = line.split("\t")
        source = columns[0]
        if not source.strip():
            continue
        target = columns[1] if len(columns) > 1 else ""
        place = start + len(source)
        if not target.strip():
            tab = "\t" if len(columns) == 1 else ""
            first = place if tab else place + 1
            splices.append(Splice(first, first + len(target), one(len(units)), _column(tab)))
        units.append(Unit(source, (), bool(target.strip()), original.where(start), Passage(target)))
    return Document(original, units, splices)


def read_jsonl(path: Path, content: bytes, options: Options) -> Document:
    """See the module; UserError for a row that is no such object."""
    original = _original(path, content)
    units, splices = [], []
    for start, line in _rows(original.text):
        if not line.strip():
            continue
        try:
            found, end, empty = _members(line)
        except (ValueError, RecursionError, IndexError) as error:
            reason = "it ends too early" if isinstance(error, IndexError) else error
            raise original.error(start, f'not a JSON object with the text "source": {reason}') from None
        source, target = (found.get(key, (None, 0, 0))[0] for key in ("source", "target"))
        if not isinstance(source, str) or not isinstance(target, str | None):
            raise original.error(start, 'each line must be an object like {"source": "...", "target": "..."}')
        if not source.strip():
            continue
        done = bool(target and target.strip())
        if not done:
            if "target" in found:
                _, first, last = found["target"]
                splices.append(Splice(start + first, start + last, one(len(units)), _quoted))
            else:
                render = _member("" if empty else ", ")
                splices.append(Splice(start + end, start + end, one(len(units)), render))
        units.append(Unit(source, (), done, original.where(start), Passage(target or "")))
    return Document(original, units, splices)


def _original(path: Path, content: bytes) -> Original:
    mark, charset = marked(path, content)
    return decode(path, content, charset or "utf-8", mark)


def _rows(text: str) -> Iterator[tuple[int, str]]:
    """Each row with where it starts, without its end."""
    start = 0
    for line in text.split("\n"):
        yield start, line.removesuffix("\r")
        start += len(line) + 1


def _column(tab: str) -> Callable[[str], str]:
    return lambda text: tab + text.translate(_BREAKS)


def _member(comma: str) -> Callable[[str], str]:
    return lambda text: f'{comma}"target": {_quoted(text)}'


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _members(line: str) -> tuple[dict[str, tuple[object, int, int]], int, bool]:
    """The members of a JSON object with where their values stand; where the last one ends; and whether there is none.

    ValueError (or IndexError) where it is no object.
    """
    found: dict[str, tuple[object, int, int]] = {}
    at = _after(line, 0)
    if line[at] != "{":
        raise ValueError("it does not begin with {")
    end, at = at + 1, _after(line, at + 1)
    if line[at] == "}":
        _require_end(line, at + 1)
        return found, end, True
    while True:
        if line[at] != '"':
            raise ValueError(f"column {at + 1}: a name in quotes is missing")
        name, at = scanstring(line, at + 1, True)
        at = _after(line, at)
        if line[at] != ":":
            raise ValueError(f"column {at + 1}: a colon is missing")
        start = _after(line, at + 1)
        value, end = _values.raw_decode(line, start)
        found[name] = (value, start, end)
        at = _after(line, end)
        if line[at] == "}":
            _require_end(line, at + 1)
            return found, end, False
        if line[at] != ",":
            raise ValueError(f"column {at + 1}: a comma is missing")
        at = _after(line, at + 1)


def _after(line: str, at: int) -> int:
    """Past white space; IndexError follows where the line ends."""
    match = SPACE.match(line, at)
    assert match is not None
    return match.end()


def _require_end(line: str, at: int) -> None:
    if line[at:].strip():
        raise ValueError(f"column {at + 1}: more than one value")
