"""Documents from files, what is held out, and what is made of them on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from heedful.config import Recipe, parse_recipe
from heedful.data.shards import Shards
from heedful.data.texts import prepare_texts, read_documents, read_parts
from heedful.errors import UserError

TEXT = "one\ntwo\n\n\nthree\nfour"


def write(folder: Path, text: str = TEXT, name: str = "a.txt") -> Path:
    (folder / name).write_bytes(text.encode())
    return folder / name


def recipe(file: Path, task: str = "write", *settings: str) -> Recipe:
    return parse_recipe({"task": task}, [f'data.train=["{file}"]', "tokenizer.size=300", *settings])


@pytest.mark.parametrize(
    ("how", "prose", "documents"),
    [
        ("file", True, [TEXT + "\n"]),
        ("paragraph", True, ["one\ntwo\n\n", "three\nfour\n"]),
        ("line", True, ["one\n", "two\n", "three\n", "four\n"]),
        ("file", False, ["one two   three four"]),
        ("paragraph", False, ["one two ", "three four"]),
        ("line", False, ["one", "two", "three", "four"]),
    ],
)
def test_documents(tmp_path: Path, how: str, prose: bool, documents: list[str]) -> None:
    assert list(read_documents(write(tmp_path), how, prose)) == documents


def test_records_are_documents(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"text": text}) + "\n" for text in ("a\nb", " ", "c"))
    assert list(read_documents(write(tmp_path, lines, "a.jsonl"), "line", True)) == ["a\nb", "c"]
    with pytest.raises(UserError, match=r'a\.jsonl:1: "text" is 3, not a text'):
        list(read_documents(write(tmp_path, '{"text": 3}\n', "a.jsonl"), "line", True))


def test_of_one_document_the_last_characters_are_held_out(tmp_path: Path) -> None:
    file = write(tmp_path, "0123456789" * 20 + "\n")
    parts = read_parts(recipe(file), prose=True)
    assert (parts.train, parts.dev) == (["0123456789" * 18], ["0123456789" * 2 + "\n"])


def test_of_many_the_last_documents_are_held_out(tmp_path: Path) -> None:
    file = write(tmp_path, "".join(f"line {number}\n" for number in range(20)))
    parts = read_parts(recipe(file, "fill"), prose=False)
    assert (len(parts.train), parts.dev) == (18, ["line 18", "line 19"])


def test_dev_files_are_held_out_whole(tmp_path: Path) -> None:
    dev = write(tmp_path, "other\n", "dev.txt")
    parts = read_parts(recipe(write(tmp_path), "write", f'data.dev=["{dev}"]'), prose=True)
    assert (parts.train, parts.dev) == ([TEXT + "\n"], ["other\n"])


def test_prepared_once_and_again_only_if_anything_changed(tmp_path: Path) -> None:
    file = write(tmp_path, "ab abc abcd\n" * 50)
    lines, tokenizer, _ = prepare_texts(recipe(file), tmp_path / "data", prose=True)
    assert lines[0].startswith("train: 1 documents, 540 characters, ")
    shards = Shards.open(tmp_path / "data" / "train")
    assert tokenizer.decode(shards.rows("text", np.array([0]))[0]) == "ab abc abcd\n" * 45
    before = (tmp_path / "data" / "train" / "manifest.json").stat().st_ino
    again, same, _ = prepare_texts(recipe(file), tmp_path / "data", prose=True)
    assert (again, same.fingerprint) == (lines, tokenizer.fingerprint)
    assert (tmp_path / "data" / "train" / "manifest.json").stat().st_ino == before
    prepare_texts(recipe(file, "write", "data.dev_share=0.5"), tmp_path / "data", prose=True)
    assert (tmp_path / "data" / "train" / "manifest.json").stat().st_ino != before


def test_nothing_left_is_said(tmp_path: Path) -> None:
    for text, share in (("", 0.1), ("a", 0.0)):
        with pytest.raises(UserError, match="no text is left for"):
            prepare_texts(recipe(write(tmp_path, text), "write", f"data.dev_share={share}"), tmp_path / "d", prose=True)
