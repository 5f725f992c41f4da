"""Terms are found where they are words, the longest first, and a file's mistakes are told with their line."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from heedful.errors import UserError
from heedful.text.terms import LONGEST_FILE, Terms

TERMS = Terms(
    [("router", "Router"), ("hard disk", "Festplatte"), ("hard disk drive", "Laufwerk"), ("C++", "C++"), ("US", "USA"),
     ("点击", "click"), (".NET", ".NET")]
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Router and hard disk drives", [("Router", "Router"), ("hard disk", "Festplatte")]),
        ("hard disk drive, HARD DISK.", [("hard disk drive", "Laufwerk"), ("HARD DISK", "Festplatte")]),
        ("routers prouter router_", []),
        ("C++, us, US, USB .NET", [("C++", "C++"), ("US", "USA"), (".NET", ".NET")]),
        ("请点击这里", [("点击", "click")]),
        ("hard  disk", []),
        ("", []),
    ],
)
def test_finding(text: str, expected: list[tuple[str, str]]) -> None:
    assert [(text[span.start : span.end], span.text) for span in TERMS.find(text)] == expected


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "terms.tsv"
    path.write_bytes(b"\xef\xbb\xbfrouter\tRouter\r\n\n hub \t Knoten \nhub\tKnoten\n")
    assert Terms.load(path).targets == {"router": "Router", "hub": "Knoten"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\tb\nno tab\n", r":2: must be a term, one tab"),
        (b"a\tb\tc\n", r":1: must be a term, one tab"),
        (b"\tb\n", r":1: must be"),
        (b"a\t\n", r":1: must be"),
        (b"a\tb\n\xff\tc\n", r":2: not UTF-8"),
        (b"a\tb\na\tc\n", r":2: 'a' has another translation in line 1"),
        (b"a\t" + b"b" * 201, r":1: longer than 200"),
        (b"a" * (LONGEST_FILE + 1), r"longer than [\d,]+ bytes"),
    ],
)
def test_mistakes(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "terms.tsv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as told:
        Terms.load(path)
    assert "\n" not in str(told.value)


def test_no_file(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path, "\0"):
        with pytest.raises(UserError, match="cannot be read"):
            Terms.load(path)


def test_any_bytes_are_terms_or_a_mistake(tmp_path: Path) -> None:
    drawn = random.Random(1)
    for _ in range(300):
        path = tmp_path / "terms.tsv"
        path.write_bytes(bytes(drawn.choice(b"ab\t\n\r \xc3\xa9\xff\x00") for _ in range(drawn.randrange(20))))
        try:
            Terms.load(path).find("a b ab é")
        except UserError:
            continue


def test_many_terms_that_begin_alike() -> None:
    many = Terms((f"term {number}", "x") for number in range(100_000))
    began = time.process_time()
    assert len(many.find("term 99999 and term 5 " * 1000)) == 2000
    assert time.process_time() - began < 5.0
