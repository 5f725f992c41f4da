"""chrF is sacreBLEU's; the least risk is the most like the others; equal texts are one."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest
import sacrebleu

from heedful.decode.mbr import chrf, least_risk

TEXTS = [
    "", " ", "a", "ab", "aaaaaaaaaa", "aaaa aaaa", "Eine Gruppe von Menschen steht vor einem Haus.",
    "Eine Gruppe Menschen steht vor dem Haus.", "Leute stehen vor einem Iglu.", "tab\tund\nZeile\u00a0\u2003weit",
    "早上好", "早上好，大家早上好", "\U0001f600\U0001f601\U0001f600", "e\u0301 \u00e9", "\ud800 allein", "x" * 300,
]  # fmt: skip


def theirs(candidates: list[str], references: list[str]) -> np.ndarray:
    return np.array([[sacrebleu.sentence_chrf(one, [other]).score for other in references] for one in candidates])


def test_chrf_is_sacrebleus() -> None:
    assert chrf(TEXTS, TEXTS) == pytest.approx(theirs(TEXTS, TEXTS), abs=1e-6)
    assert chrf(TEXTS[:3], TEXTS[3:]) == pytest.approx(theirs(TEXTS[:3], TEXTS[3:]), abs=1e-6)
    assert chrf([], ["a"]).shape == (0, 1)
    assert chrf(["a"], []).shape == (1, 0)
    assert chrf([], []).shape == (0, 0)


@pytest.mark.parametrize("seed", range(20))
def test_chrf_of_random_texts(seed: int) -> None:
    draw = random.Random(seed)
    letters = draw.choice(["ab", "abc \t", "aäßé\U0001f600 \u3000", "abcdefghijklmnopqrstuvwxyz      "])
    texts = ["".join(draw.choice(letters) for _ in range(draw.randint(0, 60))) for _ in range(12)]
    assert chrf(texts[:7], texts[4:]) == pytest.approx(theirs(texts[:7], texts[4:]), abs=1e-6)


def test_least_risk() -> None:
    """The most like the others; what is drawn often; what weighs most; against given references."""
    texts = ["Menschen stehen vor dem Haus.", "Leute stehen vor einem Haus.", "Zwei Hunde rennen durch den Schnee."]
    assert least_risk(texts) == (-theirs(texts, texts).mean(1)).argsort().tolist()
    assert least_risk(texts)[2] == 2
    assert least_risk([*texts, texts[2], texts[2], texts[2]])[0] == 2
    assert least_risk(texts, weights=[0.1, 0.1, 0.9])[0] == 2
    assert least_risk(["x", "x", "y"])[:2] == [0, 1]
    assert least_risk([]) == []


def test_long_and_monotonous_texts_are_no_trap() -> None:
    begun = time.perf_counter()
    assert least_risk(["a" * 60_000, "a" * 50_000 + "b", "c"])[2] == 2
    assert time.perf_counter() - begun < 5


def test_it_is_fast() -> None:
    """32 candidates against themselves: milliseconds (the limit leaves room for a busy machine)."""
    draw = random.Random(0)
    words = ["".join(draw.choice("abcdefghij") for _ in range(draw.randint(2, 9))) for _ in range(60)]
    texts = [" ".join(draw.choice(words) for _ in range(18)) for _ in range(32)]
    least_risk(texts)
    took = []
    for _ in range(5):
        begun = time.perf_counter()
        least_risk(texts)
        took.append(time.perf_counter() - begun)
    assert min(took) < 0.2
