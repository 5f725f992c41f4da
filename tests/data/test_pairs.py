"""Pairs from files: groups are held out together, what says the same is known, mistakes are told by line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heedful.config import parse_recipe
from heedful.data.pairs import Pair, groups_of, prepare_pairs, read_pairs, read_parts
from heedful.data.table import Table
from heedful.errors import UserError


def test_formats(tmp_path: Path) -> None:
    plain, headed, lines = (tmp_path / f"a.{suffix}" for suffix in ("tsv", "csv", "jsonl"))
    plain.write_text("eins\tone\nzwei\ttwo\n")
    headed.write_text('group,second,first\n7,"one, 1",eins\n')
    lines.write_text('{"a": "eins", "b": "one", "group": 7}\n{"a": "zwei", "b": "two"}\n')
    assert list(read_pairs(plain)) == [Pair("eins", "one"), Pair("zwei", "two")]
    assert list(read_pairs(headed)) == [Pair("eins", "one, 1", "7")]
    assert list(read_pairs(lines, ["a", "b"])) == [Pair("eins", "one", "7"), Pair("zwei", "two")]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.tsv", "eins\tone\nzwei\t\n", r'a\.tsv:2: "second" is \'\''),
        ("a.tsv", "eins one\n", r"a\.tsv:1: 1 columns where 2 are needed"),
        ("a.jsonl", '{"first": 3, "second": "x"}\n', r'a\.jsonl:1: "first" is 3'),
        ("a.txt", "x", r"by the suffix '\.txt'"),
    ],
)
def test_mistakes_are_told_by_line(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=told):
        list(read_pairs(tmp_path / name))


def test_groups() -> None:
    found = groups_of([Pair("a", "b"), Pair("a", "c"), Pair("x", "c"), Pair("q", "r", "g"), Pair("s", "t", "g")])
    same = (found[:, None] == found[None]).any(-1)
    assert [(int(one), int(other)) for one, other in zip(*np.nonzero(np.triu(same, 1)), strict=True)] == [
        (0, 1), (1, 2), (3, 4),
    ]  # fmt: skip
    assert groups_of([]).shape == (0, 3)


def test_groups_are_held_out_together(tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    file.write_text("first\tsecond\tgroup\n" + "".join(f"word{n}\tW{n}\tg{n % 10}\n" for n in range(40)))
    recipe = parse_recipe({"task": "embed"}, [f'data.train=["{file}"]', "data.dev_share=0.2", "tokenizer.size=300"])
    train, dev = read_parts(recipe)
    assert ({pair.group for pair in dev}, len(dev), len(train)) == ({"g8", "g9"}, 8, 32)
    lines = prepare_pairs(recipe, tmp_path / "data")
    assert lines[-2:] == ["train: 32 pairs, 8 groups", "dev: 8 pairs, 2 groups"]
    table = Table.open(tmp_path / "data" / "train.safetensors")
    assert (len(table), table.streams) == (32, ("first", "second"))
    before = (tmp_path / "data" / "train.safetensors").stat().st_mtime_ns
    prepare_pairs(recipe, tmp_path / "data")
    assert (tmp_path / "data" / "train.safetensors").stat().st_mtime_ns == before  # found there
