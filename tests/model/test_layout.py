"""Layouts say where tokens stand; slots gather them into blocks and bring them back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.model.attention import Sizes
from heedful.model.layout import Layout, Slots, length_groups, round_up

LENGTHS = st.lists(st.integers(0, 9), min_size=0, max_size=12)


def test_what_a_layout_knows() -> None:
    layout = Layout.packed(np.array([3, 0, 2]))
    assert (layout.rows, layout.tokens, layout.longest, layout.uniform) == (3, 5, 3, False)
    assert layout.starts.tolist() == [0, 3, 3]
    assert layout.positions.tolist() == [0, 1, 2, 0, 1]
    assert layout.row.tolist() == [0, 0, 0, 2, 2]
    with pytest.raises(ValueError, match="no first token"):
        _ = layout.first_tokens
    assert Layout.packed(np.array([3, 2])).first_tokens.tolist() == [0, 3]


def test_the_other_forms() -> None:
    even = Layout.even(2, 3)
    assert (even.tokens, even.uniform, even.positions.tolist()) == (6, True, [0, 1, 2, 0, 1, 2])
    padded = Layout.padded(torch.tensor([[True, True, False], [True, False, False]]))
    assert (padded.tokens, padded.longest, padded.lengths.tolist()) == (6, 3, [3, 3])
    assert Layout.packed(np.array([4])).expand(3).lengths.tolist() == [4, 4, 4]
    assert Layout.even(1, 2, positions=torch.tensor([5, 6])).to("cpu").positions.tolist() == [5, 6]


@pytest.mark.parametrize("lengths", [[[1, 2]], [-1, 2], 3])
def test_lengths_are_a_vector_of_counts(lengths: object) -> None:
    with pytest.raises(ValueError, match="vector of counts"):
        Layout.packed(np.array(lengths))


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(1, 3), st.integers(1, 2), st.integers(0, 5), st.integers(1, 4), st.integers(0, 5))
def test_there_and_back(lengths: list[int], heads: int, key_heads: int, seed: int, multiple: int, filler: int) -> None:
    """Any lengths, any grouping, any rounding: every token comes back where it was, and so does its gradient."""
    layout, width, sizes = Layout.packed(np.array(lengths, np.int64)), 2, Sizes(multiple, least_keys=3)
    parts = (heads, key_heads, key_heads)
    order = np.random.default_rng(seed).permutation(len(lengths))
    groups = [sizes.rows(np.sort(part)) for part in np.array_split(order, min(3, max(1, len(lengths))))]
    longest = [layout.longest_of(rows) for rows in groups]
    query, key = [sizes.queries(most) for most in longest], [sizes.keys(most) for most in longest]
    slots = Slots(layout, groups, ((heads, query), (key_heads, key), (key_heads, key)))
    tokens = layout.tokens + filler
    states = torch.randn(tokens, sum(parts) * width, requires_grad=True)
    blocks = slots.pad(states, width)

    queries = Slots(layout, groups, ((heads, query),)).unpad([block[0] for block in blocks], tokens)
    assert torch.equal(queries[: layout.tokens], states[: layout.tokens, : heads * width])
    assert not queries[layout.tokens :].any()
    for rows, block in zip(groups, blocks, strict=True):
        assert len(rows) == round_up(len(rows), multiple)
        for place, row in enumerate(rows):
            start, length = int(layout.starts[row]), lengths[row]
            own = states[start : start + length].view(length, sum(parts), width).transpose(0, 1)
            found = torch.cat([part[place, :, :length] for part in block])
            assert torch.equal(found, own)

    weights = torch.randn(tokens, heads * width)
    (queries * weights).sum().backward()
    wanted = torch.zeros_like(states)
    wanted[: layout.tokens, : heads * width] = weights[: layout.tokens]
    assert torch.equal(states.grad, wanted)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), max_size=40))
def test_groups_hold_every_row_once(pairs: list[tuple[int, int]]) -> None:
    queries, keys = np.array(pairs, np.int64).reshape(-1, 2).T
    groups = length_groups(queries, keys)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(pairs)))
    assert all((np.diff(group) > 0).all() for group in groups)


def test_rounding_up_gives_few_sizes_and_little_waste() -> None:
    sizes = [round_up(count, 8) for count in range(1, 4097)]
    assert all(count <= size < count + max(8, count / 16 + 1) for count, size in enumerate(sizes, 1))
    assert all(size % 8 == 0 for size in sizes)
    assert len(set(sizes)) <= 16 * 6
    assert [round_up(count, 1) for count in range(600)] == list(range(600))
