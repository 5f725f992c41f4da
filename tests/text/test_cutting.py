"""Words of raw texts, and where they stand."""

from __future__ import annotations

import random

import pytest

from heedful.text.cutting import cut


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("EU rejects German call.", "EU rejects German call ."),
        (
            "He said: \"John's all-rounder didn't play,\" (twice)...",
            "He said : \" John 's all-rounder did n't play , \" ( twice ) ...",
        ),
        (
            "J. R. Smith of the U.S. paid $1,000.50 on 1996-08-22",
            "J. R. Smith of the U.S. paid $ 1,000.50 on 1996-08-22",
        ),
        ("one,two;three 3,000", "one , two ; three 3,000"),
        ("it 's n't -- so", "it 's n't -- so"),
        ("naïve cafe\u0301 हिन्दी में 東京", "naïve cafe\u0301 हिन्दी में 東京"),
        ("", ""),
        (" \t ", ""),
        ("?!", "? !"),
        ("a_b @home x@y.z", "a_b @ home x@y.z"),
    ],
)
def test_words(text: str, words: str) -> None:
    assert [text[start:end] for start, end in cut(text)] == words.split()


def test_nothing_but_white_space_is_left_out() -> None:
    drawn = random.Random(1)
    for _ in range(300):
        text = "".join(drawn.choice("ab 's.,-!()1 \n\u0301é\u2028") for _ in range(30))
        spans = cut(text)
        assert all(start < end for start, end in spans)
        assert [start for start, _ in spans] == sorted({start for start, _ in spans})
        assert "".join(text[start:end] for start, end in spans) == "".join(text.split())
