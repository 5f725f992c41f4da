"""The directory of a zip archive whose entries are stored as they are, checked so far that its bytes can be mapped.

Stricter than zip is: no compression, no encryption, no comment, nothing behind the directory, no entry over another,
and every entry's own header says what the directory says. So the entries together are no larger than the file, and who
trusts the headers sees what those see who trust the directory. (APPNOTE.TXT of PKWARE, 4.3.7 to 4.3.16 and 4.5.3.)
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError
from typing import BinaryIO, NamedTuple

from .opcodes import LONGEST_NAME, MOST_TENSORS, is_name

MOST_ENTRIES = MOST_TENSORS + 1000

_LOCAL, _CENTRAL = Struct("<4s5H3L2H"), Struct("<4s6H3L5H2L")
_END, _END64, _LOCATOR = Struct("<4s4H2LH"), Struct("<4sQ2H2L4Q"), Struct("<4sLQL")
_DESCRIBED, _UTF8 = 0x8, 0x800  # the two flags that are known: sizes follow the data; the name is UTF-8
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF  # "see the 64-bit field"


class Malformed(Exception):
    """What is wrong with an archive."""


class Entry(NamedTuple):
    """The bytes of an entry in the file. `crc` is 0 where torch was told to write none."""

    begin: int
    size: int
    crc: int


class _Listed(NamedTuple):
    name: bytes
    flags: int
    crc: int
    size: int
    header: int  # where its own header is


def entries(file: BinaryIO, size: int) -> dict[str, Entry]:
    """All entries by name; Malformed if the archive is damaged, compressed or built to deceive."""
    try:
        begin, length, count = _directory(file, size)
        if count > MOST_ENTRIES or length > MOST_ENTRIES * (_CENTRAL.size + LONGEST_NAME):
            raise Malformed(f"has {count:,} entries; at most {MOST_ENTRIES:,} are read")
        listed = list(_listed(_read(file, begin, length), count))
        found = {_name(one.name): _located(file, one) for one in listed}
    except StructError:
        raise Malformed("is cut off or damaged") from None
    if len(found) < len(listed):
        raise Malformed("has two entries of one name")
    spans = sorted((one.header, entry.begin + entry.size) for one, entry in zip(listed, found.values(), strict=True))
    for (_, end), (after, _) in zip(spans, [*spans[1:], (begin, begin)], strict=True):
        if end > after:
            raise Malformed("has entries that lie one over the other")
    return found


def _read(file: BinaryIO, begin: int, length: int) -> bytes:
    if not 0 <= begin < 2**63:
        raise Malformed("is cut off or damaged")
    file.seek(begin)
    return file.read(length)


def _directory(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Where the directory begins, its bytes and how many entries it has."""
    at = size - _END.size
    mark, disk, first, here, count, length, begin, comment = _END.unpack(_read(file, at, _END.size))
    if mark != b"PK\5\6" or comment or disk or first or here != count:
        raise Malformed("does not end as an archive does, so it is cut off or has something appended")
    locator = _read(file, at - _LOCATOR.size, _LOCATOR.size) if at >= _LOCATOR.size else b""
    if locator[:4] == b"PK\6\7":
        at -= _LOCATOR.size + _END64.size
        narrow = ((count, _FULL16), (length, _FULL32), (begin, _FULL32))
        mark, rest, _, _, disk, first, here, *wide = _END64.unpack(_read(file, at, _END64.size))
        if mark != b"PK\6\6" or rest != _END64.size - 12 or disk or first or here != wide[0]:
            raise Malformed("is damaged at its end")
        if any(value not in (real, full) for (value, full), real in zip(narrow, wide, strict=True)):
            raise Malformed("says two things about its directory")
        count, length, begin = wide
    if begin + length != at:
        raise Malformed("has something before or after its directory")
    return begin, length, count


def _listed(directory: bytes, count: int) -> list[_Listed]:
    at, listed = 0, []
    for _ in range(count):
        fields = _CENTRAL.unpack_from(directory, at)
        mark, _, _, flags, method, _, _, crc, packed, size, name, extra, comment, disk, _, _, header = fields
        at += _CENTRAL.size
        called, more = directory[at : at + name], directory[at + name : at + name + extra]
        at += name + extra + comment
        if mark != b"PK\1\2" or disk or at > len(directory):
            raise Malformed("is damaged in its directory")
        size, packed, header = _widened(more, size, packed, header)
        if method or packed != size:
            raise Malformed("is compressed, which no checkpoint is; save it again with torch.save")
        if flags & ~(_DESCRIBED | _UTF8):
            raise Malformed("is encrypted, or of a kind that is not read")
        listed.append(_Listed(called, flags, crc, size, header))
    if at != len(directory):
        raise Malformed("is damaged in its directory")
    return listed


def _widened(extra: bytes, *narrow: int) -> list[int]:
    """The numbers, those that do not fit into 32 bits from the 64-bit field (id 1), where they stand in this order."""
    at, wide = 0, b""
    while at + 4 <= len(extra):
        kind, length = Struct("<2H").unpack_from(extra, at)
        if kind == 1:
            wide = extra[at + 4 : at + 4 + length]
        at += 4 + length
    given = [value == _FULL32 for value in narrow]
    numbers = iter(Struct(f"<{sum(given)}Q").unpack_from(wide)) if any(given) else iter(())
    return [next(numbers) if full else value for value, full in zip(narrow, given, strict=True)]


def _located(file: BinaryIO, listed: _Listed) -> Entry:
    head = _read(file, listed.header, _LOCAL.size + len(listed.name))
    mark, _, flags, method, _, _, crc, packed, size, name, extra = _LOCAL.unpack_from(head)
    same = (mark, method, flags, name, head[_LOCAL.size :]) == (
        b"PK\3\4",
        0,
        listed.flags,
        len(listed.name),
        listed.name,
    )
    begin = listed.header + len(head) + extra
    size, packed = _widened(_read(file, begin - extra, extra), size, packed)
    told = ((crc, listed.crc), (size, listed.size), (packed, listed.size))
    # What follows the data may be 0 in front of it.
    if not same or any(value != wanted and (value or not flags & _DESCRIBED) for value, wanted in told):
        raise Malformed(f"says two things about its entry {_name(listed.name)!r}")
    return Entry(begin, listed.size, listed.crc)


def _name(raw: bytes) -> str:
    """A name that is a path inside the archive, of visible letters."""
    name = raw.decode("utf-8", "replace")
    inside = not name.startswith("/") and "\\" not in name and ".." not in name.split("/")
    if not inside or "\ufffd" in name or not is_name(name):
        raise Malformed(f"has an entry with a name that is none: {name[:60]!a}")
    return name
