"""Records from TSV, CSV and JSONL: by header, by name, by number, in order; and what is wrong with a file."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from heedful.data.records import read_records
from heedful.errors import UserError


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    content = text.encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def values(
    path: Path, fields: tuple[str, ...] = (), names: tuple[str, ...] = ("text", "label")
) -> list[tuple[object, ...]]:
    return [record.values for record in read_records(path, names, fields, optional=("second",))]


@pytest.mark.parametrize(
    ("name", "text", "fields"),
    [
        ("a.tsv", "a b\tyes\nc\tno\n", ()),
        ("a.tsv", "text\tlabel\na b\tyes\nc\tno\n", ()),
        ("a.tsv.gz", "label\tid\ttext\nyes\t1\ta b\nno\t2\tc\n", ()),
        ("a.tsv", "sentence\tgold\na b\tyes\nc\tno\n", ("sentence", "gold")),
        ("a.tsv", "1\tyes\ta b\n2\tno\tc\n", ("3", "2")),
        ("a.csv", 'text,label\n"a b",yes\nc,no\n', ()),
        ("a.jsonl", '{"text": "a b", "label": "yes", "id": 3}\n{"label": "no", "text": "c"}\n', ()),
        ("a.jsonl.gz", '{"s": "a b", "label": "yes"}\n{"label": "no", "s": "c"}\n', ("s",)),
    ],
)
def test_values_are_found(tmp_path: Path, name: str, text: str, fields: tuple[str, ...]) -> None:
    assert values(written(tmp_path, name, text), fields) == [("a b", "yes"), ("c", "no")]


def test_where_a_record_is_from_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, "a.tsv", "text\tlabel\na\tb\n")
    assert [record.where for record in read_records(path, ("text", "label"))] == [f"{path}:2"]


def test_commas_and_quotes_inside_csv(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", 'text,label\n"a, ""b""",yes\n')
    assert values(path) == [('a, "b"', "yes")]


def test_optional_values_may_be_missing(tmp_path: Path) -> None:
    names = ("text", "second", "label")
    assert values(written(tmp_path, "a.tsv", "text\tlabel\na\tx\n"), names=names) == [("a", None, "x")]
    assert values(written(tmp_path, "b.tsv", "text\tsecond\tlabel\na\tb\tx\n"), names=names) == [("a", "b", "x")]
    assert values(written(tmp_path, "c.jsonl", '{"text": "a", "label": 3}\n'), names=names) == [("a", None, 3)]
    assert values(written(tmp_path, "d.tsv", "a\tb\tx\n"), ("1", "2", "3"), names) == [("a", "b", "x")]


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    assert values(written(tmp_path, "a.tsv", "")) == values(written(tmp_path, "a.jsonl", "")) == []


@pytest.mark.parametrize(
    ("name", "text", "fields", "said"),
    [
        ("a.txt", "a\tb\n", (), "the suffix '.txt'"),
        ("a.tsv", "a\n", (), ":1: 1 columns where 2 are needed"),
        ("a.tsv", "text\tlabel\na\n", (), ":2: 1 columns"),
        ("a.tsv", "text\tgold\na\tb\n", (), "no column 'label'"),
        ("a.tsv", "a\tb\n", ("sentence",), "no column 'sentence'; the first line has: a, b"),
        ("a.csv", 'text,label\n"a,b\n', (), ":2: "),
        ("a.jsonl", '{"text": "a"}\n', (), ':1: there is no "label"; the keys are text'),
        ("a.jsonl", "[1]\n", (), ":1: "),
        ("a.jsonl", '{"text": "a", "label": "b"}\n\n', (), ":2: the line is empty"),
        ("a.jsonl", "[" * 100_000, (), ":1: "),
        ("a.tsv", "a\tb\n", ("1", "2", "3"), "names 3 values; this task reads 2: text, label"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, name: str, text: str, fields: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError) as caught:
        values(written(tmp_path, name, text), fields)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
