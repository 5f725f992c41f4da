"""The one reader of what torch.save writes (.bin, .pt). It unpickles nothing, so no file can make it run anything.

The pickle is read as inert data by a child process (`opcodes`) that has the bytes, the standard library and limits, and
answers in JSON where each tensor lies. That answer is checked here against the file like anything else from outside.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from typing import BinaryIO

import msgspec
from msgspec import Struct

from . import opcodes
from .archive import Malformed, entries
from .header import AGAIN
from .mapped import DTYPES, File, Place, countable
from .opcodes import is_name

TIMEOUT = 20  # seconds; the child has opcodes.SECONDS of processor time
MOST_SHARED = 64  # times its size that the tensors of a file may have together: tied ones count each


class _Answer(Struct, forbid_unknown_fields=True):
    """`storages`: key, type, elements. `tensors`: name, storage, type, offset, shape, stride. The rest is legacy."""

    refused: str | None = None
    storages: list[tuple[str, str, int]] = []
    tensors: list[tuple[str, int, str, int, tuple[int, ...], tuple[int, ...]]] = []
    order: list[int] = []
    end: int = 0


class _Span(Struct):
    """The bytes of a storage."""

    begin: int
    size: int


def places(file: File) -> dict[str, Place]:
    """The tensors of a file by name, in either format of torch.save; UserError for anything else or anything more.

    Of a training archive those under "model_state_dict", "state_dict" or "model". Tied tensors have one place.
    """
    with file.open() as opened:
        first = opened.read(4)
        if first == b"PK\3\4":
            answer, spans = _archived(file, opened)
        elif first[:1] == b"\x80":
            answer, spans = _legacy(file, opened)
        else:
            raise file.refused(f"not a file of torch.save, or damaged at its beginning; {AGAIN}")
    found = {}
    for name, storage, dtype, offset, shape, stride in answer.tensors:
        if not 0 <= storage < len(spans) or dtype not in DTYPES or name in found or not is_name(name):
            raise file.refused(f"{name[:60]!a} is not a tensor that can be read; {AGAIN}")
        found[name] = _place(file, name, dtype, offset, shape, stride, spans[storage])
    total = sum(place.elements * place.dtype.itemsize for place in found.values())
    if total > MOST_SHARED * file.size:
        raise file.refused(f"its tensors have {total:,} bytes in a file of {file.size:,}; save them again, each once")
    return found


def ask(form: str, data: bytes) -> bytes:
    """The answer of the child process to a pickle, or b"" if it came to its limits."""
    command = [sys.executable, "-I", "-S", "-B", opcodes.__file__, form]
    plain = {**os.environ, "LC_ALL": "C"}  # other locales are mapped, and count towards the limit of memory
    try:
        done = subprocess.run(command, input=data, env=plain, capture_output=True, timeout=TIMEOUT, check=True)
    except (OSError, subprocess.TimeoutExpired, subprocess.CalledProcessError):
        return b""
    return done.stdout


def _asked(file: File, form: str, data: bytes) -> _Answer:
    try:
        answer = msgspec.json.decode(ask(form, data), type=_Answer)
    except msgspec.DecodeError:
        limits = f"{opcodes.MEMORY >> 20} MB, {opcodes.SECONDS} s"
        raise file.refused(f"its pickle cannot be read within the limits ({limits}); no weights need more") from None
    if answer.refused is not None:
        raise file.refused(answer.refused)
    return answer


def _archived(file: File, opened: BinaryIO) -> tuple[_Answer, list[_Span]]:
    """A zip archive: ROOT/data.pkl and ROOT/data/KEY for each storage (torch 1.6 and later)."""
    try:
        found = entries(opened, file.size)
    except Malformed as error:
        raise file.refused(f"{error}; {AGAIN}") from None
    roots = [name.removesuffix("/data.pkl") for name in found if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(roots) != 1:
        raise file.refused("a zip archive, but not one of torch.save: it has no data.pkl; unpack it and name the file")
    root = roots[0]
    described = found[f"{root}/data.pkl"]
    if described.size > opcodes.MOST_BYTES:
        raise file.refused(f"its pickle has {described.size:,} bytes; at most {opcodes.MOST_BYTES:,} are read")
    order = found.get(f"{root}/byteorder")
    if order is not None and (order.size > 8 or _bytes(opened, order.begin, order.size) != b"little"):
        raise file.refused("written by a big-endian computer; save it again on a little-endian one")
    data = _bytes(opened, described.begin, described.size)
    if described.crc not in (0, zlib.crc32(data)):
        raise file.refused(f"its pickle is damaged (the checksum differs); {AGAIN}")
    answer, spans = _asked(file, "zip", data), []
    for key, dtype, count in answer.storages:
        entry = found.get(f"{root}/data/{key}")
        if entry is None or entry.size != count * _itemsize(file, dtype):
            raise file.refused(f"storage {key[:60]!a} is missing or has another size than is told; {AGAIN}")
        spans.append(_Span(entry.begin, entry.size))
    return answer, spans


def _legacy(file: File, opened: BinaryIO) -> tuple[_Answer, list[_Span]]:
    """The format before torch 1.6: five pickles, then the storages end to end, each behind its number of elements."""
    answer = _asked(file, "legacy", _bytes(opened, 0, min(file.size, opcodes.MOST_BYTES)))
    spans, at = [_Span(0, 0) for _ in answer.storages], answer.end
    if sorted(answer.order) != list(range(len(spans))):
        raise file.refused(f"its list of storages is damaged; {AGAIN}")
    for number in answer.order:
        _, dtype, count = answer.storages[number]
        if at > file.size or int.from_bytes(_bytes(opened, at, 8), "little") != count:
            raise file.refused(f"a storage has another size than is told, or the file is cut off; {AGAIN}")
        spans[number] = _Span(at + 8, count * _itemsize(file, dtype))
        at += 8 + spans[number].size
    if at != file.size:
        raise file.refused(f"its storages end at byte {at:,}, the file at {file.size:,}; {AGAIN}")
    return answer, spans


def _bytes(opened: BinaryIO, begin: int, size: int) -> bytes:
    opened.seek(begin)
    return opened.read(size)


def _itemsize(file: File, dtype: str) -> int:
    if dtype and dtype not in DTYPES:
        raise file.refused(f"a storage of type {dtype[:20]!a}; known are {', '.join(DTYPES)}")
    return DTYPES[dtype].itemsize if dtype else 1


def _place(
    file: File, name: str, dtype: str, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], span: _Span
) -> Place:
    if len(shape) != len(stride) or min((offset, *shape, *stride)) < 0 or not countable(shape):
        raise file.refused(f"{name} has shape {shape} and stride {stride}, which no tensor has; {AGAIN}")
    stride = tuple(step if size > 1 else 1 for size, step in zip(shape, stride, strict=True))
    place = Place(DTYPES[dtype], shape, stride, span.begin + offset * DTYPES[dtype].itemsize)
    if not place.elements:
        return place._replace(begin=span.begin)
    if place.begin + place.reach > span.begin + span.size:
        raise file.refused(f"{name} has shape {shape} and reaches beyond its storage; {AGAIN}")
    if place.elements * place.dtype.itemsize > span.size:
        raise file.refused(f"{name} has shape {shape} but repeats fewer elements; save it again after .contiguous()")
    return place
