"""Cross-attention of a finished translation, by words."""

import numpy as np
import pytest
import torch

from heedful.inside.alignment import Words, align, cross_attention, words_of
from heedful.model.model import Model
from heedful.model.presets import plan
from heedful.text.pipeline import KINDS
from heedful.text.tokenizer import Tokenizer, train_tokenizer

TEXTS = ["le modele de Paris", "ab c", "x yz", "12:3 Dienstag."]


@pytest.fixture(params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return train_tokenizer(TEXTS, request.param, size=320, tags=["de"], placeholders=1)


def test_words_are_what_spaces_separate(tokenizer: Tokenizer):
    ids = [tokenizer.tag("de"), *tokenizer.encode("12:3 Dienstag."), tokenizer.end]
    words = words_of(tokenizer, ids)
    assert words.texts == ["de", "12:3", "Dienstag.", "</s>"]
    assert words.index.tolist() == sorted(words.index.tolist())
    assert (words.first[0], words.first[-1]) == (ids[0], ids[-1])


def test_a_word_that_is_called_like_a_tag_is_a_word(tokenizer: Tokenizer):
    words = words_of(tokenizer, [tokenizer.tag("de"), *tokenizer.encode("modele de Paris")])
    assert words.texts == ["de", "modele", "de", "Paris"]
    assert [first == tokenizer.tag("de") for first in words.first] == [True, False, False, False]


def test_a_placeholder_is_a_word(tokenizer: Tokenizer):
    ids = [*tokenizer.encode("ab"), *tokenizer.placeholders, *tokenizer.encode_inside("c")]
    assert words_of(tokenizer, ids).texts == ["ab", "<ph1>", "c"]


def test_weights_are_summed_over_keys_and_averaged_over_queries():
    target, source = Words(["ab", "c"], np.array([0, 0, 1]), []), Words(["x", "yz"], np.array([0, 1, 1]), [])
    weights = torch.tensor([[0.1, 0.2, 0.7], [0.5, 0.1, 0.4], [0.0, 1.0, 0.0]])
    np.testing.assert_allclose(align(weights, target, source), [[0.3, 0.7], [0.0, 1.0]], atol=1e-6)


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
