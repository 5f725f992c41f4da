"""Ranks by likeness: against sorting; rivals that say the same do not count. Recall, and what chance would give."""

from __future__ import annotations

import math

import numpy as np
import pytest

from heedful.measure.retrieval import chance, first_right, found_last, ranks, retrieval, scores


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


def test_what_is_found_last() -> None:
    """The third and fourth say the same; the second's answer is behind two rivals, of which the fourth comes first."""
    queries = np.eye(4, dtype=np.float32)
    answers = np.array([[1, 0, 0, 0], [0, 0.1, 0, 0], [0, 0.2, 0.5, 1], [0, 0.3, 1, 0.5]], np.float32)
    groups = np.array([[0], [1], [2], [2]])
    assert found_last(queries, answers, groups, 5) == [(1, 3, 3)]
    assert found_last(queries, answers, groups, 0) == []
    assert found_last(queries[:0], answers[:0], groups[:0], 5) == []
    assert found_last(np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32), np.arange(3)[:, None], 5) == []


def test_vectors_all_alike_find_nothing() -> None:
    same = np.ones((20, 4), np.float32)
    assert (ranks(same, same, np.arange(20)[:, None]) == 20).all()
    assert scores(same, same, np.arange(20)[:, None])["recall"] == 0.0


def test_the_rank_is_of_the_best_right_candidate() -> None:
    order = np.array([[2, 0, 1], [0, 1, 2]])
    right = np.array([[True, True, False], [False, False, True]])
    assert first_right(order, right).tolist() == [2, 3]


def test_recall_and_median() -> None:
    found = retrieval(np.array([1, 2, 6, 11]))
    assert found == {"recall at 1": 25.0, "recall at 5": 50.0, "recall at 10": 75.0, "median rank": 4.0}


def test_chance() -> None:
    assert chance(273) == pytest.approx(100 * 10 / 273)
    assert chance(8) == 100.0
    assert chance(20, right=2, most=10) == pytest.approx(100 * (1 - math.comb(18, 10) / math.comb(20, 10)))
    assert chance(10, right=10, most=1) == 100.0
