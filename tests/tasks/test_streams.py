"""Lines of several files: each begins on a line of its own, whether or not the one before had an end."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from heedful.errors import UserError
from heedful.tasks.streams import LONGEST_LINE, answer_files, answer_lines


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
    answer_files(files, out, lambda lines: [line.upper() for line in lines])
    assert out.getvalue().decode() == wanted


def test_it_says_whether_the_last_line_had_an_end() -> None:
    answer = lambda lines: list(lines)
    assert answer_lines(io.BytesIO(b"a\nb"), io.BytesIO(), answer)
    assert not answer_lines(io.BytesIO(b"a\nb\n"), io.BytesIO(), answer)
    assert not answer_lines(io.BytesIO(b""), io.BytesIO(), answer)


def test_a_line_that_is_too_long_is_told_after_those_before_it() -> None:
    out = io.BytesIO()
    with pytest.raises(UserError, match="standard input:2: the line is longer"):
        answer_lines(io.BytesIO(b"a\n" + b"x" * (LONGEST_LINE + 1)), out, lambda lines: list(lines))
    assert out.getvalue() == b"a\n"
