"""Translation line by line, as lines come: as many lines out as in, in order, whatever bytes they hold."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from ...decode.sampling import Sampling
from ...errors import UserError
from ...text.terms import Terms
from .answers import Answer
from .translator import Translator

LONGEST_LINE = 65_536  # bytes; a longer line is not a sentence, and would hold up all the others
LINES_AT_A_TIME = 512


def translate_stream(translator: Translator, lines: BinaryIO, out: BinaryIO, options: Mapping[str, Any]) -> None:
    """Translate line by line, as lines come: as many lines out as in, in order, whatever bytes they hold.

    Bytes that are not UTF-8 are read as U+FFFD; a line of more than LONGEST_LINE bytes is answered by a mark. `options`
    are fields of `decode.Options` and of `decode.Sampling`, `sample` to turn sampling on, and `tag`, `protect`, `split`
    and `language` as in `Translator.answer`; `terms` is a terminology or its file. Where a translation lacks what it
    should keep, `marks` says so: on standard error ("stderr", with the line's number), or in front of it ("text").
    """
    chosen = dict(options)
    tag, marks, terms = chosen.pop("tag", None), chosen.pop("marks", "stderr"), chosen.pop("terms", None)
    if marks not in ("stderr", "text"):
        raise UserError(f"marks = {marks!r}; known: stderr, text")
    asked = {key: chosen.pop(key) for key in ("protect", "split", "language") if key in chosen}
    asked["terms"] = terms if terms is None or isinstance(terms, Terms) else Terms.load(terms)
    sampling = {key: chosen.pop(key) for key in ("temperature", "top_k", "top_p", "seed") if key in chosen}
    if chosen.pop("sample", False):
        chosen["sampling"] = Sampling(**sampling)
    elif sampling:
        raise UserError(f"only sampling has {', '.join(sampling)}: add --sample")
    translator.encode("", tag)  # a wrong tag is told before any work
    decoding = translator.options(**chosen)
    number = 0
    for some in _arriving(lines):
        texts = [line.rstrip(b"\r\n").decode("utf-8", "replace") for line in some if _fits(line)]
        answers = iter(translator.answer(texts, tag, decoding, **asked))
        for line in some:
            number += 1
            text = f"[not translated: the line is longer than {LONGEST_LINE} bytes]"
            if _fits(line):
                text = _marked(next(answers), number, marks)
            out.write(" ".join(text.split("\n")).encode("utf-8") + (b"\n" if line.endswith(b"\n") else b""))
        out.flush()


def _marked(answer: Answer, number: int, marks: str) -> str:
    """The answer's text, with its problems in front or told on standard error."""
    problems = "; ".join(answer.problems)
    if problems and marks == "text":
        return f"[check: {problems}] {answer.text}"
    if problems:
        print(f"line {number}: check the translation: {problems}", file=sys.stderr, flush=True)
    return answer.text


def _fits(line: bytes) -> bool:
    return len(line.removesuffix(b"\n")) <= LONGEST_LINE


def _arriving(lines: BinaryIO) -> Iterator[list[bytes]]:
    """Lines in groups of those that are there already, so that a slow writer is answered line by line."""
    rest = b""
    while block := getattr(lines, "read1", lines.read)(1 << 16):
        found = (rest + block).split(b"\n")
        rest = found.pop()[: LONGEST_LINE + 1]  # enough to know that a line without an end is too long
        complete_ = [line + b"\n" for line in found]
        for first in range(0, len(complete_), LINES_AT_A_TIME):
            yield complete_[first : first + LINES_AT_A_TIME]
    if rest:
        yield [rest]
