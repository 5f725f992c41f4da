"""Lines as they come, from standard input or files, each answered by a line; whatever bytes they hold."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from ..errors import UserError

LONGEST_LINE = 65_536  # bytes; a longer line is not a sentence, and would hold up all the others
LINES_AT_A_TIME = 512
MARK = b"\xef\xbb\xbf"  # of the byte order, which some editors put at the start of a text


class Readable(Protocol):
    """What lines come from; `read1`, where there is one, gives what is there already."""

    def read(self, size: int = -1, /) -> bytes: ...


def answer_lines(
    lines: Readable, out: BinaryIO, answer: Callable[[Sequence[str]], Sequence[str]], name: str = "standard input"
) -> bool:
    """Write what `answer` says to the lines of a stream, a line for each; the last has an end only if it had one, and
    whether it had none is returned.

    Bytes that are not UTF-8 are read as U+FFFD. UserError for a line of more than LONGEST_LINE bytes, after the lines
    before it are answered.
    """
    number, open_end = 0, False
    for some in arriving(lines, LINES_AT_A_TIME):
        if not number:
            some[0] = some[0].removeprefix(MARK)
        open_end = not some[-1].endswith(b"\n")
        good = next((place for place, line in enumerate(some) if not fits(line)), len(some))
        texts = [line.rstrip(b"\r\n").decode("utf-8", "replace") for line in some[:good]]
        for line, said in zip(some, answer(texts) if texts else (), strict=False):
            out.write(said.encode("utf-8", "replace") + b"\n" * line.endswith(b"\n"))
        out.flush()
        number += good
        if good < len(some):
            raise UserError(f"{name}:{number + 1}: the line is longer than {LONGEST_LINE} bytes; cut it into several")
    return open_end


def answer_files(files: Sequence[Path], out: BinaryIO, answer: Callable[[Sequence[str]], Sequence[str]]) -> None:
    """`answer_lines` for files one after another; each begins on a line of its own."""
    open_end = False
    for path in files:
        out.write(b"\n" if open_end else b"")
        with opened(path) as lines:
            open_end = answer_lines(lines, out, answer, str(path))


def require(path: Path) -> None:
    """UserError for a file that cannot be opened."""
    try:
        path.open("rb").close()
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be opened: {getattr(error, 'strerror', None) or error}") from None


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file of lines, unpacked if its name ends with .gz; UserError where that is damaged."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            yield cast(BinaryIO, lines)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}: damaged gzip file ({error}); fetch or compress it again") from None


def fits(line: bytes) -> bool:
    """Whether a line, with or without its end, is not too long."""
    return len(line.removesuffix(b"\n")) <= LONGEST_LINE


def arriving(lines: Readable, most: int) -> Iterator[list[bytes]]:
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
