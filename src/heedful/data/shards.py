"""Token shards: the examples of a corpus as token ids on disk, built once, checked by hash, read through memory maps.

A folder holds for each stream (say "source") `source.tokens`, the ids of all examples end to end, and `source.offsets`,
where each example begins. With subword sampling it holds `source.words` instead (which words the examples are made of)
and a table with the segmentations of every word. manifest.json has the size and hash of each file. The folder appears
by one rename, so it is there whole or not at all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from ..errors import UserError
from ..text.draws import below, draws
from ..text.placeholders import Marked, encode_many, words
from ..text.ragged import spans, sums
from ..text.segmentations import Sampler
from ..text.tokenizer import Tokenizer

Ids = npt.NDArray[np.int64]

FORMAT = 1
# Examples, or words of a table, handled at a time: bounds the memory of building and of `lengths`.
CHUNK = 4096
SAMPLED = ("offsets", "words", "table.tokens", "table.offsets")

# Of a numbered example the texts to encode, one for each tokenizer (`placing.Placing`).
Placing = Callable[[int, Sequence[str]], Sequence[str | Marked]]


class Sampling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Subword sampling: `count` segmentations a word, each merge left out with `probability`, drawn by `seed`."""

    probability: float
    count: int = 16
    seed: int = 1


class Counts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of the examples: read = kept + empty (a side without text) + long (a side of too many tokens)."""

    read: int
    kept: int
    empty: int
    long: int


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: int
    dtype: str
    xxh3_128: str


class _Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    key: str
    streams: tuple[str, ...]
    longest: int
    sampling: Sampling | None
    counts: Counts
    files: dict[str, _File]


class Shards:
    """The examples 0 ... len(shards) - 1 of a folder that `build_shards` wrote, as token ids without start or end."""

    def __init__(self, folder: Path, manifest: _Manifest) -> None:
        self.folder, self._manifest = folder, manifest
        self._arrays = {name: _mapped(folder / name, file) for name, file in manifest.files.items()}

    @classmethod
    def open(cls, folder: str | Path, key: str | None = None) -> Shards:
        """The shards in a folder, every byte verified; UserError if they are missing, damaged or of another key."""
        folder = Path(folder)
        manifest = _read_manifest(folder)
        if key is not None and manifest.key != key:
            raise UserError(f"{folder}: the shards were built from other data or settings; delete the folder")
        for name, file in manifest.files.items():
            if _hash_file(folder / name, file.size) != file.xxh3_128:
                raise UserError(f"{folder / name}: damaged (its hash differs from manifest.json); delete {folder}")
        return cls(folder, manifest)

    @classmethod
    def reuse(cls, folder: str | Path, key: str) -> Shards | None:
        """The shards if they are there, undamaged and of this key (see `key_of`); None says: build them."""
        try:
            return cls.open(folder, key)
        except UserError:
            return None

    def __len__(self) -> int:
        return self._manifest.counts.kept

    @property
    def counts(self) -> Counts:
        """How many examples were read, kept and left out."""
        return self._manifest.counts

    @property
    def streams(self) -> tuple[str, ...]:
        """The names of the streams."""
        return self._manifest.streams

    def lengths(self, stream: str, epoch: int | None = None) -> Ids:
        """The number of tokens of every example in an epoch, int64 [examples]; epoch None: without sampling."""
        offsets = self._arrays[f"{stream}.offsets"]
        if self._manifest.sampling is None:
            return np.diff(offsets)
        return np.concatenate(
            [
                self._segments(stream, np.arange(first, min(first + CHUNK, len(self))), epoch)[1]
                for first in range(0, len(self), CHUNK)
            ]
        )

    def begins(self, stream: str) -> Ids:
        """Where each example begins in `tokens`; without sampling."""
        return self._arrays[f"{stream}.offsets"][:-1]

    def tokens(self, stream: str) -> npt.NDArray[Any]:
        """The ids of all examples end to end; of shards without sampling."""
        return self._arrays[f"{stream}.tokens"]

    def rows(self, stream: str, examples: npt.NDArray[np.integer], epoch: int | None = None) -> tuple[Ids, Ids]:
        """The ids of the examples end to end, int64 [tokens], and their lengths, int64 [rows].

        With sampling each word's segmentation is a pure function of (seed, stream, epoch, example, position of the
        word); where that gives more than `longest` tokens, and for epoch None, the example is segmented as by `encode`.
        """
        if self._manifest.sampling is None:
            offsets = self._arrays[f"{stream}.offsets"]
            starts = offsets[examples]
            lengths = offsets[np.asarray(examples) + 1] - starts
            return self._arrays[f"{stream}.tokens"][spans(starts, lengths)].astype(np.int64), lengths
        segments, lengths = self._segments(stream, np.asarray(examples, np.int64), epoch)
        offsets = self._arrays[f"{stream}.table.offsets"]
        starts = offsets[segments]
        places = spans(starts, offsets[segments + 1] - starts)
        return self._arrays[f"{stream}.table.tokens"][places].astype(np.int64), lengths

    def _segments(self, stream: str, examples: Ids, epoch: int | None) -> tuple[Ids, Ids]:
        """For each word of the examples its row in the table, int64 [words], and the examples' lengths in tokens."""
        sampling = self._manifest.sampling
        assert sampling is not None
        offsets, table = self._arrays[f"{stream}.offsets"], self._arrays[f"{stream}.table.offsets"]
        firsts = offsets[examples]
        words_per_row = offsets[examples + 1] - firsts
        places = spans(firsts, words_per_row)
        # A word's rows in the table: first as `encode` has it, then the sampled ones.
        canonical = self._arrays[f"{stream}.words"][places].astype(np.int64) * (sampling.count + 1)
        if epoch is None:
            return canonical, sums(table[canonical + 1] - table[canonical], words_per_row)
        example, position = np.repeat(examples, words_per_row), places - np.repeat(firsts, words_per_row)
        chance = draws(sampling.seed, self.streams.index(stream), epoch, example, position)
        segments = canonical + 1 + below(chance, sampling.count)
        lengths = sums(table[segments + 1] - table[segments], words_per_row)
        too_long = lengths > self._manifest.longest
        if too_long.any():
            segments = np.where(np.repeat(too_long, words_per_row), canonical, segments)
            lengths = sums(table[segments + 1] - table[segments], words_per_row)
        return segments, lengths


def key_of(files: Iterable[Path], tokenizers: Iterable[Tokenizer], options: Mapping[str, object]) -> str:
    """A hash of everything shards are built from: the files' bytes, the tokenizers and the options."""
    parts = [_hash_file(path) for path in files] + [tokenizer.fingerprint for tokenizer in tokenizers]
    return xxhash.xxh3_128_hexdigest(msgspec.json.encode([FORMAT, parts, dict(options)], order="sorted"))


def build_shards(
    folder: str | Path,
    examples: Iterable[Sequence[str]],
    tokenizers: Mapping[str, Tokenizer],
    *,
    key: str = "",
    longest: int = 256,
    sampling: Sampling | None = None,
    placing: Placing | None = None,
    left_out: Callable[[str, Any], None] | None = None,
) -> Shards:
    """Encode examples, one text for each of `tokenizers` in its order, and publish them in `folder`.

    A text beyond those is left alone (a `Pair` says where it is from). `placing` makes other texts of each example,
    which has a number. An example is left out and counted if a side has no text or more than `longest` tokens;
    `left_out` is then called with "empty" or "long" and the example. Memory does not grow with the corpus, but for its
    distinct words when sampling. What was in `folder` is replaced. UserError if nothing is left or the disk is full.
    """
    folder = Path(folder).absolute()
    partial = folder.with_name(f".tmp-{folder.name}-{os.getpid()}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for left in folder.parent.iterdir():  # by a process that was killed
            if left.name.startswith((f".tmp-{folder.name}-", f".old-{folder.name}-")):
                shutil.rmtree(left)
        partial.mkdir()
        writers = [_Writer(partial, name, tokenizer, sampling) for name, tokenizer in tokenizers.items()]
        try:
            counts = _encode(examples, writers, longest, placing, left_out or (lambda why, example: None))
            if not counts.kept:
                raise UserError(
                    f"no example is left of {counts.read} read: {counts.empty} have a side without text, {counts.long} "
                    f"have more than data.longest = {longest} tokens"
                )
            files = {name: file for writer in writers for name, file in writer.finish().items()}
        finally:
            for writer in writers:
                writer.close()
        manifest = _Manifest(FORMAT, key, tuple(tokenizers), longest, sampling, counts, files)
        with (partial / "manifest.json").open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        _publish(partial, folder)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written: {error.strerror or error}; free some space or choose another folder"
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Shards(folder, manifest)


def _has_text(text: str | Marked) -> bool:
    return bool(text.strip() if isinstance(text, str) else text.numbers)


def _encode(
    examples: Iterable[Sequence[Any]],
    writers: list[_Writer],
    longest: int,
    placing: Placing | None,
    left_out: Callable[[str, Any], None],
) -> Counts:
    read = kept = empty = long = 0
    iterator = iter(examples)
    while chunk := list(islice(iterator, CHUNK)):
        full = []
        for number, example in enumerate(chunk, read):
            texts = example if placing is None else placing(number, example)
            if all(_has_text(texts[side]) for side in range(len(writers))):
                full.append((texts, example))
            else:
                left_out("empty", example)
        sides = [writer.encode([texts[side] for texts, _ in full]) for side, writer in enumerate(writers)]
        fits = [all(row.tokens <= longest for row in rows) for rows in zip(*sides, strict=True)]
        for writer, side in zip(writers, sides, strict=True):
            writer.append([row.items for row, good in zip(side, fits, strict=True) if good])
        for (_, example), good in zip(full, fits, strict=True):
            if not good:
                left_out("long", example)
        read += len(chunk)
        empty += len(chunk) - len(full)
        kept += sum(fits)
        long += len(full) - sum(fits)
    return Counts(read=read, kept=kept, empty=empty, long=long)


class _Row(NamedTuple):
    items: list[int]  # token ids, or with sampling the numbers of words
    tokens: int


class _Writer:
    """The files of one stream while they grow."""

    def __init__(self, folder: Path, name: str, tokenizer: Tokenizer, sampling: Sampling | None) -> None:
        self.tokenizer, self.name = tokenizer, name
        ids = np.dtype(np.uint16 if tokenizer.vocab_size <= 2**16 else np.uint32)
        self.last: dict[str, int] = {}  # the last number of each column of offsets
        self.columns = {"offsets": _Column(folder / f"{name}.offsets", np.dtype(np.int64))}
        self.columns["offsets"].append([0])
        self.sampler: Sampler | None = None
        if sampling is None:
            self.columns["tokens"] = _Column(folder / f"{name}.tokens", ids)
            return
        self.sampler = Sampler(tokenizer, sampling.count, sampling.probability, sampling.seed)
        self.words: dict[str, int] = {}
        self.sizes: list[int] = []  # tokens of each word without sampling
        self.columns["words"] = _Column(folder / f"{name}.words", np.dtype(np.uint32))
        self.columns["table.tokens"] = _Column(folder / f"{name}.table.tokens", ids)
        self.columns["table.offsets"] = _Column(folder / f"{name}.table.offsets", np.dtype(np.int64))
        self.columns["table.offsets"].append([0])

    def encode(self, texts: list[str | Marked]) -> list[_Row]:
        if self.sampler is None:
            return [_Row(ids, len(ids)) for ids in encode_many(self.tokenizer, texts)]
        lines = [words(self.tokenizer, text) for text in texts]
        new = sorted({word for line in lines for word in line if word not in self.words})
        for first in range(0, len(new), CHUNK):
            self._add_words(new[first : first + CHUNK])
        numbers = [[self.words[word] for word in line] for line in lines]
        return [_Row(line, sum(self.sizes[word] for word in line)) for line in numbers]

    def append(self, rows: list[list[int]]) -> None:
        self.columns["tokens" if self.sampler is None else "words"].append([item for row in rows for item in row])
        self._append_ends("offsets", np.array([len(row) for row in rows], np.int64))

    def finish(self) -> dict[str, _File]:
        """Everything on the disk for good, and what the manifest says about it."""
        return {f"{self.name}.{suffix}": column.finish() for suffix, column in self.columns.items()}

    def close(self) -> None:
        for column in self.columns.values():
            column.file.close()

    def _add_words(self, new: list[str]) -> None:
        assert self.sampler is not None
        table = self.sampler.sample(new)
        sizes = np.diff(table.offsets)
        self.columns["table.tokens"].append(table.tokens)
        self._append_ends("table.offsets", sizes)
        self.sizes += sizes[:: table.count + 1].tolist()
        self.words.update(zip(new, range(len(self.words), len(self.words) + len(new)), strict=True))

    def _append_ends(self, column: str, sizes: Ids) -> None:
        ends = self.last.get(column, 0) + np.cumsum(sizes)
        self.columns[column].append(ends)
        self.last[column] = int(ends[-1]) if len(ends) else self.last.get(column, 0)


class _Column:
    """A file of numbers that grows, hashed on the way."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self.dtype, self.size, self.hash = dtype.newbyteorder("<"), 0, xxhash.xxh3_128()
        self.file = path.open("wb")

    def append(self, numbers: npt.ArrayLike) -> None:
        content = np.asarray(numbers, self.dtype).tobytes()
        self.file.write(content)
        self.hash.update(content)
        self.size += len(content)

    def finish(self) -> _File:
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        return _File(self.size, self.dtype.str, self.hash.hexdigest())


def _publish(partial: Path, folder: Path) -> None:
    _sync(partial)
    old = folder.with_name(f".old-{folder.name}-{os.getpid()}")
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    _sync(folder.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_manifest(folder: Path) -> _Manifest:
    path = folder / "manifest.json"
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=_Manifest)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; prepare the data again") from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise UserError(f"{path}: damaged ({error}); delete {folder} and prepare the data again") from None
    suffixes = ("offsets", "tokens") if manifest.sampling is None else SAMPLED
    names = {f"{stream}.{suffix}" for stream in manifest.streams for suffix in suffixes}
    if manifest.format != FORMAT or names != set(manifest.files) or manifest.counts.kept < 1:
        raise UserError(f"{path}: of another format than {FORMAT}; delete {folder} and prepare the data again")
    return manifest


def _hash_file(path: Path, size: int | None = None) -> str:
    """The xxh3-128 of a file; with a size that it must have, a larger file is not read to its end."""
    digest = xxhash.xxh3_128()
    try:
        with path.open("rb") as file:
            if size is not None and os.fstat(file.fileno()).st_size != size:
                return "another size"
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    return digest.hexdigest()


def _mapped(path: Path, file: _File) -> npt.NDArray[Any]:
    # A plain array on the map: indexing a np.memmap costs several times more.
    return np.asarray(np.memmap(path, dtype=np.dtype(file.dtype), mode="r"))
