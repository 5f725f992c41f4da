"""Statistics of a corpus against counting by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.data.readers import Pair
from heedful.data.survey import Lengths, Survey, lengths, overlap


def survey(*texts: tuple[str, str]) -> Survey:
    found = Survey()
    for number, (source, target) in enumerate(texts, 1):
        found.add(Pair(source, target, f"a:{number}"))
    return found


def test_a_corpus_is_counted() -> None:
    found = survey(("a b", "Кот"), ("a  b", "Кот"), ("", "x"), ("a b", "Пёс №1"))
    assert (found.pairs, found.empty, found.duplicates) == (4, 1, 1)
    source, target = found.side(0), found.side(1)
    assert source.words == Lengths(1.5, 2, 2, 2, 2)
    assert source.characters == Lengths(2.25, 3, 3, 3, 3)
    assert (source.repeated, target.repeated) == (2, 1)
    assert source.scripts == {"LATIN": 6}
    assert target.scripts == {"CYRILLIC": 9, "LATIN": 1}  # the sign for number is none


def test_rare_and_odd_characters_are_listed() -> None:
    found = survey(*[("aaaaa", "bbbbb")], ("é\x00\u202e", "\ufffd\ufffd\t")).side(0)
    assert [(one.character, one.count) for one in found.rare] == [("\x00", 1), ("é", 1), ("\u202e", 1)]
    assert [one.name for one in found.odd] == ["U+202E RIGHT-TO-LEFT OVERRIDE", "U+0000 Cc"]
    target = survey(("x", "\ufffd\ufffd\t")).side(1)
    assert [(one.name, one.count) for one in target.odd] == [("U+FFFD REPLACEMENT CHARACTER", 2)]


def test_overlap_tells_pairs_from_sources() -> None:
    train = [survey(("one", "eins"), ("two", "zwei")), survey(("three", "drei"))]
    texts = [("one ", "eins"), ("two", "zwo"), ("three", "drei"), ("four", "vier"), ("four", "drei")]
    found = overlap([Pair(*text, f"d:{number}") for number, text in enumerate(texts)], train)
    assert (found.of, found.pairs, found.sources) == (5, 2, 1)
    assert [example.where for example in found.examples] == ["d:0", "d:2"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=200))
def test_percentiles_are_exact(numbers: list[int]) -> None:
    found = lengths(Counter(numbers))
    assert found.mean == pytest.approx(np.mean(numbers))
    for percent, value in ((50, found.p50), (95, found.p95), (99, found.p99)):
        assert value == np.percentile(numbers, percent, method="inverted_cdf")
    assert found.longest == max(numbers)


def test_an_empty_corpus_has_lengths_of_zero() -> None:
    assert survey().side(0).words == Lengths(0.0, 0, 0, 0, 0)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.text(), st.text()), max_size=10))
def test_any_text_is_surveyed(texts: list[tuple[str, str]]) -> None:
    found = survey(*texts)
    for number in (0, 1):
        side = found.side(number)
        characters = Counter("".join(text[number] for text in texts))
        assert side.different_characters == len(characters)
        assert side.rare_count == sum(count < 5 for count in characters.values())
