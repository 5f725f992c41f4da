"""Mixing: how often each example is seen is exact, and a pure function of (seed, epoch)."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.config import Data
from heedful.data.batches import Batches
from heedful.data.mixing import Mixture, times
from heedful.errors import UserError


def test_weights_are_times_an_epoch() -> None:
    mixture = Mixture([10, 7, 4], [1.0, 0.5, 2.5], seed=1)
    for epoch in range(4):
        seen = Counter(mixture.epoch(epoch).tolist())
        first, second, third = ([seen[n] for n in range(a, b)] for a, b in ((0, 10), (10, 17), (17, 21)))
        assert first == [1] * 10
        assert sum(second) == 4
        assert max(second) == 1 or epoch == 1  # the round ends inside epoch 1: a new one begins
        assert sum(third) == 10
        assert set(third) <= {2, 3}


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    weights=st.lists(st.floats(0.01, 5.0), min_size=4, max_size=4),
    epochs=st.integers(1, 8),
)
def test_over_any_epochs_all_examples_are_seen_alike(sizes: list[int], weights: list[float], epochs: int) -> None:
    mixture = Mixture(sizes, weights[: len(sizes)], seed=3)
    rows = [mixture.epoch(epoch) for epoch in range(epochs)]
    assert all(len(row) == sum(mixture.counts) for row in rows)
    seen = Counter(np.concatenate(rows).tolist())
    first = 0
    for size, weight, count in zip(sizes, weights, mixture.counts, strict=False):
        assert count == max(1, round(size * weight))
        times_seen = [seen[number] for number in range(first, first + size)]
        assert sum(times_seen) == count * epochs
        assert max(times_seen) - min(times_seen) <= 1
        first += size


def test_a_pure_function_of_seed_and_epoch() -> None:
    mixture = Mixture([50, 30], [0.3, 1.7], seed=1)
    fifth = mixture.epoch(5)
    mixture.epoch(0)
    assert np.array_equal(mixture.epoch(5), fifth)
    assert np.array_equal(Mixture([50, 30], [0.3, 1.7], seed=1).epoch(5), fifth)
    assert not np.array_equal(Mixture([50, 30], [0.3, 1.7], seed=2).epoch(5), fifth)


def test_the_order_is_frozen() -> None:
    """A run must resume to the same bits with the next version: these numbers never change."""
    assert Mixture([4, 3], [0.5, 2.0], seed=7).epoch(3).tolist() == [0, 2, 4, 6, 5, 5, 4, 6]


def test_a_corpus_of_weight_zero_is_left_out() -> None:
    assert sorted(Mixture([3, 4], [0.0, 1.0], seed=1).epoch(2).tolist()) == [3, 4, 5, 6]
    with pytest.raises(UserError, match="all 0"):
        Mixture([3, 4], [0.0, 0.0], seed=1)


@pytest.mark.parametrize(("temperature", "expected"), [(1.0, [0.9, 0.1]), (5.0, [0.6081, 0.3919]), (1e6, [0.5, 0.5])])
def test_temperature_flattens(temperature: float, expected: list[float]) -> None:
    """Shares of 900 and 100: p ~ n^(1/T), the epoch as long as before."""
    weights = times(Data(temperature=temperature), [900, 100], [None, None])
    assert weights is not None
    mixture = Mixture([900, 100], weights, seed=1)
    assert sum(mixture.counts) == 1000
    assert np.allclose(np.array(mixture.counts) / 1000, expected, atol=1e-3)


def test_temperature_is_of_languages() -> None:
    weights = times(Data(temperature=2.0), [600, 300, 100], ["de", "de", "fr"])
    assert weights is not None
    assert weights[0] == weights[1]
    seen = np.array(weights) * [600, 300, 100]
    assert seen.sum() == pytest.approx(1000)
    assert seen[2] / 1000 == pytest.approx(1 / 4)  # 10 : 30
    assert times(Data(), [1, 2], [None, None]) is None
    assert times(Data(weights=(1.0, 0.5)), [1, 2], [None, None]) == [1.0, 0.5]


class _Examples:
    streams = ("source", "target")

    def __len__(self) -> int:
        return 60

    def lengths(self, stream: str, epoch: int | None = None) -> np.ndarray:
        return np.arange(60) % 7 + 1


def test_batches_hold_what_is_drawn() -> None:
    mixture = Mixture([40, 20], [0.5, 2.0], seed=1)
    batches = Batches(_Examples(), 30, seed=1, drawn=mixture.epoch)
    for epoch in (0, 1, 5):
        found = np.concatenate(batches.epoch(epoch))
        assert sorted(found.tolist()) == sorted(mixture.epoch(epoch).tolist())
