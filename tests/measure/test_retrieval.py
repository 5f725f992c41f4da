"""Ranks by likeness: against sorting; rivals that say the same do not count; vectors all alike find nothing."""

from __future__ import annotations

import numpy as np
import pytest

from heedful.measure.retrieval import ranks, scores


def test_against_sorting() -> None:
    drawn = np.random.default_rng(0)
    first, second = (drawn.normal(size=(50, 8)).astype(np.float32) for _ in range(2))
    found = ranks(first, second, np.arange(50)[:, None])
    expected = [np.argsort(-(query @ second.T)).tolist().index(row) + 1 for row, query in enumerate(first)]
    assert found.tolist() == expected
    named = scores(first, second, np.arange(50)[:, None])
    assert named["recall10_there"] == np.mean(np.array(expected) <= 10)
    assert named["mrr_there"] == pytest.approx(np.mean(1 / np.array(expected)))


def test_what_says_the_same_is_no_rival() -> None:
    vectors = np.eye(4, dtype=np.float32)
    answers = vectors[[1, 0, 2, 3]]  # the first two are exchanged
    assert ranks(vectors, answers, np.array([[0, 5], [1, 6], [2, 7], [3, 8]])).tolist() == [4, 4, 1, 1]
    assert ranks(vectors, answers, np.array([[0, 5], [1, 5], [2, 7], [3, 8]])).tolist() == [3, 3, 1, 1]


def test_vectors_all_alike_find_nothing() -> None:
    same = np.ones((20, 4), np.float32)
    assert (ranks(same, same, np.arange(20)[:, None]) == 20).all()
    assert scores(same, same, np.arange(20)[:, None])["recall"] == 0.0
