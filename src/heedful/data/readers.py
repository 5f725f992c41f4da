"""Sentence pairs from files: two parallel texts, TSV or JSONL, each plain or .gz; every error says file:line.

A line ends at "\\n" and nowhere else (U+2028, form feed and the like are text); one "\\r" before it is dropped, as is a
byte-order mark at the start of a file. Files are read line by line, never whole.
"""

from __future__ import annotations

import gzip
import itertools
import os
import stat
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from ..errors import UserError
from . import documents

# A longer line is not a sentence but a wrong file; reading it would fill the memory.
LONGEST_LINE = 16 * 2**20
PUBLIC_SETS = {
    "multi30k": "the files of data/task1/raw in the repository multi30k/dataset, unpacked",
    "tatoeba": "English-German pairs of Tatoeba (ManyThings offers them), in two files of two columns",
    "libreoffice-help": "the paragraphs of LibreOffice's help in both languages, in two files of two columns",
}


class Pair(NamedTuple):
    """A source sentence and its target, either of which may be empty, and the "file:line" they come from."""

    source: str
    target: str
    where: str


class Files(Protocol):
    """Where pairs are, as in `config.Data`."""

    @property
    def source(self) -> Sequence[str]: ...
    @property
    def target(self) -> Sequence[str]: ...
    @property
    def pairs(self) -> Sequence[str]: ...
    @property
    def dev_source(self) -> Sequence[str]: ...
    @property
    def dev_target(self) -> Sequence[str]: ...
    @property
    def dev_pairs(self) -> Sequence[str]: ...
    @property
    def columns(self) -> tuple[int, int] | None: ...


def read_pairs(data: Files, root: Path | None = None, dev: bool = False) -> Iterator[Pair]:
    """All training (or dev) pairs in the order of the files: first the parallel texts, then TSV and JSONL.

    UserError for a missing or unreadable file, bad UTF-8, a malformed row, or parallel texts of unequal length.
    """
    sources, targets, tables = (
        (data.dev_source, data.dev_target, data.dev_pairs) if dev else (data.source, data.target, data.pairs)
    )
    prefix = "data.dev_" if dev else "data."
    if len(sources) != len(targets):
        raise UserError(
            f"{prefix}source names {len(sources)} file(s) and {prefix}target {len(targets)}; they go together"
        )
    parallel = [(resolve(source, root), resolve(target, root)) for source, target in zip(sources, targets, strict=True)]
    others = [resolve(table, root) for table in tables]
    readers = [FORMATS[_format(table)] for table in others]  # a wrong suffix is told before hours of reading
    for source, target in parallel:
        yield from read_parallel(source, target)
    for table, reader in zip(others, readers, strict=True):
        yield from read_tsv(table, data.columns) if reader is read_tsv else reader(table)


def paths(data: Files, root: Path | None = None, dev: bool = False) -> list[Path]:
    """The files that `read_pairs` reads, for `shards.key_of`."""
    parts = (data.dev_source, data.dev_target, data.dev_pairs) if dev else (data.source, data.target, data.pairs)
    return [resolve(name, root) for part in parts for name in part]


def resolve(path: str | Path, root: Path | None = None) -> Path:
    """The file itself, else the one under the data root (`root`, or the environment's HEEDFUL_DATA)."""
    if root is None and os.environ.get("HEEDFUL_DATA"):
        root = Path(os.environ["HEEDFUL_DATA"])
    places = [Path(path)] if root is None else [Path(path), root / path]
    for place in places:
        try:
            mode = place.stat().st_mode
        except (OSError, ValueError):
            continue
        if not stat.S_ISREG(mode):
            raise UserError(f"{place}: not a regular file; data are read more than once, so write them to a file first")
        return place
    known = next((what for name, what in PUBLIC_SETS.items() if name in str(path).lower()), None)
    advice = f"get {known}, and put them" if known else "put it"
    under = "there, or give their folder with --data DIR" if root is None else f"under {root}"
    raise UserError(f"{path}: no such file (looked at {' and '.join(map(str, places))}); {advice} {under}")


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a text file, plain or .gz."""
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            # LONGEST_LINE is enforced by asking for one byte more.
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                yield _text(line, path, number)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}:{number + 1}: damaged gzip file ({error}); fetch or compress it again") from None
    except OSError as error:
        raise UserError(f"{path}:{number + 1}: cannot be read: {error.strerror or error}") from None


def read_parallel(source: Path, target: Path) -> Iterator[Pair]:
    """Line n of `source` with line n of `target`; UserError naming both counts if one file is longer."""
    end = object()
    sources, targets = read_lines(source), read_lines(target)
    for number, (one, other) in enumerate(itertools.zip_longest(sources, targets, fillvalue=end), 1):
        if one is end or other is end:
            rest = sum(1 for _ in (targets if one is end else sources))
            short, long = (source, target) if one is end else (target, source)
            raise UserError(
                f"{short}:{number}: the file ends after {number - 1} lines, but {long} has {number + rest}; "
                "parallel texts need one line for each line of the other"
            )
        yield Pair(str(one), str(other), f"{source}:{number}")


def read_tsv(path: Path, columns: tuple[int, int] | None = None) -> Iterator[Pair]:
    """Columns with one tab between, of which two are taken, counted from 1; not said, there must be just two.

    There is no quoting: quotes and backslashes are text.
    """
    source, target = columns or (1, 2)
    for number, line in enumerate(read_lines(path), 1):
        texts = line.split("\t")
        if columns is None and len(texts) != 2:
            remedy = (
                "say which to take: --set data.columns=[1,2], or --columns 1 2"
                if len(texts) > 2
                else "is it separated by tabs?"
            )
            raise UserError(f"{path}:{number}: {len(texts)} columns where 2 are needed (source, tab, target); {remedy}")
        if len(texts) < max(source, target):
            raise UserError(f"{path}:{number}: {len(texts)} columns, but data.columns asks for {max(source, target)}")
        yield Pair(texts[source - 1], texts[target - 1], f"{path}:{number}")


class _Record(msgspec.Struct):
    source: str
    target: str


def read_jsonl(path: Path) -> Iterator[Pair]:
    """One object with the texts "source" and "target" a line; other keys are left alone."""
    decoder = msgspec.json.Decoder(_Record)
    for number, line in enumerate(read_lines(path), 1):
        try:
            record = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            reason = "the line is empty" if not line.strip() else str(error)
            raise UserError(
                f'{path}:{number}: {reason}; each line must be an object like {{"source": "...", "target": "..."}}'
            ) from None
        yield Pair(record.source, record.target, f"{path}:{number}")


def read_memory(path: Path) -> Iterator[Pair]:
    """The finished translations of a PO, TMX or XLIFF file, as plain text."""
    return (Pair(*found) for found in documents.read_document_pairs(path))


FORMATS = {".tsv": read_tsv, ".jsonl": read_jsonl, **dict.fromkeys(documents.PAIR_FORMATS, read_memory)}


def _format(path: Path) -> str:
    suffix = Path(path.name.removesuffix(".gz")).suffix
    if suffix not in FORMATS:
        raise UserError(
            f"{path}: data.pairs cannot be read by the suffix {suffix!r}; name it {', '.join(FORMATS)} (or .gz)"
        )
    return suffix


def _text(line: bytes, path: Path, number: int) -> str:
    if len(line) > LONGEST_LINE:
        raise UserError(
            f"{path}:{number}: the line is longer than {LONGEST_LINE >> 20} MiB; is it text, one sentence a line?"
        )
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    if number == 1:
        line = line.removeprefix(b"\xef\xbb\xbf")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        utf16 = number == 1 and line[:2] in (b"\xff\xfe", b"\xfe\xff")
        looks = "the file looks like UTF-16" if utf16 else f"byte {error.start + 1} (0x{line[error.start]:02x})"
        raise UserError(f"{path}:{number}: not UTF-8: {looks}; convert it, for example with iconv -t utf-8") from None
