"""What torch.save wrote, read without unpickling: the same bits, or refused where a tensor is not where it is said."""

from __future__ import annotations

import argparse
import collections
import functools
import json
import struct
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from convert.pickles import (
    FORMATS,
    NOTHING,
    P,
    archive,
    ask_here,
    entries,
    ints,
    legacy,
    number,
    refused,
    save,
    spent,
    storage,
    stored,
    tensor,
    text,
)
from heedful.convert import pickled
from heedful.convert.weights import Weights
from heedful.errors import UserError


def everything() -> dict[str, torch.Tensor]:
    whole = torch.randn(6, 5)
    return {
        "whole": whole, "tied": whole, "turned": whole.t(), "slice": whole[1:4, ::2], "row": whole[2],
        "one": whole[3, 4],
        "parameter": torch.nn.Parameter(torch.randn(3)), "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3),
        "flat": torch.randn(1, 4).expand(1, 4), "half": torch.randn(5).half(), "bfloat16": torch.randn(3).bfloat16(),
        "double": torch.randn(2).double(), "ids": torch.arange(9)[None], "bytes": torch.arange(7).to(torch.uint8),
        "short": torch.arange(3).short(), "flags": torch.tensor([True, False]),
        "uint16": torch.ones(3).to(torch.uint16),
        "float8": torch.randn(5).to(torch.float8_e4m3fn), "complex": torch.randn(2, dtype=torch.complex64),
    }  # fmt: skip


def bits(value: torch.Tensor) -> bytes:
    return value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b""


def assert_same(found: Weights, wanted: dict[str, torch.Tensor]) -> None:
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        assert (found.shape(name), found.dtype(name)) == (tuple(value.shape), value.dtype)
        assert (found[name].shape, found[name].dtype, bits(found[name])) == (value.shape, value.dtype, bits(value)), (
            name
        )
        assert not found[name].requires_grad


@FORMATS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_kind_of_tensor_comes_back(tmp_path: Path, zipped: bool, protocol: int) -> None:
    wanted = everything()
    assert_same(Weights.open(save(wanted, tmp_path / "a.bin", zipped, protocol)), wanted)


@FORMATS
def test_a_state_dict_of_a_module(tmp_path: Path, zipped: bool) -> None:
    """It is an OrderedDict with an attribute, and a tie in it is two names of one storage."""
    first, second = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
    second.weight = first.weight
    wanted = torch.nn.Sequential(first, second, torch.nn.BatchNorm1d(3)).state_dict()
    found = Weights.open(save(wanted, tmp_path / "pytorch_model.bin", zipped).parent)
    assert_same(found, dict(wanted))
    tied = found["0.weight"], found["1.weight"]
    assert torch.equal(*tied)
    assert found.dtype("2.num_batches_tracked") == torch.int64


@FORMATS
@pytest.mark.parametrize("key", ["model_state_dict", "state_dict", "model", None])
def test_an_archive_of_training_gives_its_weights(tmp_path: Path, zipped: bool, key: str | None) -> None:
    model = torch.nn.Linear(2, 2)
    optimizer = {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(2, 2)}}, "param_groups": [{"lr": 0.1}]}
    args = argparse.Namespace(lr=1e-3, layers=[1, 2], inner=argparse.Namespace(x=None))
    told = {
        "optimizer": optimizer, "args": args, "best": np.float64(0.5), "epoch": np.int64(3),
        "seen": {1, 2}, "counts": collections.Counter("aab"), "state": np.random.RandomState(0).get_state()[1],
        "default": collections.defaultdict(dict, {1: {"a": 2.0}}), "size": torch.Size([2]),
        "device": torch.device("cpu"), (1, (2, 3)): "no text", 2**80: None, "bytes": b"\xff", "history": [(0, 0.5)],
    }  # fmt: skip
    value = dict(model.state_dict()) if key is None else {**told, key: model.state_dict()}
    assert_same(Weights.open(save(value, tmp_path / "a.pt", zipped)), dict(model.state_dict()))


@pytest.fixture
def vilbert(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """The classes that the official repository pickles beside the weights, as far as pickling sees them."""
    module = types.ModuleType("vilbert.utils")

    class tbLogger:
        def __init__(self) -> None:
            self.task_loss = {"TASK1": 0.5}

        def __setstate__(self, state: object) -> None:
            raise AssertionError("it was built")  # there it opens a file

    class MultiTaskStopOnPlateau:
        def __init__(self) -> None:
            self.best, self.is_better = -float("inf"), functools.partial(self._cmp, "max", "rel", 1e-4)

        def _cmp(self, mode: str, threshold_mode: str, threshold: float, a: float, best: float) -> bool:
            return a > best

    for made in (tbLogger, MultiTaskStopOnPlateau):
        made.__module__, made.__qualname__ = "vilbert.utils", made.__name__
        setattr(module, made.__name__, made)
    monkeypatch.setitem(sys.modules, "vilbert", types.ModuleType("vilbert"))
    monkeypatch.setitem(sys.modules, "vilbert.utils", module)
    return module


@FORMATS
def test_the_training_archive_of_vilbert(tmp_path: Path, zipped: bool, vilbert: Any) -> None:
    wanted = torch.nn.Linear(2, 2).state_dict()
    told = {
        "model_state_dict": wanted, "optimizer_state_dict": {"state": {0: {"step": 1}}, "param_groups": [{"lr": 0.1}]},
        "task_stop_controller": {"TASK1": vilbert.MultiTaskStopOnPlateau()}, "tb_logger": vilbert.tbLogger(),
    }  # fmt: skip
    assert_same(Weights.open(save(told, tmp_path / "pytorch_ckpt_latest.tar", zipped)), dict(wanted))


def test_what_python_2_and_torch_0_3_wrote(tmp_path: Path) -> None:
    """An OrderedDict made of a list of pairs, names in bytes, and the first way to rebuild a tensor."""
    old = b"ctorch._utils\n_rebuild_tensor\n(" + storage() + number(0) + ints((2, 3)) + ints((3, 1)) + b"tR"
    pickle = P + b"ccollections\nOrderedDict\n](](U\x01a" + old + b"ee\x85R."
    path = archive(tmp_path / "a.pth", pickle, **{"data/0": np.arange(6, dtype=np.float32).tobytes()})
    found = Weights.open(path)
    assert {name: found[name].tolist() for name in found} == {"a": [[0, 1, 2], [3, 4, 5]]}


def test_an_archive_without_checksums(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        save({"a": torch.ones(2)}, tmp_path / "a.bin", True)
    finally:
        torch.serialization.set_crc32_options(True)
    assert Weights.open(tmp_path / "a.bin")["a"].tolist() == [1, 1]


def test_shards_of_pickles(tmp_path: Path) -> None:
    save({"a": torch.tensor([1.0])}, tmp_path / "one.bin", True)
    save({"b": torch.tensor([2.0])}, tmp_path / "two.bin", False)
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text('{"metadata": {}, "weight_map": {"a": "one.bin", "b": "two.bin"}}')
    found = Weights.open(tmp_path)
    assert {name: found[name].item() for name in found} == {"a": 1, "b": 2}
    index.write_text('{"metadata": {}, "weight_map": {"a": "one.bin", "b": "one.bin"}}')
    assert "b is to be in one.bin and is in no shard" in refused_folder(tmp_path)


def refused_folder(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        Weights.open(folder)
    return str(error.value)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (tensor((2, 4)), "reaches beyond its storage"),
        (tensor(offset=1), "reaches beyond its storage"),
        (tensor(stride=(4, 1)), "reaches beyond its storage"),
        (tensor(offset=2**62), "reaches beyond its storage"),
        (tensor((2**31 - 1, 2**31 - 1), (0, 0)), "no tensor has|repeats"),
        (tensor((2**20, 2**20), (0, 0)), "repeats fewer elements"),
        (tensor((7,), (0,)), "repeats fewer elements"),
        (tensor((0, 2**31 - 1, 2**31 - 1), (0, 0, 0)), "no tensor has"),
        (tensor((-1, -6)), "no count"),
        (tensor(offset=-1), "no count"),
        (tensor((2**63,), (1,)), "no count"),
        (tensor((6,)), "differ in length"),
        (tensor((1,) * 9, (1,) * 9), "more than 8 dimensions"),
        (tensor(size=7), "has another size than is told"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n" + storage() + b"\x85R", "a tensor that is none"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n(NNNNNNtR", "a tensor that is none"),
        (b"ctorch._utils\n_rebuild_parameter\nN\x85R", "_rebuild_parameter"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage() + number(0) + ints((2,)) + b"NN)tR", "no shape"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(kind="storage\nUntypedStorage"), "asks for torch.storage"),
        (storage().replace(b"FloatStorage", b"float32"), "a storage that is none"),
        (tensor()[:-2] + b"}" + text("conj") + b"\x88stR", "conjugated"),
        (b"N", "no dict of tensors"),
        (storage(), "no dict of tensors"),
    ],
)  # fmt: skip
def test_a_tensor_that_does_not_fit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: bytes, why: str
) -> None:
    monkeypatch.setattr(pickled, "ask", ask_here)
    refused(archive(tmp_path / "a.bin", entries(("a", made))), why)


def test_strides_of_one_element_may_be_any(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.bin", entries(("a", tensor((1, 6, 1), (2**31 - 1, 1, 2**31 - 1)))))
    assert Weights.open(path)["a"].shape == (1, 6, 1)


@pytest.mark.parametrize(
    ("pairs", "why"),
    [
        ([("a", tensor()), ("a", tensor())], "holds 'a' twice"),
        ([("a", tensor()), ("b", b"N")], "'b' among its tensors is none"),
        ([("a\n", tensor())], r"a tensor is called 'a\\n'"),
        ([("", tensor())], "a tensor is called ''"),
        ([("a" * 501, tensor())], "1 to 500 letters"),
        ([("a\u202e", tensor())], "a tensor is called"),
        ([(f"a{n}", tensor()) for n in range(2000)], "bytes in a file of"),
    ],
    ids=["twice", "none", "line", "empty", "long", "turned", "many"],
)  # fmt: skip
def test_names_and_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pairs: list[tuple[str, bytes]], why: str
) -> None:
    monkeypatch.setattr(pickled, "ask", ask_here)
    monkeypatch.setattr(pickled, "MOST_SHARED", 0.01 if len(pairs) > 2 else 64)
    refused(archive(tmp_path / "a.bin", entries(*pairs)), why)


def test_a_name_with_half_a_surrogate_is_refused(tmp_path: Path) -> None:
    pickle = entries(("a\u0800", tensor())).replace("\u0800".encode(), b"\xed\xa0\x80")
    refused(archive(tmp_path / "a.bin", pickle), r"a tensor is called 'a\\ud800'")


ANSWER = {"storages": [["0", "F32", 6]], "tensors": [["a", 0, "F32", 0, [2, 3], [3, 1]]], "order": [], "end": 0}


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        ({"tensors": [["a", 1, "F32", 0, [2], [1]]]}, "not a tensor"),
        ({"tensors": [["a", -1, "F32", 0, [2], [1]]]}, "not a tensor"),
        ({"tensors": [["a", 0, "F33", 0, [2], [1]]]}, "not a tensor"),
        ({"tensors": [["a\n", 0, "F32", 0, [2], [1]]]}, "not a tensor"),
        ({"tensors": [["a", 0, "F32", 0, [2], [1]]] * 2}, "not a tensor"),
        ({"tensors": [["a", 0, "F32", -1, [2], [1]]]}, "no tensor has"),
        ({"tensors": [["a", 0, "F32", 0, [-2], [1]]]}, "no tensor has"),
        ({"tensors": [["a", 0, "F32", 0, [2], [-1]]]}, "no tensor has"),
        ({"tensors": [["a", 0, "F32", 0, [2], [1, 1]]]}, "no tensor has"),
        ({"tensors": [["a", 0, "F64", 0, [6], [1]]]}, "reaches beyond"),
        ({"tensors": [["a", 0, "F32", 0, [2**62], [1]]]}, "no tensor has"),
        ({"storages": [["0", "F33", 6]]}, "a storage of type 'F33'"),
        ({"storages": [["1", "F32", 6]]}, "missing or has another size"),
        ({"storages": [["../0", "F32", 6]]}, "missing or has another size"),
        ({"storages": [["0", "F32", -6]]}, "missing or has another size"),
        ({"storages": [["0", "F32", 5]]}, "missing or has another size"),
        ({"more": 1}, "cannot be read within the limits"),
        ({"tensors": []}, "holds no tensor"),
        (None, "cannot be read within the limits"),
    ],
)  # fmt: skip
def test_the_answer_of_the_child_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: dict[str, object] | None, why: str
) -> None:
    path = stored(tmp_path / "a.bin")
    monkeypatch.setattr(pickled, "ask", lambda form, data: json.dumps(ANSWER).encode())
    assert Weights.open(path)["a"].shape == (2, 3)
    monkeypatch.setattr(pickled, "ask", lambda form, data: json.dumps(lie and {**ANSWER, **lie}).encode())
    refused(path, why)


ONE = struct.pack("<q", 6) + NOTHING


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (legacy(entries(("a", tensor())), ["0"], ONE[:-1]), "its storages end at byte"),
        (legacy(entries(("a", tensor())), ["0"], ONE[:4]), "its storages end at byte"),
        (legacy(entries(("a", tensor())), ["0"], b""), "another size than is told, or the file is cut off"),
        (legacy(entries(("a", tensor())), ["0"], ONE + b"x"), "its storages end at byte"),
        (legacy(entries(("a", tensor())), ["0"], struct.pack("<q", 5) + NOTHING), "another size than is told"),
        (legacy(entries(("a", tensor(size=2**62))), ["0"], struct.pack("<q", 2**62)), "its storages end at byte"),
        (legacy(entries(("a", tensor())), ["0", "0"], ONE), "list of storages"),
        (legacy(entries(("a", tensor())), ["1"], ONE), "list of storages"),
        (legacy(entries(("a", tensor())), ["0", "1"], ONE * 2), "list of storages"),
        (legacy(entries(("a", tensor())), [], ONE), "list of storages"),
        (legacy(entries(("a", tensor())), ["0"], ONE, little=b"\x89"), "big-endian"),
        (legacy(entries(("a", tensor())), ["0"], ONE, magic=1), "not one of torch.save"),
        (legacy(entries(("a", tensor())), ["0"], ONE)[:100], "damaged"),
    ],
)  # fmt: skip
def test_a_legacy_file_that_is_not_right_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, why: str
) -> None:
    monkeypatch.setattr(pickled, "ask", ask_here)
    path = tmp_path / "a.bin"
    path.write_bytes(legacy(entries(("a", tensor())), ["0"], ONE))
    assert Weights.open(path)["a"].shape == (2, 3)
    path.write_bytes(data)
    refused(path, why)


@FORMATS
def test_a_thousand_tensors_open_at_once(tmp_path: Path, zipped: bool) -> None:
    wanted = {f"model.layers.{n}.weight": torch.full((2, 2), float(n)) for n in range(1000)}
    path = save(wanted, tmp_path / "a.bin", zipped)
    before = spent()
    found = Weights.open(path)
    assert spent() - before < 1
    assert all(found[name][1, 1] == n for n, name in enumerate(wanted))
