"""A translation of files that may be interrupted: what is done lies in OUT.part, and the same command goes on from it.

OUT.part holds whole lines only, as many as are answered; OUT.part.json says of what: the model, the options and the
content of the input. OUT itself appears at the end, by one rename.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import xxhash

from ...errors import UserError
from ...train.lock import take

READ_AT_A_TIME = 1 << 20


class Partial:
    """The unfinished output of one job. Use as a context manager: what was written stays if it is left by an error.

    One process at a time holds it. A `job` of None is not known again: it begins anew, in the place of what is left of
    another like it. What is kept of an earlier attempt are whole blocks of so many lines.
    """

    def __init__(self, output: Path, job: Mapping[str, Any] | None, anew: bool = False, block: int = 1) -> None:
        self.output, self.block = output, block
        self.part, self.stamp = (output.with_name(output.name + suffix) for suffix in (".part", ".part.json"))
        require_new(output)
        told = msgspec.json.encode(job, order="deterministic")
        try:
            self.file: BinaryIO = self.part.open("a+b")
        except (OSError, ValueError) as error:
            raise UserError(f"{output}: cannot be opened: {getattr(error, 'strerror', None) or error}") from None
        try:
            if not take(self.file.fileno()):
                raise UserError(f"{self.part}: another process is writing it; wait for it, or choose another --output")
            require_new(output)  # by that process, in the meantime
            self._go_on(told, anew or job is None)
        except OSError as error:
            self.file.close()
            raise UserError(f"{output}: cannot be opened: {error.strerror}") from None
        except UserError:
            self.file.close()
            raise

    def _go_on(self, told: bytes, anew: bool) -> None:
        """Keep the whole lines of an earlier attempt at the same job; begin anew where there was none, or if asked."""
        self.lines = size = place = count = 0
        if self.stamp.exists():
            if self.stamp.read_bytes() != told:
                raise UserError(
                    f"{self.part}: is the beginning of another translation (other input, model or options); "
                    f"remove it and {self.stamp.name}, or choose another --output"
                )
            self.file.seek(0)
            for line in self.file if not anew else ():
                place, count = place + len(line), count + 1
                if line.endswith(b"\n") and count % self.block == 0:
                    self.lines, size = count, place
        else:
            self.stamp.write_bytes(told)
        self.file.truncate(size)

    def __enter__(self) -> Partial:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.file.close()

    def finish(self) -> None:
        """Everything is answered: put the output in its place."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        os.rename(self.part, self.output)
        self.stamp.unlink(missing_ok=True)

    def finish_with(self, content: bytes) -> None:
        """The same where the output is not the lines themselves but a document made of them."""
        self.file.close()
        aside = self.output.with_name(f".{self.output.name}.tmp")
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(aside, self.output)
        self.part.unlink(missing_ok=True)
        self.stamp.unlink(missing_ok=True)


def require_new(output: Path, option: str = "--output") -> None:
    """UserError where something is there already; `option` is how it was named."""
    if output.exists():
        raise UserError(f"{output}: exists already; choose another {option}, nothing is overwritten")


def job(models: Sequence[Path], options: Mapping[str, Any], inputs: Sequence[Path]) -> dict[str, Any]:
    """What tells one translation from another: hashes of the models' descriptions and of the input's content."""
    return {
        "models": [_hash(_description(model)) for model in models],
        "options": {name: repr(options[name]) for name in sorted(options)},
        "inputs": [_hash(path) for path in inputs],
    }


def _description(model: Path) -> Path:
    """The file that changes with a run's model, a model, or a checkpoint."""
    names = ("config.json", "model/config.json", "manifest.json")
    return next((model / name for name in names if (model / name).is_file()), model / names[0])


def skipped(lines: BinaryIO, count: int) -> int:
    """Read past at most `count` lines; how many there were."""
    for number in range(count):
        piece = lines.readline(READ_AT_A_TIME)
        if not piece:
            return number
        while piece and not piece.endswith(b"\n"):
            piece = lines.readline(READ_AT_A_TIME)
    return count


def _hash(path: Path) -> str:
    running = xxhash.xxh3_128()
    try:
        with path.open("rb") as file:
            while piece := file.read(READ_AT_A_TIME):
                running.update(piece)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    return running.hexdigest()
