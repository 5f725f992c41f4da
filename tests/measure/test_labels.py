"""Figures about labels, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from heedful.measure.labels import (
    by_label,
    by_set,
    calibration_error,
    confusion,
    macro_f1,
    micro,
    pearson,
    rates,
    reliability,
    spearman,
    wilson,
)


def test_a_confusion_matrix_and_what_follows_from_it() -> None:
    table = confusion(np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 2]), 4)
    assert table.tolist() == [[2, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    found = by_label(table)
    assert found[0][:3] == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert found[1][:3] == pytest.approx((1 / 2, 1 / 2, 1 / 2))
    assert found[2] == (1.0, 1.0, 1.0, 1, 1)
    assert found[3] == (0.0, 0.0, 0.0, 0, 0)
    assert macro_f1(found) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)  # the label that nobody knows does not count


def test_precision_and_recall_are_not_mixed_up() -> None:
    assert rates(right=3, said=4, count=6)[:2] == pytest.approx((0.75, 0.5))
    assert rates(right=3, said=4, count=6).f1 == pytest.approx(0.6)
    assert rates(0, 0, 5)[:3] == (0.0, 0.0, 0.0)


def test_sets_of_labels() -> None:
    wanted = np.array([[1, 0], [1, 1], [0, 0]], bool)
    said = np.array([[1, 1], [1, 0], [0, 0]], bool)
    found = by_set(wanted, said)
    assert found[0] == (1.0, 1.0, 1.0, 2, 2)
    assert found[1] == (0.0, 0.0, 0.0, 1, 1)
    assert micro(found)[:3] == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert macro_f1([]) == 0.0


def test_calibration() -> None:
    sure, right = np.array([0.95, 0.85, 0.55, 1.0, 0.9]), np.array([True, False, True, True, True])
    bins = reliability(sure, right)
    assert [one.count for one in bins] == [0, 0, 0, 0, 0, 1, 0, 0, 2, 2]  # 0.9 belongs to the bin that ends with it
    assert bins[8].sure == pytest.approx(0.875)
    assert bins[8].right == pytest.approx(0.5)
    # |0.55 - 1| * 1/5 + |0.875 - 0.5| * 2/5 + |0.975 - 1| * 2/5
    assert calibration_error(bins) == pytest.approx(0.25)
    assert calibration_error(reliability(np.array([]), np.array([], bool))) == 0.0
    assert reliability(np.array([0.0]), np.array([False]))[0].count == 1


def test_correlations() -> None:
    first, second = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 10.0])
    assert pearson(first, 2 * first + 1) == pytest.approx(1.0)
    assert pearson(first, -first) == pytest.approx(-1.0)
    assert pearson(first, second) == pytest.approx(13 / np.sqrt(5 * 50))
    assert spearman(first, second) == pytest.approx(0.8)  # 1 - 6 * (1 + 1) / (4 * 15)
    assert spearman(np.array([1.0, 1.0, 2.0]), np.array([5.0, 5.0, 9.0])) == pytest.approx(1.0)
    assert pearson(first, np.ones(4)) == 0.0


def test_the_interval_of_a_share() -> None:
    low, high = wilson(50, 100)
    assert (low, high) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(10, 10)[1] == pytest.approx(1.0)
    assert wilson(0, 0) == (0.0, 1.0)
