"""Sentences with labels: columns and JSONL; what is wrong names its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from heedful.data.tagged import read_sentences
from heedful.errors import UserError

CONLL = (
    "-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\nrejects VBZ I-VP O\n\n\n-DOCSTART- -X- O O\nA DT I-NP O\n# NN I-NP O\n"
)


def read(path: Path, content: str, *fields: str) -> list[tuple[str, str]]:
    path.write_text(content, "utf-8")
    return [(" ".join(one.words), " ".join(one.labels)) for one in read_sentences(path, fields)]


def test_columns(tmp_path: Path) -> None:
    assert read(tmp_path / "eng.train", CONLL) == [("EU rejects", "I-ORG O"), ("A #", "O O")]
    assert read(tmp_path / "eng.train", CONLL, "1", "2") == [("EU rejects", "NNP VBZ"), ("A #", "DT NN")]
    lines = [one.where(1) for one in read_sentences(tmp_path / "eng.train")]
    assert [line.rsplit(":", 1)[1] for line in lines] == ["4", "9"]


def test_tabs_and_comments(tmp_path: Path) -> None:
    content = "# sent_id = 1\n1\tNew York\tPROPN\n2\tis\tAUX\n\n# text\n1\tSo\tADV\n"
    assert read(tmp_path / "a.conllu", content, "2", "3") == [("New York is", "PROPN AUX"), ("So", "ADV")]


def test_jsonl(tmp_path: Path) -> None:
    content = '{"words": ["a", "b"], "labels": ["X", "O"]}\n{"tokens": [], "words": [], "labels": []}\n'
    assert read(tmp_path / "a.jsonl", content) == [("a b", "X O")]
    assert read(tmp_path / "a.jsonl", '{"t": ["a"], "n": ["X"]}\n', "t", "n") == [("a", "X")]


@pytest.mark.parametrize(
    ("name", "content", "fields", "message"),
    [
        ("a", "EU I-ORG\nrejects\n", (), r"a:2: 1 columns, not 2"),
        ("a", "one\n", (), r"a:1: 1 columns, not 2"),
        ("a", "a b c\n", ("1", "4"), r"a:1: there is no column 4; there are 3"),
        ("a", "a b c\n", ("word", "label"), "name two by number"),
        ("a", "a b c\n", ("1",), "name two, of the word and of its label"),
        ("a", "a\t\tb\nc\td\t\n", (), r"a:2: the label is empty"),
        ("a.jsonl", '{"words": ["a"], "labels": []}\n', (), r"a\.jsonl:1: .* equally long"),
        ("a.jsonl", '{"words": "a", "labels": "X"}\n', (), r"a\.jsonl:1: .* two lists"),
        ("a.jsonl", '{"words": ["a", 1], "labels": ["X", "O"]}\n', (), "two lists of texts"),
    ],
)
def test_mistakes_name_their_line(
    tmp_path: Path, name: str, content: str, fields: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path / name, content, *fields)
