"""Offsets name the characters of the text as it was given, whatever it holds and however it is normalised."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from heedful.text.offsets import offsets
from heedful.text.pipeline import KINDS, Kind
from heedful.text.tokenizer import Tokenizer, train_tokenizer

LINES = ["The quick brown fox jumps over 1950 lazy dogs.", "Änna wohnt in Köln, naïve café", "日本語 שלום é 가"] * 3
# What composes, what is reordered, what grows in lower case, what is escaped, what turns the direction of writing.
PARTS = [
    *"abcxZ0   \t\r\n▁\x10<,;'\"1éÄßİǅΣς", "e\u0301", "\u0301", "\u0323", "\u0344", "\u1100", "\u1161", "\u11a8", "😀",
    "👨\u200d👩\u200d👧", "שלום", "\u202e", "\ufb01", "\u0958", "\u2126", "\u1e9e", "<0x41>", "<0", "\u09c7\u09be",
    "\U0001d15e", "A\u030a", "  ", "\r\n", "\ud83d", "\ude00", "\ud83d\ude00", "\u200b", "\u2028", "\u3000", "the",
]  # fmt: skip


@pytest.fixture(scope="module", params=[(kind, lower) for kind in KINDS for lower in (False, True)], ids=str)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    kind: Kind = request.param[0]
    return train_tokenizer(LINES, kind, size=600, lowercase=request.param[1])


def test_plain_words(tokenizer: Tokenizer) -> None:
    text = "The fox jumps."
    starts, ends = offsets(tokenizer, text, tokenizer.encode(text))
    assert (starts[0], ends[-1]) == (0, len(text))
    assert {3, 7} <= set(starts.tolist()), "the space before a word belongs to its token"


@pytest.mark.parametrize("text", ["", " ", "\u0301", "\ud83d\ude00", "\x10", "<0x41>"])
def test_texts_that_are_next_to_nothing(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    starts, ends = offsets(tokenizer, text, ids)
    assert len(starts) == len(ends) == len(ids)
    assert (ends[-1] if ids else 0) == len(text)


def test_what_was_composed_is_named_whole() -> None:
    tokenizer = train_tokenizer(LINES, "characters", size=600)
    text = "e\u0301 \u1100\u1161"  # each two characters that become one
    starts, ends = offsets(tokenizer, text, tokenizer.encode(text))
    places = [(start, end) for start, end in zip(starts.tolist(), ends.tolist(), strict=True) if end > start]
    assert places == [(0, 2), (2, 3), (3, 5)]


def test_hostile_texts(tokenizer: Tokenizer) -> None:
    """Tokens cover the text without a gap, and the text of any run of them is what those tokens say."""
    drawn = random.Random(1)
    for _ in range(500):
        text = "".join(drawn.choice(PARTS) for _ in range(drawn.randint(1, 14)))
        ids = tokenizer.encode(text)
        starts, ends = offsets(tokenizer, text, ids)
        assert (starts[0], ends[-1]) == (0, len(text))
        assert all(before <= after for before, after in pairwise(starts.tolist()))
        assert all(start <= end for start, end in zip(starts[1:], ends[:-1], strict=True)), "a gap"
        for first in range(len(ids)):
            last = drawn.randint(first, len(ids) - 1)
            shared = (first and starts[first] < ends[first - 1]) or (
                last + 1 < len(ids) and starts[last + 1] < ends[last]
            )
            if not shared:  # else a character is spelt by several tokens, and is theirs together
                said = tokenizer.decode(ids[first : last + 1], inside=True)
                given = tokenizer.normalise(text[starts[first] : ends[last]])
                assert (said if first else said[1:]) == given, (text, first, last)


def test_prose_has_no_space_in_front() -> None:
    tokenizer = train_tokenizer([line + "\n" for line in LINES], "bpe", size=600, prose=True)
    text = "The fox\njumps é\n"
    starts, ends = offsets(tokenizer, text, tokenizer.encode(text))
    assert (starts[0], ends[-1]) == (0, len(text))
    assert 8 in starts.tolist(), "a token begins with each line"
