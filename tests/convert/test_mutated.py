"""Checkpoints damaged at random: each is refused with the reason, or loaded with the bits that the file has."""

from __future__ import annotations

import json
import random
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save_file

from convert.pickles import ask_here
from heedful.convert import pickled
from heedful.convert.weights import Weights
from heedful.errors import UserError

CONTAINERS = ("safetensors", "shards", "zip", "legacy")
HOSTILE = (b"../../x", b"\n\x1b[2J", b"\0", b"\xff\xfe", b"\xe2\x80\xae", b"__class__", b"os\nsystem", b"", b"a" * 600)


def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "embeddings.word.weight": torch.randn(6, 4), "layer.0.query.weight": torch.randn(4, 4).half(),
        "layer.0.query.bias": torch.randn(4).bfloat16(), "norm.weight": torch.randn(4), "ids": torch.arange(8)[None],
    }  # fmt: skip


def write(folder: Path, container: str) -> list[Path]:
    """A valid checkpoint; the files that it has."""
    made = tensors()
    if container == "safetensors":
        save_file(made, folder / "model.safetensors")
    elif container == "shards":
        parts = dict(list(made.items())[:2]), dict(list(made.items())[2:])
        names = ["one.safetensors", "two.safetensors"]
        for name, part in zip(names, parts, strict=True):
            save_file(part, folder / name)
        told = {key: name for name, part in zip(names, parts, strict=True) for key in part}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": told}, indent=1))
    else:
        torch.save(made, folder / "pytorch_model.bin", _use_new_zipfile_serialization=container == "zip")
    return sorted(folder.iterdir())


def flip(rng: random.Random, data: bytearray) -> None:
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def truncate(rng: random.Random, data: bytearray) -> None:
    del data[rng.choice((rng.randrange(len(data)), len(data) - 1, len(data) - rng.randrange(1, 60))) :]


def extend(rng: random.Random, data: bytearray) -> None:
    data.extend(rng.randbytes(rng.choice((1, 8, 100))))


def block(rng: random.Random, data: bytearray) -> slice:
    length = min(rng.choice((1, 4, 16, 64, 256)), len(data) - 1)
    begin = rng.randrange(len(data) - length)
    return slice(begin, begin + length)


def move(rng: random.Random, data: bytearray) -> None:
    """A block is taken out, put in again, put over another, swapped with another, or filled with something else."""
    one, kind = block(rng, data), rng.randrange(5)
    content, other = bytes(data[one]), block(rng, data)
    if kind == 0:
        del data[one]
    elif kind == 1:
        data[one.start : one.start] = content
    elif kind == 2:
        data[other] = content
    elif kind == 3:
        data[one], data[other] = bytes(data[other]), content
    else:
        data[one] = rng.choice((bytes(len(content)), b"\xff" * len(content), rng.randbytes(len(content))))


def rename(rng: random.Random, data: bytearray) -> None:
    """A key becomes another of the same length, or a hostile one that may have its length told."""
    name = rng.choice(list(tensors())).encode()
    at = data.find(name)
    if at < 0:
        return flip(rng, data)
    new = rng.choice((name[::-1], name[:-1] + b"_", rng.choice(list(tensors())).encode(), rng.choice(HOSTILE)))
    data[at : at + len(name)] = new
    if at >= 4 and data[at - 4 : at] == struct.pack("<I", len(name)):
        data[at - 4 : at] = struct.pack("<I", len(new))  # of a pickle
    elif data[:8] == struct.pack("<Q", struct.unpack("<Q", data[:8])[0]) and rng.random() < 0.8:
        grown = struct.unpack("<Q", data[:8])[0] + len(new) - len(name)
        if 0 < grown < len(data):
            data[:8] = struct.pack("<Q", grown)  # of a safetensors header
    return None


def resize(rng: random.Random, data: bytearray) -> None:
    """A number in a header becomes another: a digit of JSON, or the argument of an opcode or of a zip header."""
    digits = [at for at, value in enumerate(data) if 48 <= value <= 57]
    small = [at for at, value in enumerate(data) if data[at - 1] == ord("K")]
    if small and rng.random() < 0.7:
        data[rng.choice(small)] = rng.choice((0, 1, 2, 5, 7, 255))
    elif digits:
        data[rng.choice(digits)] = rng.choice(b"0123456789-.e")


MUTATIONS: tuple[Callable[[random.Random, bytearray], None], ...] = (flip, flip, truncate, extend, move, rename, resize)


def outcome(folder: Path) -> str:
    """What becomes of a checkpoint: how the reason begins that it is refused for, or "loaded" if all in it is right."""
    try:
        found = Weights.open(folder)
    except UserError as error:
        said = str(error)
        where, what = said.split(": ", 1)
        assert Path(where).parent == folder or Path(where) == folder
        assert said.isprintable()
        assert len(what) > 10
        return " ".join(what.split()[:2])
    for name in found:
        tensor, content = found[name], found.file(name).read_bytes()
        assert name.isprintable()
        assert (tensor.shape, tensor.dtype) == (found.shape(name), found.dtype(name))
        if tensor.is_contiguous() and tensor.numel():
            assert tensor.reshape(-1).view(torch.uint8).numpy().tobytes() in content
        if found.file(name).suffix == ".safetensors":
            theirs = load(content)[name]
            assert theirs.dtype == tensor.dtype
            assert torch.equal(bits(theirs), bits(tensor))
    return "loaded"


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def mutate(folder: Path, container: str, seeds: range) -> Counter[str]:
    """How many checkpoints came to which end. Each is a copy of a valid one with one file changed."""
    files = write(folder, container)
    assert outcome(folder) == "loaded"
    originals, ends = {file: file.read_bytes() for file in files}, Counter[str]()
    for seed in seeds:
        rng = random.Random(f"{container} {seed}")
        file = rng.choice(files)
        data = bytearray(originals[file])
        rng.choice(MUTATIONS)(rng, data)
        file.write_bytes(data)
        try:
            ends["unchanged" if data == originals[file] else outcome(folder)] += 1
        except Exception as error:
            raise AssertionError(f"{container}, seed {seed}") from error
        file.write_bytes(originals[file])
    return ends


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
def test_a_hundred_of_each_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, container: str) -> None:
    """Pickles are read in this process, where nothing but a refusal may end it."""
    monkeypatch.setattr(pickled, "ask", ask_here)
    ends = mutate(tmp_path, container, range(100))
    assert ends["loaded"] > 5
    assert sum(ends.values()) - ends["loaded"] - ends["unchanged"] > 50
    assert len(ends) > 5


@pytest.mark.parametrize("container", ["zip", "legacy"])
def test_some_with_the_child_process(tmp_path: Path, container: str) -> None:
    ends = mutate(tmp_path, container, range(1000, 1015))
    assert not any("limits" in reason for reason in ends)


@pytest.mark.slow
@pytest.mark.parametrize("container", CONTAINERS)
def test_five_thousand(tmp_path: Path, container: str) -> None:
    ends = mutate(tmp_path, container, range(10_000, 11_250))
    print(container, *(f"{count:5} {reason}" for reason, count in ends.most_common()), sep="\n  ")
    assert not any("limits" in reason for reason in ends)
    assert sum(ends.values()) == 1250


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
def test_a_flip_in_a_tensor_changes_that_tensor_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, container: str
) -> None:
    """No format has a checksum that is read with the data: the bits of the file are what is loaded."""
    monkeypatch.setattr(pickled, "ask", ask_here)
    files = [file for file in write(tmp_path, container) if file.suffix != ".json"]
    originals = {file: file.read_bytes() for file in files}
    for name, tensor in tensors().items():
        content = bits(tensor).numpy().tobytes()
        file = next(file for file in files if content in originals[file])
        data = bytearray(originals[file])
        data[data.index(content)] ^= 1
        file.write_bytes(data)
        found = Weights.open(tmp_path)
        changed = {other for other in found if not torch.equal(bits(found[other]), bits(tensors()[other]))}
        assert changed == {name}
        assert (bits(found[name]) != bits(tensor)).nonzero().tolist() == [[0]]
        file.write_bytes(originals[file])
