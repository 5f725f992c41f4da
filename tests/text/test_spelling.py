"""Text that comes token by token: the same text however it is cut, and never half a character."""

from __future__ import annotations

import random

import pytest

from heedful.text.pipeline import KINDS
from heedful.text.spelling import Speller, spell
from heedful.text.tokenizer import Tokenizer, train_tokenizer

TEXTS = [
    "Übergrößen  und   Ränder\n\nnoch\ta line\n",
    "日本語 emoji 👩‍👩‍👧 é \x10 and \x10! <0x41> ▁ \x10_ end",
    " leading, \r trailing ",
    "</s> <unk> \ufffd x",
]


def tokenizer(kind: str) -> Tokenizer:
    return train_tokenizer(["the quick brown fox\n", "Über größe\n", "end and\n"], kind, 330, prose=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", TEXTS)
def test_a_text_comes_back(kind: str, text: str) -> None:
    made = tokenizer(kind)
    ids = made.encode(text)
    assert spell(made, ids) == made.decode(ids) == made.normalise(text)


@pytest.mark.parametrize("kind", KINDS)
def test_parts_are_the_text_however_it_is_cut(kind: str) -> None:
    made = tokenizer(kind)
    for seed, text in enumerate(TEXTS):
        drawn, ids = random.Random(seed), made.encode(text)
        speller, found, place = Speller(made), [], 0
        while place < len(ids):
            step = drawn.randint(1, 3)
            found.append(speller.more(ids[place : place + step]))
            place += step
        assert "".join([*found, speller.rest()]) == made.normalise(text)
        if "\ufffd" not in text:
            assert "\ufffd" not in "".join(found)


@pytest.mark.parametrize("kind", KINDS)
def test_any_ids_at_all(kind: str) -> None:
    made, drawn = tokenizer(kind), random.Random(5)
    for _ in range(50):
        ids = [drawn.randrange(made.vocab_size) for _ in range(30)]
        speller = Speller(made)
        parts = [speller.more([token]) for token in ids]
        assert "".join([*parts, speller.rest()]) == spell(made, ids)


def test_half_a_character_waits_for_the_other_half() -> None:
    made = tokenizer("characters")
    ids = made.encode("日")
    assert len(ids) == 3  # byte tokens
    speller = Speller(made)
    assert [speller.more([token]) for token in ids] == ["", "", "日"]
    speller.more(ids[:2])
    assert speller.rest() == "\ufffd"
