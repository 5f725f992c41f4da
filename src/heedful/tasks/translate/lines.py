"""Translation line by line, as lines come: as many lines out as in, in order, whatever bytes they hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from ...decode.options import Options
from .answers import Answer
from .shown import Show
from .translator import Translator

LONGEST_LINE = 65_536  # bytes; a longer line is not a sentence, and would hold up all the others
LINES_AT_A_TIME = 512


def translate_lines(
    translator: Translator,
    lines: BinaryIO,
    out: BinaryIO,
    tag: str | None = None,
    options: Options | None = None,
    asked: Mapping[str, Any] | None = None,
    show: Show | None = None,
    before: int = 0,
) -> bool:
    """Translate a stream; whether its last line had no end, and so the answer has none. `asked` are further arguments
    of `Translator.answer`; `before` lines of the stream have been read already.

    Bytes that are not UTF-8 are read as U+FFFD; a line of more than LONGEST_LINE bytes is answered by a mark.
    """
    show, number, open_end = show or Show(), before, False
    for some in _arriving(lines):
        texts = [line.rstrip(b"\r\n").decode("utf-8", "replace") for line in some if _fits(line)]
        answers = iter(translator.answer(texts, tag, options, **(asked or {})))
        sources = iter(texts)
        for line in some:
            number += 1
            if _fits(line):
                written = show.lines(translator, number, next(sources), next(answers))
            else:
                mark = f"[not translated: the line is longer than {LONGEST_LINE} bytes]"
                written = show.lines(translator, number, "", Answer(mark))
            open_end = not line.endswith(b"\n")
            out.write("\n".join(written).encode("utf-8") + (b"" if open_end else b"\n"))
        out.flush()
    return open_end


def _fits(line: bytes) -> bool:
    return len(line.removesuffix(b"\n")) <= LONGEST_LINE


def _arriving(lines: BinaryIO) -> Iterator[list[bytes]]:
    """Lines in groups of those that are there already, so that a slow writer is answered line by line."""
    rest = b""
    while block := getattr(lines, "read1", lines.read)(1 << 16):
        found = (rest + block).split(b"\n")
        rest = found.pop()[: LONGEST_LINE + 1]  # enough to know that a line without an end is too long
        complete = [line + b"\n" for line in found]
        for first in range(0, len(complete), LINES_AT_A_TIME):
            yield complete[first : first + LINES_AT_A_TIME]
    if rest:
        yield [rest]
