"""Translation line by line, as lines come: as many lines out as in, in order, whatever bytes they hold."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from ...decode.options import Options
from ...errors import UserError
from .answers import Answer
from .shown import Show
from .translator import Translator

LONGEST_LINE = 65_536  # bytes; a longer line is not a sentence, and would hold up all the others
LINES_AT_A_TIME = 512
MARK = b"\xef\xbb\xbf"  # of the byte order, which some editors put at the start of a text


class Readable(Protocol):
    """What lines come from; `read1`, where there is one, gives what is there already."""

    def read(self, size: int = -1, /) -> bytes: ...


def translate_lines(
    translator: Translator,
    lines: Readable,
    out: BinaryIO,
    tag: str | None = None,
    options: Options | None = None,
    asked: Mapping[str, Any] | None = None,
    show: Show | None = None,
    before: int = 0,
    watch: Callable[[str], None] | None = None,
) -> bool:
    """Translate a stream; whether its last line had no end, and so the answer has none. `asked` are further arguments
    of `Translator.answer`; `before` lines of the stream have been read already. `watch` is called with every text
    before it is translated, one at a time.

    Bytes that are not UTF-8 are read as U+FFFD; a line of more than LONGEST_LINE bytes is answered by a mark. A
    byte-order mark before the first line is left out.
    """
    show, number, open_end = show or Show(), before, False
    for some in _arriving(lines, LINES_AT_A_TIME if watch is None else 1):
        if not number:
            some[0] = some[0].removeprefix(MARK)
        texts = [line.rstrip(b"\r\n").decode("utf-8", "replace") for line in some if _fits(line)]
        if watch is not None and texts:
            watch(texts[0])
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


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file of lines, unpacked if its name ends with .gz; UserError where that is damaged."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            yield cast(BinaryIO, lines)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}: damaged gzip file ({error}); fetch or compress it again") from None


def _fits(line: bytes) -> bool:
    return len(line.removesuffix(b"\n")) <= LONGEST_LINE


def _arriving(lines: Readable, most: int) -> Iterator[list[bytes]]:
    """Lines in groups of those that are there already, so that a slow writer is answered line by line."""
    rest = b""
    while block := getattr(lines, "read1", lines.read)(1 << 16):
        found = (rest + block).split(b"\n")
        rest = found.pop()[: LONGEST_LINE + 1]  # enough to know that a line without an end is too long
        complete = [line + b"\n" for line in found]
        for first in range(0, len(complete), most):
            yield complete[first : first + most]
    if rest:
        yield [rest]
