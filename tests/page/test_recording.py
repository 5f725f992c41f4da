"""Files of records: exact, valid whatever the strings, and nothing else is read."""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest

from heedful.errors import UserError
from heedful.inside.record import Guess, Record, Said
from heedful.page.recording import FORMAT, as_json, from_json, load_npz, save_npz

from . import records

HOSTILE = [
    "\ud800",
    "\x00",
    "</script>",
    '"',
    "\u2028",
    "\u202e",
    "日本語",
    "../../x",
    "a/b.npy",
    "é",
    "\U0001f469\u200d",
]


def assert_same(one, other, where="record"):
    assert type(one) is type(other), where
    if isinstance(one, np.ndarray):
        assert (one.dtype, one.shape) == (other.dtype, other.shape), where
        assert one.tobytes() == other.tobytes(), where
    elif is_dataclass(one):
        for field in fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name), f"{where}.{field.name}")
    elif isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for number, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{where}[{number}]")
    elif isinstance(one, float) and math.isnan(one):
        assert math.isnan(other), where
    else:
        assert one == other, where


def everything() -> list[Record]:
    plain = [records.translation(), records.seeing(), records.writing(), records.classifying()]
    hostile = records.translation(["s", *HOSTILE, "e"], [*HOSTILE, "e"], ())
    views = tuple(replace(hostile.views[0], name=name) for name in (*HOSTILE, *HOSTILE))
    return [*plain, replace(hostile, views=views, model=HOSTILE[0], notes=tuple(HOSTILE))]


@pytest.mark.parametrize("record", everything(), ids=lambda record: record.task)
def test_both_files_read_back_bit_for_bit(record, tmp_path):
    assert_same(from_json(as_json(record)), record)
    save_npz(record, tmp_path / "a.npz")
    assert_same(load_npz(tmp_path / "a.npz"), record)


def test_json_is_what_anyone_can_read():
    record = everything()[-1]
    text = as_json(record)
    assert text.isascii()
    data = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert data["format"] == FORMAT == "heedful.look.v1"
    assert data["lines"]["source"]["words"][1:-1] == HOSTILE
    layer = data["kinds"][2]["layers"][1]
    assert layer["address"] == "target.1.source"
    assert np.array(layer["weights"]).tolist() == record.kinds[2].layers[1].weights.astype(float).tolist()
    assert set(data) == {"format", *(field.name for field in fields(Record))}


def test_an_npz_is_plain_arrays(tmp_path):
    record = records.translation()
    save_npz(record, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    text = arrays.pop("record.json")
    assert text.dtype == np.uint8
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    assert set(arrays) == {
        *("weights/source.0.source", "weights/target.0.target", "weights/target.0.source", "weights/target.1.source"),
        *("weighted/target.0.source", "views/target.source/best"),
    }
    np.testing.assert_array_equal(arrays["weights/target.1.source"], record.kind("target.source").layers[1].weights)
    data = json.loads(text.tobytes())
    assert data["kinds"][0]["layers"][0]["weights"] == {"array": "weights/source.0.source"}


def test_what_is_no_number_is_null():
    record = replace(records.writing(), said=(Said("a", -math.inf, (Guess("b", math.nan),)),))
    record.kinds[0].layers[0].weights[0, 1, 0] = np.nan
    text = as_json(record)
    json.loads(text, parse_constant=lambda name: pytest.fail(name))
    again = from_json(text)
    assert math.isnan(again.said[0].logprob)
    assert np.isnan(again.kinds[0].layers[0].weights[0, 1, 0])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: data.update(format="heedful.look.v9"), "heedful.look.v1"),
        (lambda data: data.pop("kinds"), "kinds"),
        (lambda data: data.update(more=1), "more"),
        (lambda data: data["lines"]["text"].update(words="no list"), r"record.lines.text.words"),
        (lambda data: data["kinds"][0]["layers"][0].update(weights=[[[1.0]]]), "text.0.text"),
        (lambda data: data["kinds"][0].update(queries="elsewhere"), "elsewhere"),
        (lambda data: data["said"][0].update(logprob="high"), "logprob"),
        (lambda data: data["lines"]["text"].update(word=["a"]), "no record"),
    ],
)
def test_something_else_is_told(change, told):
    data = json.loads(as_json(records.writing()))
    change(data)
    with pytest.raises(UserError, match=told):
        from_json(json.dumps(data))


@pytest.mark.parametrize("text", ["", "[]", "{", "1", "[" * 100_000])
def test_what_is_no_record_is_told(text):
    with pytest.raises(UserError, match="no record of heedful look"):
        from_json(text)


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + b"\0" * 18, b"PK\x03\x04", b"\x93NUMPY", b"text"])
def test_a_file_that_is_no_record_is_told(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.npz: no record"):
        load_npz(tmp_path / "a.npz")


def test_objects_are_not_read(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{}], object))
    with pytest.raises(UserError, match="no record"):
        load_npz(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as file:
        file.writestr("record.json", "{}")
    with pytest.raises(UserError, match="no record"):
        load_npz(tmp_path / "b.npz")
