"""A document to translate: its gaps are filled, everything else stays byte for byte as it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ...data.documents import FORMATS, Document
from ...decode.options import Options
from ...errors import visible
from ..streams import LONGEST_LINE
from .answers import Answer
from .partial import Partial
from .translator import Translator

UNITS_AT_A_TIME = 128


def is_document(path: Path) -> bool:
    """Whether a file is a document by its suffix."""
    return path.suffix.lower() in FORMATS


def translate_document(
    translator: Translator,
    document: Document,
    partial: Partial | None,
    *,
    tag: str | None,
    options: Options,
    asked: Mapping[str, Any],
) -> tuple[bytes, int]:
    """The document filled, and how many units were. Answers go to `partial` as they come, and are taken from there.

    A unit whose translation lacks what it should have kept is told on standard error by its place in the file, and one
    of more than LONGEST_LINE bytes, which stays as it is.
    """
    wanted = list(_wanted(document))
    found = dict(zip(wanted, _earlier(partial), strict=False))
    left = wanted[len(found) :]
    for first in range(0, len(left), UNITS_AT_A_TIME):
        some = left[first : first + UNITS_AT_A_TIME]
        units = [document.units[number] for number in some]
        answers = translator.answer(
            [unit.text for unit in units], tag, options, spans=[unit.protected for unit in units], **asked
        )
        for number, unit, answer in zip(some, units, answers, strict=True):
            _tell(unit.where, answer)
            found[number] = _as_spaced(unit.text, answer.text)
            if partial is not None:
                partial.file.write(msgspec.json.encode(found[number]) + b"\n")
        if partial is not None:
            partial.file.flush()
    return document.write(found), len(wanted)


def _as_spaced(text: str, translation: str) -> str:
    """A translation with the white space that is around a text: programs put such texts together."""
    content = text.strip()
    start = text.index(content)
    return f"{text[:start]}{translation}{text[start + len(content) :]}" if translation else ""


def _wanted(document: Document) -> Iterator[int]:
    """The units to translate."""
    for number, unit in enumerate(document.units):
        if unit.translated or not unit.text.strip():
            continue
        if len(unit.text.encode("utf-8", "surrogatepass")) <= LONGEST_LINE:
            yield number
        else:
            told = visible(f"{unit.where}: not translated: longer than {LONGEST_LINE} bytes")
            print(told, file=sys.stderr, flush=True)


def _earlier(partial: Partial | None) -> Iterator[str]:
    """Answers of an interrupted attempt."""
    if partial is None:
        return
    with partial.part.open("rb") as file:
        for line in file:
            yield msgspec.json.decode(line, type=str)


def _tell(where: str, answer: Answer) -> None:
    if answer.problems:
        print(visible(f"{where}: check the translation: {'; '.join(answer.problems)}"), file=sys.stderr, flush=True)
