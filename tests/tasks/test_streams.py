"""Lines as they come: a line out for each line in, whatever bytes they hold."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pytest

from heedful.errors import UserError
from heedful.tasks.streams import LONGEST_LINE, answer_files, answer_lines, opened, require


def shouted(texts: Sequence[str]) -> list[str]:
    return [text.upper() for text in texts]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (b"", ""),
        (b"\n", "\n"),
        (b"a\nb", "A\nB"),
        (b"\xef\xbb\xbfa\r\nb\n", "A\nB\n"),
        (b"a\x0bb\xe2\x80\xa8c\n\xff\n", "A\x0bB\u2028C\n\ufffd\n"),
        (b"x\n" * 2000, "X\n" * 2000),
    ],
)
def test_a_line_for_each_line(given: bytes, said: str) -> None:
    out = io.BytesIO()
    answer_lines(io.BytesIO(given), out, shouted)
    assert out.getvalue().decode() == said


def test_what_came_before_a_line_that_is_too_long_is_answered() -> None:
    out = io.BytesIO()
    with pytest.raises(UserError, match=r"a\.txt:3: the line is longer than 65536 bytes"):
        answer_lines(io.BytesIO(b"a\nb\n" + b"x" * (LONGEST_LINE + 1) + b"\nc\n"), out, shouted, "a.txt")
    assert out.getvalue() == b"A\nB\n"


def test_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be opened"):
        require(tmp_path / "nothing")
    (tmp_path / "a.gz").write_bytes(b"not gzip")
    with pytest.raises(UserError, match="damaged gzip"), opened(tmp_path / "a.gz") as lines:
        lines.read()


@pytest.mark.parametrize(
    ("contents", "wanted"),
    [
        (["a\nb\n", "c\n"], "A\nB\nC\n"),
        (["a\nb", "c"], "A\nB\nC"),
        (["a", "", "c\n"], "A\nC\n"),
        (["", "\n"], "\n"),
    ],
)
def test_files_one_after_another(tmp_path: Path, contents: list[str], wanted: str) -> None:
    files = [tmp_path / str(number) for number in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_text(content)
    out = io.BytesIO()
    answer_files(files, out, shouted)
    assert out.getvalue().decode() == wanted


def test_it_says_whether_the_last_line_had_an_end() -> None:
    assert answer_lines(io.BytesIO(b"a\nb"), io.BytesIO(), shouted)
    assert not answer_lines(io.BytesIO(b"a\nb\n"), io.BytesIO(), shouted)
    assert not answer_lines(io.BytesIO(b""), io.BytesIO(), shouted)
