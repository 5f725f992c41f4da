"""Readers: exact to the byte, every mistake one line with file:line, and no input that hangs or escapes."""

import gzip
import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heedful import config
from heedful.data import readers
from heedful.data.readers import Pair, paths, read_lines, read_pairs, read_parallel, read_tsv, resolve
from heedful.data.readers import read_jsonl as jsonl
from heedful.errors import UserError


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)
    return path


def pairs(folder: Path, **names) -> list[Pair]:
    return list(read_pairs(config.Data(**{key: tuple(value) for key, value in names.items()}), folder))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_all_formats_in_order(tmp_path, suffix):
    write(tmp_path / f"a.en{suffix}", b"one\n\ntwo\n")
    write(tmp_path / f"a.de{suffix}", b"eins\nleer\nzwei")
    write(tmp_path / f"b.tsv{suffix}", b"three\tdrei\n\tx\n")
    write(tmp_path / f"c.jsonl{suffix}", b'{"source": "four\\n4", "target": "vier", "id": 7}\n')
    found = pairs(
        tmp_path,
        source=[f"a.en{suffix}"],
        target=[f"a.de{suffix}"],
        pairs=[f"b.tsv{suffix}", f"c.jsonl{suffix}"],
    )
    assert [pair[:2] for pair in found] == [
        ("one", "eins"), ("", "leer"), ("two", "zwei"), ("three", "drei"), ("", "x"), ("four\n4", "vier"),
    ]  # fmt: skip
    files = [tmp_path / name for name in (f"a.en{suffix}", f"b.tsv{suffix}", f"c.jsonl{suffix}")]
    assert [pair.where for pair in found] == [
        *(f"{files[0]}:{n}" for n in (1, 2, 3)), *(f"{files[1]}:{n}" for n in (1, 2)), f"{files[2]}:1"
    ]  # fmt: skip


def test_dev_files_are_apart(tmp_path):
    for name in ("a", "b", "c", "d"):
        write(tmp_path / name, name.encode())
    data = config.Data(source=("a",), target=("b",), dev_source=("c",), dev_target=("d",))
    assert [pair[:2] for pair in read_pairs(data, tmp_path)] == [("a", "b")]
    assert [pair[:2] for pair in read_pairs(data, tmp_path, dev=True)] == [("c", "d")]
    assert paths(data, tmp_path) == [tmp_path / "a", tmp_path / "b"]
    assert paths(data, tmp_path, dev=True) == [tmp_path / "c", tmp_path / "d"]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a", ["a"]),
        (b"a\nb\n", ["a", "b"]),
        (b"a\r\nb\r\r\nc\rd\r", ["a", "b\r", "c\rd"]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb", ["a", "\ufeffb"]),
        ("a\u2028b\u0085c\u000bd\u000ce\u001cf\n\x00".encode(), ["a\u2028b\u0085c\u000bd\u000ce\u001cf", "\x00"]),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_lines_end_at_newline_only(tmp_path, content, lines, suffix):
    assert list(read_lines(write(tmp_path / f"x{suffix}", content))) == lines


def message(reader, *files) -> str:
    with pytest.raises(UserError) as caught:
        list(reader(*files))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "line", "says"),
    [
        ("a.tsv", b"a\tb\nab\n", 2, "1 columns where 2 are needed"),
        ("a.tsv", b"a\tb\tc\n", 1, "3 columns where 2 are needed"),
        ("a.tsv", b"a\tb\n\n", 2, "1 columns"),
        ("a.tsv", b"a\tb\n\xff\t\n", 2, r"not UTF-8: byte 1 \(0xff\)"),
        ("a.tsv", "a\tb\n".encode("utf-16"), 1, "looks like UTF-16"),
        ("a.tsv", b"a\t\xed\xa0\x80\n", 1, "not UTF-8"),
        ("a.jsonl", b"{}\n", 1, "missing required field `source`"),
        ("a.jsonl", b'{"source": "a", "target": "b"}\n\n', 2, "the line is empty"),
        ("a.jsonl", b'{"source": "a", "target": 3}', 1, "Expected `str`, got `int`"),
        ("a.jsonl", b'{"source": "a", "target": null}', 1, "Expected `str`, got `null`"),
        ("a.jsonl", b'["a", "b"]', 1, "Expected `object`, got `array`"),
        ("a.jsonl", b'{"source": "a"', 1, "truncated"),
        ("a.jsonl", b'{"source": "a", "target": "b"} x', 1, "trailing characters"),
        ("a.jsonl", b'{"source": "\\ud800", "target": "b"}', 1, "surrogate"),
        ("a.jsonl", b"[" * 200_000, 1, ""),
        ("a.jsonl", b'{"x":' * 200_000, 1, ""),
    ],
)
def test_mistakes_name_file_and_line(tmp_path, name, content, line, says):
    file = write(tmp_path / name, content)
    assert re.match(rf"{re.escape(str(file))}:{line}: .*{says}", message(readers.FORMATS[file.suffix], file))


def test_unequal_lengths_name_both_counts(tmp_path):
    long, short = write(tmp_path / "a", b"1\n2\n3\n4\n"), write(tmp_path / "b", b"1\n2\n")
    assert f"{short}:3: the file ends after 2 lines, but {long} has 4;" in message(read_parallel, long, short)
    assert f"{short}:3: the file ends after 2 lines, but {long} has 4;" in message(read_parallel, short, long)


def test_a_line_without_end_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "LONGEST_LINE", 2**20)
    exact, over = write(tmp_path / "a.gz", b"x" * 2**20), write(tmp_path / "b.gz", b"\n" + b"x" * 2**26)
    assert [len(line) for line in read_lines(exact)] == [2**20]
    assert message(read_lines, over).startswith(f"{over}:2: the line is longer than 1 MiB")


def test_damaged_gzip(tmp_path):
    whole = gzip.compress(b"line\n" * 5000)
    for content in (
        whole[:-9],
        whole[: len(whole) // 2],
        b"no gzip\n",
        whole[:20] + b"\x00" * 9 + whole[29:],
        b"\x1f\x8b",
    ):
        (tmp_path / "a.gz").write_bytes(content)
        assert "damaged gzip file" in message(read_lines, tmp_path / "a.gz")
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"a\n") + gzip.compress(b"b\n"))
    assert list(read_lines(tmp_path / "a.gz")) == ["a", "b"]


def test_resolve(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEEDFUL_DATA", raising=False)
    (tmp_path / "root").mkdir()
    inside = write(tmp_path / "root" / "a", b"")
    assert resolve("a", tmp_path / "root") == inside
    assert resolve(str(inside)) == inside
    with pytest.raises(UserError, match=r"a: no such file .*give their folder with --data DIR"):
        resolve("a")
    monkeypatch.setenv("HEEDFUL_DATA", str(tmp_path / "root"))
    assert resolve("a") == inside
    here = write(tmp_path / "a", b"")
    assert resolve("a").resolve() == here  # as given comes first
    with pytest.raises(UserError, match=r"multi30k/train\.en: no such file .*multi30k/dataset.*put them under .*root"):
        resolve("multi30k/train.en")
    with pytest.raises(UserError, match="not a regular file"):
        resolve(tmp_path / "root")
    with pytest.raises(UserError, match="no such file"):
        resolve("nul\0byte")


def test_wrong_sets_of_files(tmp_path):
    write(tmp_path / "a", b"")
    write(tmp_path / "a.csv.gz", b"")
    with pytest.raises(UserError, match=r"data\.source names 1 file\(s\) and data\.target 0; they go together"):
        pairs(tmp_path, source=["a"])
    with pytest.raises(UserError, match=r"a\.csv\.gz: data\.pairs cannot be read by the suffix '\.csv'"):
        pairs(tmp_path, pairs=["a.csv.gz"])


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.tuples(*[st.text(st.characters(exclude_categories=["Cs"]), max_size=9)] * 2), max_size=6))
def test_what_is_written_is_read(tmp_path_factory, rows):
    """Any text comes back from JSONL, any without tab and newline from the others, except for a BOM and a last \\r."""
    folder = tmp_path_factory.mktemp("rows")
    file = write(folder / "a.jsonl", b"".join(json.dumps({"source": s, "target": t}).encode() + b"\n" for s, t in rows))
    assert [pair[:2] for pair in jsonl(file)] == rows
    plain = [tuple(re.sub("[\t\n\r\ufeff]", " ", text) for text in row) for row in rows]
    file = write(folder / "a.tsv", "".join(f"{s}\t{t}\n" for s, t in plain).encode())
    assert [pair[:2] for pair in read_tsv(file)] == plain
    source = write(folder / "s", "".join(f"{s}\r\n" for s, _ in plain).encode())
    target = write(folder / "t.gz", "".join(f"{t}\n" for _, t in plain).encode())
    assert [pair[:2] for pair in read_parallel(source, target)] == plain


# Pieces of valid files among random bytes, so that every branch of every reader is met.
SCRAPS = [
    *(b"\n", b"\r\n", b"\t", b"a", b"\xef\xbb\xbf", "ä\u2028\x85".encode(), b"\xff", b"\x00", b"\x1f\x8b", b"a\tb\n"),
    *(b'{"source":"a","target":"b"}\n', b'{"source":"', b'","target":"b"}', b"\\ud83d\\ude00", b"\\ud800"),
    *(b"1e999", b"[[[[", b"{", b"null"),
]
BYTES = st.lists(st.sampled_from(SCRAPS) | st.binary(max_size=8), max_size=12).map(b"".join)
READERS = [
    "parallel",
    "parallel.gz",
    "tsv",
    "tsv.gz",
    "jsonl",
    "jsonl.gz",
    "raw.tsv.gz",
    "raw.jsonl.gz",
    "raw.parallel.gz",
]


def fuzz(folder: Path, name: str, one: bytes, other: bytes) -> None:
    """Only pairs or a UserError of one line that names the file and a line; never longer than a second."""
    kind, suffix = name.removeprefix("raw."), ".gz" if name.endswith(".gz") else ""
    files = [folder / f"{which}.{kind}" for which in ("one", "other")]
    for file, content in zip(files, (one, other), strict=True):
        packed = suffix and not name.startswith("raw.")
        file.write_bytes(gzip.compress(content, 1) if packed else content)
    began = time.monotonic()
    try:
        if kind.startswith("parallel"):
            found = list(read_parallel(*files))
        else:
            found = list(readers.FORMATS[f".{kind.removesuffix('.gz')}"](files[0]))
    except UserError as caught:
        found, error = [], str(caught)
    else:
        error = ""
    if error:
        assert re.match(rf"({'|'.join(re.escape(str(file)) for file in files)}):\d+: [^\n]+\Z", error)
    elif not name.startswith("raw."):
        assert len(found) == one.count(b"\n") + (not one.endswith(b"\n") and one != b"")
    assert all(isinstance(pair, Pair) and "\n" not in pair.where for pair in found)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=BYTES, other=BYTES)
def test_any_bytes(tmp_path, name, one, other):
    fuzz(tmp_path, name, one, other)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=BYTES | st.binary(max_size=300), other=BYTES)
def test_any_bytes_at_length(tmp_path, name, one, other):
    fuzz(tmp_path, name, one, other)
