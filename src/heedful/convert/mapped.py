"""Tensors that lie in files, mapped into memory when they are asked for and no longer than somebody holds them."""

from __future__ import annotations

import math
import mmap
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from ..errors import UserError, visible

# By the names of safetensors. A type that is missing here is refused.
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "F8_E8M0": torch.float8_e8m0fnu,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8,
    "BOOL": torch.bool, "C64": torch.complex64,
}  # fmt: skip
WINDOW = 1 << 26  # bytes mapped at once, and more for what begins in them and is longer


class Place(NamedTuple):
    """Where a tensor lies in a file: its first byte, and its strides in elements."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    begin: int

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def reach(self) -> int:
        """Bytes from its first element to the end of its last one."""
        steps = sum((size - 1) * stride for size, stride in zip(self.shape, self.stride, strict=True))
        return (steps + 1) * self.dtype.itemsize if self.elements else 0


def countable(shape: Iterable[int]) -> bool:
    """Whether torch can have a tensor of this shape, empty or not."""
    return math.prod(max(size, 1) for size in shape) < 2**60


class File:
    """A file as it is now: `open` raises UserError where it has been changed since."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._seen = path.stat()
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
        if not stat.S_ISREG(self._seen.st_mode):
            raise UserError(f"{path}: not a file; name a file of weights or the folder of a checkpoint")
        self.size = self._seen.st_size

    def open(self) -> BinaryIO:
        """To be read or mapped, unbuffered: what is read is a header here and there."""
        try:
            file = self.path.open("rb", buffering=0)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read: {error.strerror}") from None
        now = os.fstat(file.fileno())
        if any(getattr(now, key) != getattr(self._seen, key) for key in ("st_ino", "st_size", "st_mtime_ns")):
            file.close()
            raise UserError(f"{self.path}: changed while it was being read; start again when it is complete")
        return file

    def refused(self, what: str) -> UserError:
        """The error for what is wrong with the file; `what` ends with what to do."""
        return UserError(f"{self.path}: {visible(what)}")


class Windows:
    """The parts of a file that hold tensors, each mapped while one of its tensors is alive.

    So whoever goes through a large file tensor by tensor has a window and a tensor in memory, and not the file; a map
    for every tensor would take a file descriptor each. Maps are private: to write to a tensor changes no file.
    """

    def __init__(self, file: File, places: Iterable[Place]) -> None:
        self.file = file
        self._ends: dict[int, int] = {}
        self._held: WeakValueDictionary[int, mmap.mmap] = WeakValueDictionary()
        for place in places:
            number = place.begin // WINDOW
            self._ends[number] = max(self._ends.get(number, 0), place.begin + place.reach)

    def tensor(self, place: Place) -> Tensor:
        """The tensor without a copy; with one where it begins between two elements, as it may in old files."""
        if not place.elements:
            return torch.empty(place.shape, dtype=place.dtype)
        if place.begin % place.dtype.itemsize:
            flat = self._copy(place)
        else:
            window, count = self._window(place.begin // WINDOW), place.reach // place.dtype.itemsize
            flat = torch.frombuffer(window, dtype=place.dtype, count=count, offset=place.begin % WINDOW)
        return flat.as_strided(place.shape, place.stride)

    def _copy(self, place: Place) -> Tensor:
        flat = torch.empty(place.reach, dtype=torch.uint8)
        with self.file.open() as file:
            file.seek(place.begin)
            rest = flat.numpy().data
            while rest:  # the system reads 2 GB at once
                count = file.readinto(rest)  # type: ignore[attr-defined]
                if not count:
                    raise self.file.refused("cannot be read to its end; copy or download it again")
                rest = rest[count:]
        return flat.view(place.dtype)

    def _window(self, number: int) -> mmap.mmap:
        held = self._held.get(number)
        if held is None:
            begin = number * WINDOW
            with self.file.open() as file:
                try:
                    held = mmap.mmap(file.fileno(), self._ends[number] - begin, access=mmap.ACCESS_COPY, offset=begin)
                except OSError as error:
                    raise self.file.refused(f"cannot be mapped into memory: {error.strerror}; copy it") from None
            self._held[number] = held
        return held
