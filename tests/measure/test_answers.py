"""Exact match and F1 are those of SQuAD's official scripts: cases worked out by hand from their rules."""

from __future__ import annotations

import pytest

from heedful.measure.answers import best_threshold, exact, f1, normalise, rules_of, score


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The Eiffel  Tower!", "eiffel tower"),
        ("an a the", ""),
        ("U.S.A.", "usa"),
        ("a.b", "ab"),  # punctuation goes before articles do
        ("the-cat", "thecat"),
        ("theatre An Ant", "theatre ant"),
        ("$1,000\u00a0m", "1000 m"),
        ("«Été»", "«été»"),  # only ASCII's punctuation
        ("ÀÉ\tÎ\n", "àé î"),
        ("a\u2019s", "\u2019s"),  # an article before what is no letter
    ],
)
def test_normalising(text: str, normal: str) -> None:
    assert normalise(text) == normal


@pytest.mark.parametrize(
    ("predicted", "answer", "em", "f"),
    [
        ("the Denver Broncos", "Denver Broncos", 1.0, 1.0),
        ("Broncos", "Denver Broncos", 0.0, 2 / 3),
        ("Denver Denver", "Denver Broncos", 0.0, 0.5),  # a word counts as often as in both
        ("Denver Denver Denver", "Denver Denver", 0.0, 0.8),
        ("Carolina", "Denver Broncos", 0.0, 0.0),
        ("", "Denver", 0.0, 0.0),
        ("Denver", "", 0.0, 0.0),
    ],
)
def test_one_answer(predicted: str, answer: str, em: float, f: float) -> None:
    for rules in ("1.1", "2.0"):
        assert exact(predicted, answer) == em
        assert f1(predicted, answer, rules) == pytest.approx(f)  # type: ignore[arg-type]


def test_the_best_of_several_counts_each_for_itself() -> None:
    assert score("gold and blue", ["gold", "blue and gold"]) == (0.0, 1.0)
    assert score("gold", ["blue and gold", "gold"]) == (1.0, 1.0)


def test_no_answer_is_right_only_where_there_is_none() -> None:
    assert score("", []) == (1.0, 1.0)
    assert score("the", []) == (1.0, 1.0)  # nothing is left of it
    assert score("gold", []) == (0.0, 0.0)
    assert score("", ["gold"]) == (0.0, 0.0)


def test_where_the_two_scripts_differ() -> None:
    assert score("the", ["The"], "1.1") == (1.0, 0.0)  # no words in common, for there are none
    assert score("the", ["The"], "2.0") == (1.0, 1.0)  # "The" is no answer
    assert score("a gold", ["The"], "2.0") == (0.0, 0.0)
    assert rules_of([["a"], ["b", "c"]]) == "1.1"
    assert rules_of([["a"], []]) == "2.0"


def test_the_best_threshold() -> None:
    # odds, score if answered, answerable: answering the first two is best; the third would be wrong, the fourth late.
    odds, scores, answerable = [-3.0, -1.0, 0.5, 2.0], [1.0, 0.5, 0.0, 0.4], [True, True, False, True]
    found = best_threshold(odds, scores, answerable)
    assert found.odds == -1.0
    assert found.score == pytest.approx((1.0 + 0.5 + 1.0) / 4)


def test_equal_odds_stand_or_fall_together() -> None:
    found = best_threshold([1.0, 1.0, 1.0], [1.0, 0.0, 0.0], [True, False, False])
    assert found.odds < 1.0, "answering all three gains one and loses two"
    assert found.score == pytest.approx(2 / 3)
    assert best_threshold([], [], []).score == 0.0
    assert best_threshold([5.0], [1.0], [True]).odds == 5.0
