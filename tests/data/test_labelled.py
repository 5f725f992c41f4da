"""Labelled texts in every format; what is wrong names its line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from heedful.config import Data
from heedful.data.holding import held_out, parts
from heedful.data.labelled import Example, read_examples
from heedful.errors import UserError


def read(path: Path, content: str | bytes, **settings: Any) -> list[tuple[Any, ...]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [(*one.texts, one.answer) for one in read_examples(path, Data(**settings))]


@pytest.mark.parametrize(
    ("name", "content", "settings", "found"),
    [
        ("a.tsv", "good\t1\nbad \t0\n", {}, [("good", "1"), ("bad ", "0")]),
        ("a.tsv", "sentence\tlabel\nso so\tx\n", {"fields": ("sentence", "label")}, [("so so", "x")]),
        ("a.tsv", "label\tsentence\nx\tso\n", {"fields": ("sentence", "label")}, [("so", "x")]),
        ("a.tsv", "p\tq\tyes\n", {"fields": ("1", "2", "3")}, [("p", "q", "yes")]),
        ("a.csv", 'text,label\n"a, b",x\n', {}, [("a, b", "x")]),
        ("a.jsonl", '{"text": "a", "label": true}\n{"text": "b", "label": 3}\n', {}, [("a", "true"), ("b", "3")]),
        ("a.jsonl", '{"text": "a", "label": ["x", "y"]}\n', {"labels": "several"}, [("a", ("x", "y"))]),
        ("a.jsonl", '{"text": "a", "label": []}\n', {"labels": "several"}, [("a", ())]),
        ("a.tsv", "a\tx, y\nb\tx\n", {"labels": "several"}, [("a", ("x", "y")), ("b", ("x",))]),
        ("a.tsv", "a\t1.5\n", {"labels": "number"}, [("a", 1.5)]),
        ("a.txt", "x some text\ny  more\n", {}, [("some text", "x"), ("more", "y")]),
        ("a.txt", "DESC:manner How ?\n", {"label_until": ":"}, [("How ?", "DESC")]),
        ("a.txt", "DESC:manner How ?\n", {}, [("How ?", "DESC:manner")]),
        ("a.txt", "__label__x some text\n", {}, [("some text", "x")]),
        ("a.txt", "__label__x __label__y text\n", {"labels": "several"}, [("text", ("x", "y"))]),
    ],
)
def test_formats(tmp_path: Path, name: str, content: str, settings: Any, found: list[tuple[Any, ...]]) -> None:
    assert read(tmp_path / name, content, **settings) == found


@pytest.mark.parametrize(
    ("name", "content", "settings", "message"),
    [
        ("a.tsv", "good\t1\nbad\n", {}, r"a\.tsv:2: 1 columns"),
        ("a.tsv", "good\t\n", {}, r"a\.tsv:1: the label is empty"),
        ("a.tsv", "good\tx\n", {"labels": "number"}, r"a\.tsv:1: 'x' is not a number"),
        ("a.tsv", "good\tnan\n", {"labels": "number"}, r"a\.tsv:1: 'nan' is not a number"),
        ("a.jsonl", '{"text": "a", "label": true}\n', {"labels": "number"}, "True is not a number"),
        ("a.jsonl", '{"text": "a", "label": ["x"]}\n', {}, "set data.labels = 'several'"),
        ("a.jsonl", '{"text": 3, "label": "x"}\n', {}, r"a\.jsonl:1: 3 is not a text"),
        ("a.txt", "x a\n\ny b\n", {}, r"a\.txt:2: the line is empty"),
        ("a.txt", "x a\n", {"fields": ("1", "2", "3")}, "pairs of texts are read from"),
        ("a.txt", ":x a\n", {"label_until": ":"}, "the label is empty"),
        ("a.txt", b"LOC:city sister\xf0city\n", {}, r"a\.txt:1: not UTF-8: byte 16 .*iconv"),
    ],
)
def test_mistakes_name_their_line(tmp_path: Path, name: str, content: str | bytes, settings: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as told:
        read(tmp_path / name, content, **settings)
    assert "\n" not in str(told.value)


def example(text: str) -> Example:
    return Example((text,), "x", "")


def test_a_text_is_never_on_both_sides() -> None:
    texts = [f"text {number % 60}" for number in range(200)] + ["  text   7 "]
    found = parts([*map(example, texts)], [], [], lambda one: one.texts, 1, 0.2, "a")
    said = lambda some: {" ".join(one.texts[0].split()) for one in some}
    assert not said(found.train) & said(found.dev)
    assert len(found.train) + len(found.dev) == 201
    assert 0 < len(found.dev) < 100
    other = parts([*map(example, texts)], [], [], lambda one: one.texts, 2, 0.2, "a")
    assert said(other.dev) != said(found.dev)


def test_what_is_held_out_does_not_hang_on_the_other_examples() -> None:
    whole = held_out(list(range(1000)), 1, 0.1, "a")
    assert held_out(list(range(500)), 1, 0.1, "a").tolist() == whole[:500].tolist()
    assert 60 < whole.sum() < 140


def test_what_is_in_dev_or_test_is_not_trained_on() -> None:
    train = [example(text) for text in ("a", "b", " ", "c", "d")]
    found = parts(train, [example("b ")], [example("c")], lambda one: one.texts, 1, 0.5, "f")
    assert [one.texts[0] for one in found.train] == ["a", "d"]
    assert dict(found.notes)["left out: in the dev or test files as well"] == "2"
    assert dict(found.notes)["left out: without text"] == "1"
    kept = parts(train, [example("b ")], [example("c")], lambda one: one.texts, 1, 0.5, "f", leaks=True)
    assert [one.texts[0] for one in kept.train] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(("train", "message"), [([], "no example is left"), (["a"], re.escape("data.dev_share"))])
def test_nothing_left_is_told(train: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parts([*map(example, train)], [], [], lambda one: one.texts, 1, 0.2, "f")
