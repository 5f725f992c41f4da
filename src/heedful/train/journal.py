"""The run's record: one JSON line per step, validation, save or mishap, in RUN/journal.jsonl.

Lines carry "kind" and "step". Those of `CLOCK` keys depend on the machine's mood; all other keys are the same, to the
last digit, in a resumed run and in one that was never stopped.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import msgspec

CLOCK = frozenset({"elapsed", "speed", "memory", "time"})


class Journal:
    """Appends lines to a file; a line is either whole in the file or not in it.

    While the disk is full, lines wait in memory and go out with a later one. Values that are not finite become null.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._end = os.fstat(self._handle).st_size
        self._waiting = bytearray()

    def append(self, line: dict[str, Any]) -> None:
        """Write one line through to the operating system, so that a killed process loses none."""
        self._waiting += msgspec.json.encode(line) + b"\n"
        with contextlib.suppress(OSError):
            self._write()

    def sync(self) -> None:
        """Put all lines on the disk: before a checkpoint that counts on them is published. OSError if it cannot."""
        self._write()
        os.fsync(self._handle)

    def cut(self, step: int, validated: bool = True) -> None:
        """Forget everything past a step, and a last line torn by a power cut: what a resume from there begins with.

        Unless the step itself was `validated`, its validation is forgotten too: there will be another.
        """
        stays = lambda line: line.get("step", 0) < step + (validated or line.get("kind") != "validation")
        lines = [msgspec.json.encode(line) + b"\n" for line in read(self.path) if stays(line)]
        aside = self.path.with_name(f".tmp-{self.path.name}")
        handle = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        with os.fdopen(os.dup(handle), "wb") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(handle)
        os.rename(aside, self.path)
        os.close(self._handle)
        self._handle, self._end = handle, sum(map(len, lines))
        self._waiting.clear()

    def _write(self) -> None:
        while self._waiting:
            written = os.pwrite(self._handle, self._waiting, self._end)
            self._end += written
            del self._waiting[:written]

    def close(self) -> None:
        os.close(self._handle)


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a journal; a last line without its end, or what follows damage, is left out."""
    lines: list[dict[str, Any]] = []
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return lines
    for line in text.split(b"\n")[:-1]:
        try:
            value = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            break
        if not isinstance(value, dict):
            break
        lines.append(value)
    return lines


def exact(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What must agree between a resumed and an uninterrupted run: no clocks, no notes about stops and saves."""
    kinds = {"step", "skipped", "rollback", "validation"}
    return [{k: v for k, v in line.items() if k not in CLOCK} for line in lines if line.get("kind") in kinds]
