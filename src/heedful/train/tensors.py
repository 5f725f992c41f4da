"""Named tensors in one safetensors file, written so that every byte is hashed on its way to the disk.

The library's own writer is not used for checkpoints: it neither syncs nor hashes, and a second pass over the file to
hash it would trust what the first pass wrote. Reading is the library's.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import torch
import xxhash
from msgspec import Struct
from safetensors import safe_open

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
CHUNK = 1 << 24  # bytes hashed or written at a time


class Digest(Struct, frozen=True):
    """What identifies a file's content: xxh3 finds accidents at 8 GB/s at every load, sha256 tells tampering."""

    size: int
    xxh3_128: str
    sha256: str


def write_file(path: Path, pieces: Iterator[bytes | memoryview]) -> Digest:
    """The pieces as a new file, on the disk (fsync) when this returns. OSError, with the disk full for example."""
    fast, safe, size = xxhash.xxh3_128(), hashlib.sha256(), 0
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        for piece in pieces:
            rest = memoryview(piece).cast("B")
            while rest:
                written = os.write(handle, rest[:CHUNK])
                fast.update(rest[:written])
                safe.update(rest[:written])
                size += written
                rest = rest[written:]
        os.fsync(handle)
    finally:
        os.close(handle)
    return Digest(size=size, xxh3_128=fast.hexdigest(), sha256=safe.hexdigest())


def serialise(tensors: dict[str, torch.Tensor]) -> Iterator[bytes | memoryview]:
    """A safetensors file piece by piece: header length, header, then the tensors; one copy of one tensor at a time."""
    # Widest elements first keeps every tensor aligned; inside a width, by name: the same tensors give the same bytes.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    begin = 0
    for name in names:
        tensor = tensors[name]
        end = begin + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in names:
        flat = tensors[name].detach().cpu().contiguous().reshape(-1)
        if flat.numel():
            yield flat.view(torch.uint8).numpy().data


def read_tensors(path: Path, names: list[str] | None = None) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file (all, or those named), on the CPU."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in (file.keys() if names is None else names)}


def tensor_bytes(tensors: dict[str, torch.Tensor]) -> int:
    """Bytes of all tensors together."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
