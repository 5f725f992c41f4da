"""Translation line by line, as lines come: as many lines out as in, in order, whatever bytes they hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from ...decode.options import Options
from ..streams import LINES_AT_A_TIME, LONGEST_LINE, MARK, Readable, arriving, fits
from .answers import Answer
from .shown import Show
from .translator import Translator


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
    for some in arriving(lines, LINES_AT_A_TIME if watch is None else 1):
        if not number:
            some[0] = some[0].removeprefix(MARK)
        texts = [line.rstrip(b"\r\n").decode("utf-8", "replace") for line in some if fits(line)]
        if watch is not None and texts:
            watch(texts[0])
        answers = iter(translator.answer(texts, tag, options, **(asked or {})))
        sources = iter(texts)
        for line in some:
            number += 1
            if fits(line):
                written = show.lines(translator, number, next(sources), next(answers))
            else:
                mark = f"[not translated: the line is longer than {LONGEST_LINE} bytes]"
                written = show.lines(translator, number, "", Answer(mark))
            open_end = not line.endswith(b"\n")
            out.write("\n".join(written).encode("utf-8") + (b"" if open_end else b"\n"))
        out.flush()
    return open_end
