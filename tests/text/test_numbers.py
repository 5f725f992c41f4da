"""Numbers are the same if their digits are, however they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.text.numbers import changed_numbers, find_numbers


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("1,234.5", "1.234,5"), ("1,234.5", "1\u202f234,5"), ("1,234", "1 234"), ("1'000", "1.000"), ("18:45", "18.45"),
        ("05:30", "5.30"), ("2024", "٢٠٢٤"), ("3 of 5", "5, davon 3"), ("none", "keine"), ("05", "5"), ("0", "0"),
        ("in 2024 100 men", "2024 kamen 100 Männer"), ("A4", "A4"), ("10-20", "10 bis 20"), ("1" * 5000, "1" * 5000),
    ],
)  # fmt: skip
def test_the_same_numbers(source: str, target: str) -> None:
    assert changed_numbers(source, target) == ([], [])
    assert changed_numbers(target, source) == ([], [])


@pytest.mark.parametrize(
    ("source", "target", "changes"),
    [
        ("12 dogs", "Hunde", (["12"], [])), ("dogs", "12 Hunde", ([], ["12"])), ("12", "13", (["12"], ["13"])),
        ("0", "00", (["0"], ["00"])), ("0.5", "5", (["0.5"], ["5"])), ("007", "7", (["007"], ["7"])),
        ("3 and 3", "3", (["3"], [])), ("1.5", "5.1", (["1.5"], ["5.1"])), ("1234", "12 34", (["1234"], ["12", "34"])),
    ],
)  # fmt: skip
def test_other_numbers(source: str, target: str, changes: tuple[list[str], list[str]]) -> None:
    assert changed_numbers(source, target) == changes


def test_where_numbers_are() -> None:
    text = "In 2024, 1,234.5 of 3."
    assert [text[start:end] for start, end in find_numbers(text)] == ["2024", "1,234.5", "3"]


@given(st.text(st.sampled_from("0123456789.,: '\u00a0a٣-/"), max_size=30))
def test_any_text_has_its_own_numbers(text: str) -> None:
    assert changed_numbers(text, text) == ([], [])
    assert changed_numbers(f"{text} 987654", text) != ([], [])
