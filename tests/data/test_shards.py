"""Shards: what goes in comes out, nothing half-written is ever seen, sampling is a pure function."""

import errno
import json
import os
import random
import shutil

import numpy as np
import pytest

from heedful.data import shards as module
from heedful.data.shards import Counts, Sampling, Shards, build_shards, key_of
from heedful.errors import UserError
from heedful.text.tokenizer import Tokenizer, train_tokenizer

WORDS = [
    "zwei",
    "junge",
    "Männer",
    "sind",
    "im",
    "Freien",
    "in",
    "der",
    "Nähe",
    "vieler",
    "Büsche",
    "und",
    "ein",
    "Hund",
    "klettert",
    "auf",
    "Holz",
    "2024",
]


def sentences(count: int, seed: int = 0) -> list[tuple[str, str]]:
    chance = random.Random(seed)
    return [tuple(" ".join(chance.choices(WORDS, k=chance.randint(1, 9))) for _ in "st") for _ in range(count)]


PAIRS = sentences(300)
SAMPLED = Sampling(probability=0.3, count=8, seed=3)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer([text for pair in PAIRS for text in pair], "bpe", 400)


@pytest.fixture
def build(tokenizer, tmp_path):
    def build(examples=PAIRS, folder="shards", **options) -> Shards:
        return build_shards(tmp_path / folder, examples, {"source": tokenizer, "target": tokenizer}, **options)

    return build


def rows(shards: Shards, stream: str, examples, epoch=None) -> list[list[int]]:
    ids, lengths = shards.rows(stream, np.asarray(examples), epoch)
    assert ids.dtype == lengths.dtype == np.int64
    return [row.tolist() for row in np.split(ids, np.cumsum(lengths)[:-1])]


@pytest.mark.parametrize("sampling", [None, SAMPLED])
@pytest.mark.parametrize("chunk", [7, 4096])
def test_every_example_comes_back(build, tokenizer, sampling, chunk, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", chunk)
    built = build(sampling=sampling, key="k")
    again = Shards.open(built.folder)
    for shards in (built, again):
        assert (len(shards), shards.streams) == (300, ("source", "target"))
        assert shards.counts == Counts(read=300, kept=300, empty=0, long=0)
        for side, stream in enumerate(shards.streams):
            expected = [tokenizer.encode(pair[side]) for pair in PAIRS]
            assert rows(shards, stream, range(300)) == expected
            assert shards.lengths(stream).tolist() == [len(row) for row in expected]
            assert rows(shards, stream, [5, 299, 5, 0]) == [expected[n] for n in (5, 299, 5, 0)]


def test_empty_and_long_sides_are_left_out_as_pairs(build, tokenizer):
    long = " ".join(["Holz"] * 40)
    examples = [("a", "b"), ("", "c"), ("d", " \t"), (long, "e"), ("f", long), ("g", "h", "file:6"), ("", "")]
    for sampling in (None, SAMPLED):
        shards = build(examples, longest=20, sampling=sampling)
        assert shards.counts == Counts(read=7, kept=2, empty=3, long=2)
        assert [tokenizer.decode(row) for row in rows(shards, "source", [0, 1])] == ["a", "g"]
        assert [tokenizer.decode(row) for row in rows(shards, "target", [0, 1])] == ["b", "h"]
    with pytest.raises(UserError, match="no example is left of 2 read: 1 have a side without text, 1 have more than"):
        build([("", "x"), (long, "x")], longest=20)
    assert len(Shards.open(shards.folder)) == 2  # what was there stays


def test_exactly_the_limit_is_kept(build, tokenizer):
    size = len(tokenizer.encode(PAIRS[0][0]))
    assert build([(PAIRS[0][0], "a")], longest=size).counts.kept == 1
    with pytest.raises(UserError):
        build([(PAIRS[0][0], "a")], longest=size - 1)


def test_one_stream_and_large_vocabularies(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr(Tokenizer, "vocab_size", 2**16 + 1)
    shards = build_shards(tmp_path / "s", [("ein Hund",), ("Holz",)], {"text": tokenizer})
    assert rows(shards, "text", [1, 0]) == [tokenizer.encode("Holz"), tokenizer.encode("ein Hund")]
    assert (tmp_path / "s" / "text.tokens").stat().st_size == 4 * shards.lengths("text").sum()


def test_building_is_repeatable_to_the_byte(build):
    for sampling in (None, SAMPLED):
        one, two = build(folder="one", sampling=sampling), build(folder="two", sampling=sampling)
        names = sorted(file.name for file in one.folder.iterdir())
        assert names == sorted(file.name for file in two.folder.iterdir())
        assert all((one.folder / name).read_bytes() == (two.folder / name).read_bytes() for name in names)


def test_sampling_is_a_pure_function(build, tokenizer):
    shards = build(sampling=SAMPLED)
    all_rows = {epoch: rows(shards, "target", range(300), epoch) for epoch in range(3)}
    assert all_rows[0] != all_rows[1] != all_rows[2] != all_rows[0]
    order = np.random.default_rng(0).permutation(300)
    again = Shards.open(shards.folder)
    assert rows(again, "target", order, 1) == [all_rows[1][n] for n in order]
    assert rows(again, "target", [17], 2) == [all_rows[2][17]]
    for epoch, found in all_rows.items():
        assert shards.lengths("target", epoch).tolist() == [len(row) for row in found]
        assert [tokenizer.decode(row) for row in found] == [pair[1] for pair in PAIRS]


def test_sampling_statistics(build, tokenizer):
    """The same word at two places is segmented independently; about as many words differ as the table says."""
    shards = build([("Büsche Büsche", "Büsche Büsche")] * 2000, sampling=Sampling(0.3, 64, 1))
    found = [tuple(row) for row in rows(shards, "source", range(2000), 0)]
    own = tuple(tokenizer.encode("Büsche Büsche"))
    assert len(set(found)) > 20
    assert 0.05 < np.mean([row == own for row in found]) < 0.9
    assert rows(shards, "source", range(2000), 0) != rows(shards, "target", range(2000), 0)
    other = build([("Büsche Büsche", "x")] * 2000, folder="other", sampling=Sampling(0.3, 64, 2))
    assert rows(other, "source", range(2000), 0) != rows(shards, "source", range(2000), 0)


def test_no_probability_is_no_sampling(build, tokenizer):
    shards = build(sampling=Sampling(0.0, 4, 1))
    assert rows(shards, "source", range(300), 5) == [tokenizer.encode(pair[0]) for pair in PAIRS]


def test_a_sampled_row_never_exceeds_the_limit(build, tokenizer):
    longest = max(len(tokenizer.encode(text)) for pair in PAIRS for text in pair)
    shards = build(sampling=Sampling(0.9, 8, 1), longest=longest)
    lengths = shards.lengths("source", 0)
    own = shards.lengths("source")
    assert lengths.max() <= longest
    assert (lengths > own).sum() > 20
    assert lengths.tolist() == [len(row) for row in rows(shards, "source", range(300), 0)]


def test_memory_is_bounded(tmp_path, tokenizer):
    """Examples are taken from the iterator a chunk at a time and not kept."""
    alive = most = 0

    class Line(str):
        def __new__(cls, text):
            nonlocal alive, most
            alive += 1
            most = max(most, alive)
            return super().__new__(cls, text)

        def __del__(self):
            nonlocal alive
            alive -= 1

    examples = ((Line("ein Hund"),) for _ in range(5 * module.CHUNK))
    assert build_shards(tmp_path / "s", examples, {"text": tokenizer}).counts.kept == 5 * module.CHUNK
    assert most <= 2 * module.CHUNK + 2


@pytest.mark.parametrize("sampling", [None, SAMPLED])
def test_every_damage_is_found(build, sampling):
    folder = build(sampling=sampling).folder
    for file in sorted(folder.iterdir()):
        whole = file.read_bytes()
        damaged = [whole[:-1], whole + b"\0", b""]
        if file.name != "manifest.json":
            damaged += [whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :] for at in (0, len(whole) // 2, -9)]
        for content in damaged:
            if content == whole[:-1] and whole[-1:] == b"\n":
                continue  # the newline at the end of the manifest
            file.write_bytes(content)
            with pytest.raises(UserError, match=str(folder)):
                Shards.open(folder)
            assert Shards.reuse(folder, "") is None
        file.unlink()
        with pytest.raises(UserError, match="cannot be read"):
            Shards.open(folder)
        file.write_bytes(whole)
    Shards.open(folder)


def test_a_strange_manifest_is_refused(build):
    folder = build().folder
    good = json.loads((folder / "manifest.json").read_bytes())
    for change in (
        {"format": 2}, {"extra": 1}, {"streams": ["source"]}, {"counts": 3}, {"files": {}}, {"longest": "x"},
        {"sampling": {"probability": 0.1}}, {"files": {**good["files"], "../../x": good["files"]["source.tokens"]}},
    ):  # fmt: skip
        (folder / "manifest.json").write_text(json.dumps(good | change))
        with pytest.raises(UserError, match=r"manifest\.json"):
            Shards.open(folder)
    (folder / "manifest.json").write_bytes(b"[" * 100_000)
    with pytest.raises(UserError, match="damaged"):
        Shards.open(folder)


def test_keys(build, tmp_path, tokenizer):
    file = tmp_path / "a"
    file.write_text("a")
    key = key_of([file], [tokenizer], {"longest": 9, "b": None})
    assert key == key_of([file], [tokenizer], {"b": None, "longest": 9})
    assert key != key_of([file], [tokenizer], {"b": None, "longest": 8})
    assert key != key_of([file, file], [tokenizer], {"b": None, "longest": 9})
    assert key != key_of([file], [train_tokenizer(["a"], "bpe", 300)], {"b": None, "longest": 9})
    file.write_text("b")
    assert key != key_of([file], [tokenizer], {"b": None, "longest": 9})
    folder = build(key=key).folder
    assert len(Shards.open(folder, key)) == len(Shards.reuse(folder, key)) == 300
    assert Shards.reuse(folder, "other") is None
    assert Shards.reuse(tmp_path / "none", key) is None
    with pytest.raises(UserError, match="built from other data or settings"):
        Shards.open(folder, "other")


def test_a_failure_leaves_the_old_shards_and_nothing_else(build, tmp_path, monkeypatch):
    folder = build(PAIRS[:9]).folder

    def broken():
        yield from PAIRS
        raise UserError("train.en:301: not UTF-8")

    with pytest.raises(UserError, match=r"train\.en:301"):
        build(broken())

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match="No space left on device; free some space or choose another folder"):
            build()
    assert len(Shards.open(folder)) == 9
    assert [entry.name for entry in tmp_path.iterdir()] == ["shards"]


def test_what_a_killed_process_left_is_swept(build, tmp_path):
    shutil.copytree(build(PAIRS[:9]).folder, tmp_path / ".tmp-shards-1")
    (tmp_path / ".tmp-other-1").mkdir()
    assert len(Shards.open(build().folder)) == 300
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".tmp-other-1", "shards"]
