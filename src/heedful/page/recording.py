"""A Record as a file with exact numbers: JSON of one text, or the arrays of NumPy (.npz). Both read back bit for bit.

JSON (`heedful.look.v1`) has the names of `inside.record`: an object of Record's fields, where arrays are nested lists
(a float32 is written as the double that equals it) and bytes base64. `format` names the format. What is no finite
number is null. The text is ASCII, so that it is JSON whatever the strings hold, lone surrogates included.

An .npz file holds `weights/ADDRESS` and `weighted/ADDRESS` [heads, queries, keys] of every attention, `views/KIND/NAME`
[queries, keys], all float32, and `record.json`, the same JSON as bytes, in which {"array": NAME} stands for an array.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from ..errors import UserError
from ..inside.record import Kind, Layer, Record, View

FORMAT = "heedful.look.v1"
Array = npt.NDArray[Any]
Take = Callable[[Array], Any]
JSON_NAME = "record.json"


def as_json(record: Record) -> str:
    """The whole record."""
    return _text(record, _lists)


def from_json(text: str) -> Record:
    """The way back from `as_json`; UserError if it is something else."""
    return _record(text, {})


def save_npz(record: Record, path: Path) -> None:
    """All arrays as they are, and the rest as JSON."""
    arrays: dict[str, Array] = {}
    names = {id(array): name for name, array in _arrays(record)}

    def take(array: Array) -> Any:
        if id(array) not in names:
            return _lists(array)
        name = _unlike(names[id(array)], arrays)
        arrays[name] = array
        return {"array": name}

    arrays[JSON_NAME] = np.frombuffer(_text(record, take).encode("ascii"), np.uint8)
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # names are free, but for "file"


def load_npz(path: Path) -> Record:
    """The way back from `save_npz`; UserError if it is something else."""
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            arrays = {name: file[name] for name in file.files}
        text = arrays.pop(JSON_NAME).tobytes().decode("ascii")
    except (OSError, EOFError, KeyError, ValueError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: no record of heedful look ({error})") from None
    return _record(text, arrays, f"{path}: ")


def _arrays(record: Record) -> list[tuple[str, Array]]:
    """The arrays that an .npz file holds by name."""
    layers = [layer for kind in record.kinds for layer in kind.layers]
    found = [(f"weights/{layer.address}", layer.weights) for layer in layers]
    found += [(f"weighted/{layer.address}", layer.weighted) for layer in layers if layer.weighted is not None]
    return found + [(f"views/{view.kind}/{view.name}", view.weights) for view in record.views]


def _unlike(name: str, taken: Mapping[str, Any]) -> str:
    """A name that can be written in a zip file and is not taken."""
    name = name.encode("ascii", "backslashreplace").decode().replace("\0", "\\x00")
    number = 2
    found = name
    while found in taken:
        found, number = f"{name}#{number}", number + 1
    return found


# ---- values to JSON --------------------------------------------------------------------------------------------------


def _text(record: Record, take: Take) -> str:
    data = {"format": FORMAT, **_values(record, take)}
    return json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _values(value: Any, take: Take) -> Any:
    if isinstance(value, np.ndarray):
        return take(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if is_dataclass(value):
        return {field.name: _values(getattr(value, field.name), take) for field in fields(value)}
    if isinstance(value, dict):
        return {key: _values(one, take) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_values(one, take) for one in value]
    return _plain(value)


def _lists(array: Array) -> Any:
    return array.tolist() if np.isfinite(array).all() else _plain(array.tolist())


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


# ---- and back --------------------------------------------------------------------------------------------------------


def _record(text: str, arrays: Mapping[str, Array], where: str = "") -> Record:
    try:
        data = json.loads(text)
        if not isinstance(data, dict) or data.pop("format", None) != FORMAT:
            raise ValueError(f"its format is not {FORMAT!r}")
        record: Record = _made(Record, data, arrays, "record")
        _check(record)
        return record
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error) as error:
        raise UserError(f"{where}no record of heedful look: {error}") from None


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _made(kind: Any, value: Any, arrays: Mapping[str, Array], where: str) -> Any:
    """A value of a type, from what JSON holds of it. ValueError says where something else stands."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return None if value is None else _made(next(p for p in parts if p is not NoneType), value, arrays, where)
    if origin is np.ndarray:
        return _array(value, np.dtype(get_args(parts[1])[0]), arrays, where)
    if kind is float and value is None:
        return math.nan
    if kind is float and type(value) in (int, float):
        return float(value)
    if kind is bytes and isinstance(value, str):
        return base64.b64decode(value, validate=True)
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(value, dict):
        hints = _hints(kind)
        if unknown := set(value) ^ set(hints):
            raise ValueError(f"{where}: {sorted(unknown)[0]!r} is missing or unknown")
        return kind(**{name: _made(hints[name], one, arrays, f"{where}.{name}") for name, one in value.items()})
    if origin is dict and isinstance(value, dict):
        return {key: _made(parts[1], one, arrays, f"{where}.{key}") for key, one in value.items()}
    if origin in (list, tuple) and isinstance(value, list):
        types = [parts[0]] * len(value) if origin is list or parts[-1] is Ellipsis else list(parts)
        if len(types) != len(value):
            raise ValueError(f"{where}: {len(value)} values, not {len(types)}")
        return origin(_made(t, v, arrays, f"{where}[{n}]") for n, (t, v) in enumerate(zip(types, value, strict=True)))
    if isinstance(kind, type) and type(value) is kind:
        return value
    raise ValueError(f"{where}: {type(value).__name__} stands there")


def _array(value: Any, dtype: np.dtype[Any], arrays: Mapping[str, Array], where: str) -> Array:
    if isinstance(value, dict):
        found = arrays[value["array"]]
        if found.dtype != dtype:
            raise ValueError(f"{where}: numbers of {found.dtype}, not {dtype}")
        return found
    if not isinstance(value, list):
        raise ValueError(f"{where}: no array")
    return np.array(value, np.float64 if dtype.kind == "f" else None).astype(dtype)  # null becomes NaN


def _check(record: Record) -> None:
    """ValueError where arrays do not fit their lines."""

    def fits(of: Kind, what: str, one: Layer | View, weights: Array) -> None:
        shape = (len(record.lines[of.queries]), len(record.lines[of.keys]))
        if weights.shape[-2:] != shape or weights.ndim != (3 if isinstance(one, Layer) else 2):
            raise ValueError(f"{what}: weights {list(weights.shape)} of {shape[0]} queries and {shape[1]} keys")

    for line in record.lines.values():
        if len(line.word) != len(line.pieces) or len(line.control) != len(line.words):
            raise ValueError(f"line {line.name!r}: tokens and words do not fit each other")
    for kind in record.kinds:
        for layer in kind.layers:
            fits(kind, layer.address, layer, layer.weights)
            if layer.weighted is not None:
                fits(kind, layer.address, layer, layer.weighted)
    kinds = {kind.name: kind for kind in record.kinds}
    for view in record.views:
        fits(kinds[view.kind], view.name, view, view.weights)
