"""Cross-attention of a finished translation, by words."""

import numpy as np
import pytest
import torch

from heedful.look.alignment import align, cross_attention, words_of
from heedful.model.model import Model
from heedful.model.presets import plan


def test_words_are_what_spaces_separate():
    pieces = ["2de", "▁", "1", "2", ":", "3", "▁Dien", "stag", ".", "</s>"]
    words, index = words_of(pieces, ["2de", "</s>"])
    assert words == ["2de", "12:3", "Dienstag.", "</s>"]
    assert index.tolist() == [0, 1, 1, 1, 1, 1, 2, 2, 2, 3]


def test_weights_are_summed_over_keys_and_averaged_over_queries():
    weights = torch.tensor([[0.1, 0.2, 0.7], [0.5, 0.1, 0.4], [0.0, 1.0, 0.0]])
    found = align(weights, ["▁a", "b", "▁c"], ["▁x", "▁y", "z"])
    assert (found.target, found.source) == (["ab", "c"], ["x", "yz"])
    np.testing.assert_allclose(found.weights, [[0.3, 0.7], [0.0, 1.0]], atol=1e-6)


def test_cross_attention_of_every_layer_sums_to_one():
    model = Model(plan("encoder-decoder", vocab=20, width=16, layers=2, heads=2, feedforward=16), seed=1)
    seen = cross_attention(model, [4, 5, 6, 7, 2], [1, 8, 9])
    assert list(seen) == ["target.0.source.weights", "target.1.source.weights"]
    for weights in seen.values():
        assert weights.shape == (2, 3, 5)
        assert weights.sum(-1).sub(1).abs().max() < 1e-5
        assert weights.std() > 0
    assert model.training


def test_a_later_target_token_changes_no_earlier_row():
    model = Model(plan("encoder-decoder", vocab=20, width=16, layers=2, heads=2, feedforward=16), seed=1)
    one, other = (cross_attention(model, [4, 5, 2], [1, 8, last]) for last in (9, 10))
    for address in one:
        assert torch.equal(one[address][:, :2], other[address][:, :2])
        assert not torch.equal(one[address][:, 2], other[address][:, 2])


def test_words_need_one_row_for_each_piece():
    with pytest.raises((IndexError, ValueError)):
        align(torch.ones(2, 2), ["▁a", "▁b", "▁c"], ["▁x", "▁y"])
