"""Batches: each example once, within the budget, near lengths together, and a pure function of (seed, epoch)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.data.batches import MOST_OTHER, Batches
from heedful.errors import UserError


class Lengths:
    """Stands in for shards: lengths only, others in another epoch as under sampling."""

    streams = ("source", "target")

    def __init__(self, source, target) -> None:
        self.of = {"source": np.array(source, np.int64), "target": np.array(target, np.int64)}

    def __len__(self) -> int:
        return len(self.of["source"])

    def lengths(self, stream, epoch=None):
        return self.of[stream] + (epoch or 0) % 2


def natural(count: int) -> Lengths:
    chance = np.random.default_rng(0)
    target = chance.lognormal(2.5, 0.5, count).astype(np.int64).clip(1, 100)
    return Lengths((target * chance.uniform(0.7, 1.4, count)).astype(np.int64) + 1, target)


@settings(max_examples=150, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 300), st.integers(1, 60)), min_size=1, max_size=80),
    budget=st.integers(1, 200),
    window=st.integers(1, 50),
    epoch=st.integers(0, 3),
)
def test_each_example_once_within_the_budget(sizes, budget, window, epoch):
    examples = Lengths(*zip(*sizes, strict=True))
    batches = Batches(examples, budget, seed=1, window=window)
    for found, at in ((batches.epoch(epoch), epoch), (batches.in_order(), None)):
        assert sorted(np.concatenate(found).tolist()) == list(range(len(sizes)))
        for batch in found:
            tokens = (examples.lengths("target", at)[batch] + 1).sum()
            others = examples.lengths("source", at)[batch].sum()
            assert len(batch) == 1 or (tokens <= budget and others <= MOST_OTHER * budget)


def test_a_pure_function_of_seed_and_epoch():
    def same(one, other):
        return len(one) == len(other) and all(map(np.array_equal, one, other))

    batches = Batches(natural(3000), 500, seed=1, window=700)
    first = batches.epoch(0)
    batches.epoch(1)
    assert same(first, batches.epoch(0))
    assert same(first, Batches(natural(3000), 500, seed=1, window=700).epoch(0))
    assert not same(first, batches.epoch(2))
    assert not same(first, Batches(natural(3000), 500, seed=2, window=700).epoch(0))
    assert same(batches.in_order(), Batches(natural(3000), 500, seed=2).in_order())


def test_near_lengths_together_and_batches_full():
    examples = natural(30_000)
    batches = Batches(examples, 2048, seed=1).epoch(0)
    target = examples.lengths("target", 0) + 1
    padded = sum(len(batch) * target[batch].max() for batch in batches)
    assert padded / target.sum() < 1.03
    assert target.sum() / len(batches) > 0.97 * 2048
    # Shuffled: the mean length of a batch does not rise or fall along the epoch.
    means = np.array([target[batch].mean() for batch in batches])
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.2


def test_windows_mix_differently_in_every_epoch():
    examples = Lengths(np.full(4000, 10), np.full(4000, 10))
    batches = Batches(examples, 220, seed=1, window=1000)
    together = [{frozenset(batch.tolist()) for batch in batches.epoch(epoch)} for epoch in (0, 2)]
    assert len(together[0] & together[1]) == 0


def test_the_order_is_frozen():
    """A run must resume to the same bits with the next version: these numbers never change."""
    examples = Lengths([3, 9, 4, 8, 5, 7, 6, 2, 9, 1, 30, 5], [4, 8, 5, 7, 6, 6, 7, 3, 9, 2, 50, 5])
    found = Batches(examples, 40, seed=7, window=6).epoch(2)
    assert [batch.tolist() for batch in found] == [[10], [8, 3, 6, 5, 7], [9, 0, 2, 11, 4, 1]]


def test_one_stream_and_a_wrong_budget():
    examples = natural(50)
    examples.streams = ("target",)
    assert sorted(np.concatenate(Batches(examples, 64, seed=1).epoch(0)).tolist()) == list(range(50))
    with pytest.raises(UserError, match=r"training\.batch_tokens = 0 is below 1"):
        Batches(examples, 0, seed=1)
