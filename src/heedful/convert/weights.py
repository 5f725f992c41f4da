"""The weights of a checkpoint that another program wrote, wherever and however they lie, as one mapping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import torch
from msgspec import Struct
from torch import Tensor

from ..errors import UserError
from . import header, pickled
from .mapped import File, Place, Windows

# In a folder, the first of these that is there.
FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
INDEX = ".index.json"
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".tar")
LONGEST_INDEX, MOST_NESTED = 4 << 20, 1000  # bytes; lists and objects


class Weights(Mapping[str, Tensor]):
    """The tensors by name, in the order in which they lie on the disk, mapped when they are asked for.

    Nothing is copied. Who keeps none longer than needed has about the largest one in memory, not the file. To write to
    a tensor changes it in memory only, and those tied to it. A file must not be changed while it is mapped.
    """

    def __init__(self, path: Path, files: Mapping[Path, tuple[Windows, Mapping[str, Place]]]) -> None:
        self.path = path
        self._found = {
            name: (windows, place)
            for windows, places in files.values()
            for name, place in sorted(places.items(), key=lambda item: item[1].begin)
        }

    @classmethod
    def open(cls, path: str | Path) -> Weights:
        """The weights in a folder, an index of shards, or a file: safetensors or what torch.save wrote.

        Every header is read and checked, no tensor is. UserError if they are missing, damaged, or ask for more than
        tensors.
        """
        path = Path(path)
        chosen = _chosen(path) if path.is_dir() else path
        found = cls(path, _shards(chosen) if chosen.name.endswith(INDEX) else {chosen: _opened(chosen)})
        if not found:
            raise UserError(f"{chosen}: holds no tensor; {header.AGAIN}")
        return found

    def __getitem__(self, name: str) -> Tensor:
        windows, place = self._found[name]
        return windows.tensor(place)

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __contains__(self, name: object) -> bool:
        return name in self._found  # a Mapping would map the tensor

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a tensor, without mapping it."""
        return self._found[name][1].shape

    def dtype(self, name: str) -> torch.dtype:
        """Of a tensor, without mapping it."""
        return self._found[name][1].dtype

    def file(self, name: str) -> Path:
        """The file that holds a tensor."""
        return self._found[name][0].file.path


def _chosen(folder: Path) -> Path:
    try:
        for name in FILES:
            if (folder / name).exists():
                return folder / name
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error.strerror}") from None
    raise UserError(f"{folder}: no weights; there must be one of {', '.join(FILES)}, or name the file itself")


def _opened(path: Path) -> tuple[Windows, dict[str, Place]]:
    file = File(path)
    with file.open() as opened:
        if opened.read(24) == b"version https://git-lfs.":
            raise file.refused("a pointer to the weights, not the weights; fetch them: git lfs pull")
    if path.suffix == ".safetensors":
        found = header.places(file)
    elif path.suffix in PICKLED:
        found = pickled.places(file)
    else:
        raise file.refused(f"weights end with .safetensors, {', '.join(PICKLED)}; rename the file if it is one of them")
    return Windows(file, found.values()), found


class _Index(Struct):
    weight_map: dict[str, str]


def _shards(index: Path) -> dict[Path, tuple[Windows, dict[str, Place]]]:
    """The shards that an index names. Each tensor is to be in the shard that is told, and in no other."""
    file = File(index)
    if file.size > LONGEST_INDEX:
        raise file.refused(f"{file.size:,} bytes, so it is no index of shards; at most {LONGEST_INDEX:,} are read")
    try:
        with file.open() as opened:
            text = opened.read()
        if text.count(b"[") + text.count(b"{") > MOST_NESTED:
            raise ValueError("an index is flat")
        wanted = msgspec.json.decode(text, type=_Index).weight_map
        header.check_keys(text)
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        raise file.refused(f"no index of shards ({str(error)[:200]}); {header.AGAIN}") from None
    suffix = Path(index.name.removesuffix(INDEX)).suffix
    for shard in set(wanted.values()):
        if not shard.isprintable() or set("/\\:") & set(shard) or not shard.endswith(suffix) or shard == suffix:
            raise file.refused(f"{shard[:60]!r} is no shard; those are files *{suffix} in the same folder")
    files = {index.parent / shard: _opened(index.parent / shard) for shard in sorted(set(wanted.values()))}
    held: dict[str, str] = {}
    for path, (_, places) in files.items():
        for name in places:
            if name in held:
                raise file.refused(f"{name} is in {held[name]} and in {path.name}; {header.AGAIN}")
            held[name] = path.name
    for name in sorted(wanted.keys() | held.keys()):
        if wanted.get(name) != held.get(name):
            told, found = (one.get(name, "no shard") for one in (wanted, held))
            raise file.refused(f"{name[:60]} is to be in {told} and is in {found}; {header.AGAIN}")
    return files
