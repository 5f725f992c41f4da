"""The header of a safetensors file, checked before anything is mapped: what lies where, with no gap and no overlap.

The format (https://github.com/huggingface/safetensors): 8 bytes with the length of the header, the header in JSON, the
data. Bounds of lengths are ours.
"""

from __future__ import annotations

import json
import math
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from .mapped import DTYPES, File, Place, countable
from .opcodes import LONGEST_NAME, MOST_DIMENSIONS, MOST_TENSORS, is_name

LONGEST_HEADER = 16 << 20  # bytes; the format allows 100 MB, 1,000 tensors take 100 kB
QUOTES = 12  # a tensor has ten quotation marks; counting them first keeps small what is built of a hostile header
AGAIN = "copy or download the file again"

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class _Tensor(Struct, forbid_unknown_fields=True):
    dtype: str
    shape: Annotated[list[Count], Meta(max_length=MOST_DIMENSIONS)]
    data_offsets: tuple[Count, Count]


def check_keys(text: bytes) -> None:
    """ValueError if an object in JSON has a key twice: readers differ on what that means.

    Everything in it is built once more, so it is to be known that this is little.
    """
    json.loads(text.decode("utf-8"), object_pairs_hook=_distinct)


def _distinct(pairs: list[tuple[str, object]]) -> None:
    seen = set[str]()
    for key, _ in pairs:
        if key in seen:
            raise ValueError(f"{key[:60]!a} is there twice")
        seen.add(key)


def places(file: File) -> dict[str, Place]:
    """The tensors of a safetensors file by name; UserError if its header is not right."""
    with file.open() as opened:
        length = int.from_bytes(opened.read(8), "little")
        if file.size < 8 or length > file.size - 8:
            raise file.refused(f"not a safetensors file, or cut off at {file.size:,} bytes; {AGAIN}")
        if length > LONGEST_HEADER:
            raise file.refused(f"its header has {length:,} bytes; at most {LONGEST_HEADER:,} are read")
        text = opened.read(length)
    try:
        if text.count(b'"') > QUOTES * MOST_TENSORS:
            raise ValueError(f"more than {MOST_TENSORS:,} tensors")
        told = msgspec.json.decode(text, type=dict[str, Raw])
        msgspec.json.decode(told.pop("__metadata__", b"{}"), type=dict[str, str])
        tensors = {name: msgspec.json.decode(raw, type=_Tensor) for name, raw in told.items()}
        check_keys(text)
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        raise file.refused(f"its header is damaged ({str(error)[:200]}); {AGAIN}") from None
    _check(file, tensors, file.size - 8 - length)
    return {
        name: Place(DTYPES[one.dtype], tuple(one.shape), _strides(one.shape), 8 + length + one.data_offsets[0])
        for name, one in tensors.items()
    }


def _check(file: File, tensors: dict[str, _Tensor], size: int) -> None:
    for name, one in tensors.items():
        if not is_name(name):
            shown = ascii(name[:60])
            raise file.refused(f"a tensor is called {shown}; names are text of 1 to {LONGEST_NAME} letters")
        if one.dtype not in DTYPES:
            raise file.refused(f"{name} is of type {one.dtype[:20]!a}; known are {', '.join(DTYPES)}")
        begin, end = one.data_offsets
        if not countable(one.shape) or end - begin != math.prod(one.shape) * DTYPES[one.dtype].itemsize:
            told = f"{one.dtype} of shape {one.shape} in bytes {begin} to {end}"
            raise file.refused(f"{name} is {told}, which does not fit; {AGAIN}")
    at = 0
    for name, one in sorted(tensors.items(), key=lambda item: item[1].data_offsets):
        begin, end = one.data_offsets
        if begin != at:
            raise file.refused(f"{name} begins at byte {begin}, but the tensor before it ends at {at}; {AGAIN}")
        at = end
    if at != size:
        raise file.refused(f"its tensors have {at:,} bytes, but it holds {size:,}; {AGAIN}")


def _strides(shape: list[int]) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
