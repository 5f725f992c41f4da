"""Examples with several columns of numbers, rows of unequal length, in one safetensors file; checked by hash.

For data that fit into memory: labelled text, questions, captions. What a corpus of text holds is in `shards`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..errors import UserError
from ..text.ragged import offsets, spans

Ids = npt.NDArray[np.int64]
Numbers = npt.NDArray[Any]


class Table:
    """Columns by name, each with a row for every example. `streams` are those whose lengths make batches."""

    def __init__(self, columns: Mapping[str, tuple[Numbers, Ids]], streams: tuple[str, ...]) -> None:
        self.columns, self.streams = dict(columns), streams

    @classmethod
    def of(cls, streams: tuple[str, ...], rows: Mapping[str, Iterable[npt.ArrayLike]]) -> Table:
        """A table of rows of numbers: whole ones become int64, others float32."""
        columns = {}
        for name, given in rows.items():
            arrays = [np.asarray(row) for row in given]
            full = [array for array in arrays if len(array)]  # an empty list would be of float64
            values = np.concatenate(full) if full else np.zeros(0, np.int64)
            exact = np.float32 if values.dtype.kind == "f" else np.int64
            columns[name] = values.astype(exact), offsets(np.array([len(row) for row in arrays], np.int64))
        return cls(columns, streams)

    def __len__(self) -> int:
        return len(self.columns[self.streams[0]][1]) - 1

    def lengths(self, stream: str, epoch: int | None = None) -> Ids:
        """The length of every row of a column."""
        return np.diff(self.columns[stream][1])

    def rows(self, name: str, examples: Ids) -> tuple[Numbers, Ids]:
        """The values of some examples end to end, and the rows' lengths."""
        values, begins = self.columns[name]
        starts = begins[examples]
        lengths = begins[np.asarray(examples) + 1] - starts
        return values[spans(starts, lengths)], lengths

    def row(self, name: str, example: int) -> Numbers:
        """The values of one example."""
        values, begins = self.columns[name]
        return values[begins[example] : begins[example + 1]]

    def save(self, path: Path, key: str = "") -> None:
        """Write the file, whole or not at all. `key` says what it was made from."""
        arrays = {f"{name}.values": values for name, (values, _) in self.columns.items()}
        arrays |= {f"{name}.offsets": begins for name, (_, begins) in self.columns.items()}
        aside = path.with_name(f".{path.name}.tmp")
        told = {"key": key, "streams": " ".join(self.streams), "hash": _digest(arrays)}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(arrays, aside, told)
            aside.chmod(0o644)
            os.replace(aside, path)
        except OSError as error:
            raise UserError(f"{path}: cannot be written: {error.strerror or error}; free some space") from None

    @classmethod
    def open(cls, path: Path, key: str | None = None) -> Table:
        """What `save` wrote; UserError if it is missing, damaged or of another key."""
        try:
            with safe_open(path, "numpy") as file:
                told, arrays = file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path}: cannot be read: {error}; delete it and prepare the data again") from None
        if told.get("hash") != _digest(arrays):
            raise UserError(f"{path}: damaged (its hash differs); delete it and prepare the data again")
        if key is not None and told.get("key") != key:
            raise UserError(f"{path}: made from other data or settings; delete it")
        names = [name.removesuffix(".values") for name in arrays if name.endswith(".values")]
        columns = {name: (arrays[f"{name}.values"], arrays[f"{name}.offsets"]) for name in names}
        return cls(columns, tuple(told.get("streams", "").split()))

    @classmethod
    def reuse(cls, path: Path, key: str) -> Table | None:
        """The table if it is there, undamaged and of this key; None says: make it."""
        try:
            return cls.open(path, key)
        except UserError:
            return None


def _digest(arrays: Mapping[str, Numbers]) -> str:
    state = xxhash.xxh3_128()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        state.update(f"{name} {array.dtype.str} {array.shape}".encode())
        state.update(array.tobytes())
    return state.hexdigest()
