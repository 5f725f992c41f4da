"""Translation line by line, as lines come: as many lines out as in, in order, whatever bytes they hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from ...decode.sampling import Sampling
from ...errors import UserError
from .translator import Translator

LONGEST_LINE = 65_536  # bytes; a longer line is not a sentence, and would hold up all the others
LINES_AT_A_TIME = 512


def translate_stream(translator: Translator, lines: BinaryIO, out: BinaryIO, options: Mapping[str, Any]) -> None:
    """Translate line by line, as lines come: as many lines out as in, in order, whatever bytes they hold.

    Bytes that are not UTF-8 are read as U+FFFD; a line of more than LONGEST_LINE bytes is answered by a mark. `options`
    are fields of `decode.Options` and of `decode.Sampling`, `sample` to turn sampling on, and `tag`.
    """
    chosen = dict(options)
    tag = chosen.pop("tag", None)
    sampling = {key: chosen.pop(key) for key in ("temperature", "top_k", "top_p", "seed") if key in chosen}
    if chosen.pop("sample", False):
        chosen["sampling"] = Sampling(**sampling)
    elif sampling:
        raise UserError(f"only sampling has {', '.join(sampling)}: add --sample")
    translator.encode("", tag)  # a wrong tag is told before any work
    decoding = translator.options(**chosen)
    for some in _arriving(lines):
        short = [line for line in some if _fits(line)]
        texts = [line.rstrip(b"\r\n").decode("utf-8", "replace") for line in short]
        answers = iter(translator.translate(texts, tag, decoding))
        for line in some:
            answer = next(answers) if _fits(line) else f"[not translated: the line is longer than {LONGEST_LINE} bytes]"
            out.write(" ".join(answer.split("\n")).encode("utf-8") + (b"\n" if line.endswith(b"\n") else b""))
        out.flush()


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
