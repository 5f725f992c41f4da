"""What all formats share: the decoded file, its units, and writing translations with every other byte as it was.

Nothing is parsed and written anew. A reader notes which characters of the file a translation replaces, and writing
splices. Decoding is reversible (that is checked), so that what is not replaced comes out as the same bytes.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ...errors import UserError

LARGEST = 256 * 2**20  # bytes; a document is held in memory, several times over
REPLACEMENT = "\ufffd"
_SURROGATES = re.compile("[\ud800-\udfff]")
_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),  # before UTF-16, whose mark it begins with
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)


class Passage(NamedTuple):
    """Text as people read it, with inline markup left in it literally at `protected`: spans [start, end)."""

    text: str
    protected: tuple[tuple[int, int], ...] = ()

    @property
    def markup(self) -> list[str]:
        """The protected pieces, in order."""
        return [self.text[start:end] for start, end in self.protected]

    @property
    def plain(self) -> str:
        """The text without its markup."""
        ends = [0, *(end for _, end in self.protected)]
        starts = [*(start for start, _ in self.protected), len(self.text)]
        return "".join(self.text[end:start] for end, start in zip(ends, starts, strict=True))


class Unit(NamedTuple):
    """One thing to translate: `text`, whose `protected` spans [start, end) must come back unchanged in a translation.

    `translated` says that the file has a translation and the unit is not to be filled; `translation` is what it has.
    `form` is the plural form in PO: 0 comes from the singular, the others from the plural.
    """

    text: str
    protected: tuple[tuple[int, int], ...]
    translated: bool
    where: str
    translation: Passage = Passage("")
    form: int | None = None


class Options(NamedTuple):
    """What `open_document` was asked for, besides the file."""

    source_language: str | None = None
    target_language: str | None = None
    drafts: bool = False


class Splice(NamedTuple):
    """Characters [start, end) of the file that change if any of `units` gets a translation.

    `render` gives what is put there; it gets the translations of all `units`, "" for those without.
    """

    start: int
    end: int
    units: range
    render: Callable[..., str]


def one(unit: int) -> range:
    """The `units` of a splice that only one has a say in."""
    return range(unit, unit + 1)


class Original:
    """The file as it is: its text, and how to get its bytes back."""

    def __init__(self, path: Path, text: str, charset: str, mark: bytes = b"", errors: str = "strict") -> None:
        self.path, self.text, self.charset, self.mark, self.errors = path, text, charset, mark, errors
        first = text.find("\n")
        self.newline = "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"
        self._seen = (0, 1)

    def line(self, offset: int) -> int:
        """The line of a character, from 1; cheap when asked in the order of the file."""
        last, line = self._seen
        count = self.text.count
        line += count("\n", last, offset) if offset >= last else -count("\n", offset, last)
        self._seen = (offset, line)
        return line

    def where(self, offset: int) -> str:
        """ "file:line" of a character."""
        return f"{self.path}:{self.line(offset)}"

    def error(self, offset: int, message: str) -> UserError:
        """The mistake at a character, to be raised."""
        return UserError(f"{self.where(offset)}: {message}")

    def encode(self, text: str) -> bytes:
        """The bytes of the file, were this its text."""
        return self.mark + text.encode(self.charset, self.errors)


class Document:
    """A file to translate: `units` in the order of the file, and `write`."""

    def __init__(self, original: Original, units: list[Unit], splices: list[Splice]) -> None:
        self.units = units
        self._original = original
        self._splices = sorted(splices, key=lambda splice: splice.start)

    def write(self, translations: Mapping[int, str]) -> bytes:
        """The file with translations (number of the unit: text) filled in; blank ones are left out.

        What the format cannot hold is made to fit: characters that XML or Unicode forbids become U+FFFD. A unit that
        is translated already is not filled: ValueError, as for a number that is none.
        """
        for number in translations:
            if not 0 <= number < len(self.units) or self.units[number].translated:
                raise ValueError(f"{self._original.path}: there is no unit {number} to fill")
        chosen = {n: _SURROGATES.sub(REPLACEMENT, text) for n, text in translations.items() if text.strip()}
        pieces, done = [], 0
        for start, end, units, render in self._splices:
            texts = [chosen.get(unit, "") for unit in units]
            if any(texts):
                pieces += [self._original.text[done:start], render(*texts)]
                done = end
        return self._original.encode("".join([*pieces, self._original.text[done:]]))


def load(path: Path) -> bytes:
    """The bytes of a file, unpacked if it is .gz; UserError if it cannot be read or is larger than LARGEST."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}:1: damaged gzip file ({error}); fetch or compress it again") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}:1: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return content


def marked(path: Path, content: bytes) -> tuple[bytes, str | None]:
    """The byte-order mark of a file and the encoding it tells; an empty mark and None without one."""
    for mark, charset in _MARKS:
        if content.startswith(mark):
            if charset == "utf-32":
                raise UserError(f"{path}:1: the file is UTF-32; convert it to UTF-8, for example with iconv -t utf-8")
            return mark, charset
    return b"", None


def decode(path: Path, content: bytes, charset: str, mark: bytes = b"", errors: str = "strict") -> Original:
    """The file in a known encoding; `errors` says how characters outside the encoding are written (see str.encode)."""
    if len(content) > LARGEST:
        raise UserError(f"{path}:1: larger than {LARGEST >> 20} MiB; split the file")
    body = content[len(mark) :]
    try:
        text = body.decode(charset)
    except UnicodeDecodeError as error:
        line = body[: error.start].decode(charset, "replace").count("\n") + 1
        raise UserError(
            f"{path}:{line}: not {charset.upper()}: byte 0x{body[error.start]:02x} ({error.reason}); "
            "convert the file to UTF-8, for example with iconv -t utf-8"
        ) from None
    original = Original(path, text, charset, mark, errors)
    try:
        kept = text.encode(charset) == body
    except UnicodeEncodeError:
        kept = False
    if not kept:
        raise UserError(f"{path}:1: {charset.upper()} does not give the same bytes back; convert the file to UTF-8")
    return original


def related(one: str, other: str) -> bool:
    """Whether two tags are one language, one of them perhaps with a region: "en", "en-US"; not "en-GB", "en-US"."""
    one, other = (tag.replace("_", "-").casefold() + "-" for tag in (one, other))
    return one.startswith(other) or other.startswith(one)


def nearest(wanted: str, tags: Sequence[str]) -> str | None:
    """The tag that is the wanted language: the same one first, else the first related one."""
    return min(
        (tag for tag in tags if related(wanted, tag)), key=lambda tag: tag.casefold() != wanted.casefold(), default=None
    )
