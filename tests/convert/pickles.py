"""Files as torch.save writes them, made by hand: pickles opcode by opcode, and what goes around them."""

from __future__ import annotations

import json
import resource
import struct
import time
import zipfile
from pathlib import Path

import pytest
import torch

from heedful.convert import opcodes
from heedful.convert.weights import Weights
from heedful.errors import UserError

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
P = b"\x80\x02"  # protocol 2
NOTHING = bytes(24)


def save(value: object, path: Path, zipped: bool, protocol: int = 2) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    return path


def archive(path: Path, pickle: bytes, **more: bytes) -> Path:
    """A zip file with a storage "0" of 24 bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as made:
        for name, data in {"data.pkl": pickle, "data/0": NOTHING, **more}.items():
            made.writestr(f"archive/{name}", data)
    return path


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value) if -(2**31) <= value < 2**31 else b"\x8a\x09" + value.to_bytes(9, "little")


def ints(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(key: str = "0", size: int = 6, kind: str = "FloatStorage") -> bytes:
    return b"(" + text("storage") + b"ctorch\n" + kind.encode() + b"\n" + text(key) + text("cpu") + number(size) + b"tQ"


def tensor(shape: tuple[int, ...] = (2, 3), stride: tuple[int, ...] = (3, 1), offset: int = 0, size: int = 6) -> bytes:
    start = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(size=size)
    return start + number(offset) + ints(shape) + ints(stride) + b"\x89ccollections\nOrderedDict\n)RtR"


def entries(*pairs: tuple[str, bytes]) -> bytes:
    return P + b"}(" + b"".join(text(name) + value for name, value in pairs) + b"u."


def legacy(
    pickle: bytes, keys: list[str], storages: bytes, little: bytes = b"\x88", magic: int = opcodes.MAGIC
) -> bytes:
    start = P + b"\x8a\x0a" + magic.to_bytes(10, "little") + b"." + P + number(1001) + b"."
    system = P + b"}" + text("little_endian") + little + b"s."
    return start + system + pickle + P + b"](" + b"".join(map(text, keys)) + b"e." + storages


def refused(path: Path, why: str = ".") -> str:
    """The message, which begins with the path, is one line, and holds what matches `why`."""
    with pytest.raises(UserError, match=why) as error:
        Weights.open(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    return str(error.value)


def ask_here(form: str, data: bytes) -> bytes:
    """The child's work in this process: without its limits, and fast."""
    try:
        told = opcodes.answer(form, data[: opcodes.MOST_BYTES])
    except opcodes.Refused as error:
        told = {"refused": str(error)}
    return json.dumps(told).encode()


def stored(path: Path) -> Path:
    return archive(path, entries(("a", tensor())), byteorder=b"little")


def spent() -> float:
    """Processor seconds of this process and its children: what a refusal takes on an idle computer."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
