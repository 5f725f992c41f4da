"""A .safetensors file written tensor by tensor: memory holds one at a time, whatever the model weighs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

import torch
import xxhash
from torch import Tensor

Kind = tuple[torch.dtype, tuple[int, ...]]

NAMES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
CHUNK = 2**24  # bytes handed to the file at a time: read, hashed and written while still in a processor's cache


def write(path: Path, kinds: Mapping[str, Kind], tensors: Iterable[tuple[str, Tensor]], note: str = "") -> str:
    """Write `tensors`, which come in the order of `kinds`; the xxh3-128 of the file. `note` is kept as "format"."""
    header: dict[str, object] = {"__metadata__": {"format": note}} if note else {}
    place = 0
    for name, (dtype, shape) in kinds.items():
        end = place + dtype.itemsize * torch.Size(shape).numel()
        header[name] = {"dtype": NAMES[dtype], "shape": list(shape), "data_offsets": [place, end]}
        place = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    hashed = xxhash.xxh3_128()
    with path.open("wb") as file:
        _put(file, hashed, len(text).to_bytes(8, "little") + text)
        expected = iter(kinds.items())
        for name, tensor in tensors:
            assert next(expected) == (name, (tensor.dtype, tuple(tensor.shape))), f"{name} is not the next tensor"
            raw = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
            for first in range(0, len(raw), CHUNK):
                _put(file, hashed, raw[first : first + CHUNK].data)
        assert next(expected, None) is None, "tensors are missing"
    path.chmod(0o644)
    return hashed.hexdigest()


def _put(file: BinaryIO, hashed: xxhash.xxh3_128, some: bytes | memoryview) -> None:
    hashed.update(some)
    file.write(some)
