"""Recall, ranks, and what chance would give."""

from __future__ import annotations

import math

import numpy as np
import pytest

from heedful.measure.retrieval import chance, ranks, retrieval


def test_the_rank_is_of_the_best_right_candidate() -> None:
    order = np.array([[2, 0, 1], [0, 1, 2]])
    right = np.array([[True, True, False], [False, False, True]])
    assert ranks(order, right).tolist() == [2, 3]


def test_recall_and_median() -> None:
    found = retrieval(np.array([1, 2, 6, 11]))
    assert found == {"recall at 1": 25.0, "recall at 5": 50.0, "recall at 10": 75.0, "median rank": 4.0}


def test_chance() -> None:
    assert chance(273) == pytest.approx(100 * 10 / 273)
    assert chance(8) == 100.0
    assert chance(20, right=2, k=10) == pytest.approx(100 * (1 - math.comb(18, 10) / math.comb(20, 10)))
    assert chance(10, right=10, k=1) == 100.0
