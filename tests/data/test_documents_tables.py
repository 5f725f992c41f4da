"""TSV and JSONL: what lacks a translation gets one, every other byte stays."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from heedful.data.documents import open_document
from heedful.errors import UserError


def filled(name: str, content: bytes) -> bytes:
    document = open_document(Path(name), content)
    assert document.write({}) == content
    return document.write({n: unit.text.upper() for n, unit in enumerate(document.units) if not unit.translated})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"a cat\teine Katze\na dog\t\n", b"a cat\teine Katze\na dog\tA DOG\n"),
        (b"a dog", b"a dog\tA DOG"),
        (b"a dog\t  \tnote\r\n\r\nb\r\n", b"a dog\tA DOG\tnote\r\n\r\nb\tB\r\n"),
        (b"\xef\xbb\xbfx\t\n\ty\n", b"\xef\xbb\xbfx\tX\n\ty\n"),
        ("x\u2028y\t".encode(), "x\u2028y\tX\u2028Y".encode()),
    ],
)
def test_tsv(before: bytes, after: bytes) -> None:
    assert filled("a.tsv", before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"source": "a"}\n', b'{"source": "a", "target": "A"}\n'),
        (b'{"id":7,"target":"","source":"a" }\n', b'{"id":7,"target":"A","source":"a" }\n'),
        (b'{"source": "a", "target": null, "x": [1, {"target": ""}]}', b'{"source": "a", "target": "A", "x": [1, {"target": ""}]}'),  # noqa: E501
        (b'\n{"source": "a", "target": "da"}\r\n', b'\n{"source": "a", "target": "da"}\r\n'),
        (b'{"source": "a\\n\\"b\\""}', b'{"source": "a\\n\\"b\\"", "target": "A\\n\\"B\\""}'),
    ],
)  # fmt: skip
def test_jsonl(before: bytes, after: bytes) -> None:
    assert filled("a.jsonl", before) == after


def test_a_tab_or_a_line_end_in_a_translation_stays_in_its_column() -> None:
    document = open_document(Path("a.tsv"), b"x\t\n")
    assert document.write({0: "a\tb\nc"}) == b"x\ta b c\n"


@pytest.mark.parametrize(
    "row",
    ["{", "[1]", "7", '{"source": 1}', '{"target": "x"}', '{"source": "a"} x', '{"source" "a"}', '{"source": "a",}',
     "{\"source\": 'a'}", '{"source": "a", "target": 3}', "[" * 100_000, '{"a":' * 100_000],
)  # fmt: skip
def test_a_row_that_is_no_such_object_is_named(row: str) -> None:
    with pytest.raises(UserError, match=r"a\.jsonl:2: ") as told:
        open_document(Path("a.jsonl"), b'{"source": "fine"}\n' + row.encode())
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["a.tsv", "a.jsonl"])
@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_damaged_files(name: str, count: int) -> None:
    good = {
        "a.tsv": b"one cat\t\ntwo\tzwei\tx\n\n  \tthree\n",
        "a.jsonl": b'{"source": "one \\u00e4"}\n{"source": "b", "target": "c", "n": [1, 2]}\n{"target": "", "source": "d"}\n',  # noqa: E501
    }[name]
    draw = random.Random(3)
    for _ in range(count):
        content = bytearray(good)
        for _ in range(draw.randint(1, 4)):
            place = draw.randrange(len(content) + 1)
            kind = draw.random()
            if kind < 0.4 and place < len(content):
                content[place] ^= 1 << draw.randrange(8)
            elif kind < 0.7:
                content[place:place] = draw.choice([b"\t", b"\n", b"\x00", b'"', b"\\", b"{", b"\xff", b"\xe2\x80\xa8"])
            else:
                del content[place : place + draw.randint(1, 9)]
        began = time.monotonic()
        try:
            document = open_document(Path(name), bytes(content))
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert document.write({}) == bytes(content)
            wanted = {n: "ok" for n, unit in enumerate(document.units) if not unit.translated}
            again = open_document(Path(name), document.write(wanted))
            assert all(unit.translated for unit in again.units)
            assert len(again.units) == len(document.units)
        assert time.monotonic() - began < 1


def test_many_rows_take_linear_time() -> None:
    began = time.process_time()
    rows = b"".join(json.dumps({"source": f"row {n}"}).encode() + b"\n" for n in range(20_000))
    document = open_document(Path("a.jsonl"), rows)
    document.write(dict.fromkeys(range(20000), "x"))
    assert time.process_time() - began < 4
