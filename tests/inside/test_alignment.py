"""Cross-attention of a finished translation, by words."""

import numpy as np
import pytest
import torch

from heedful.inside.alignment import (
    Words,
    align,
    alignment_error,
    best_heads,
    best_view,
    cross_attention,
    information,
    links,
    telling,
    words_of,
)
from heedful.inside.record import Kind, Layer, Line, Picture
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


def line(name: str, words: str, tokens: list[int] | None = None) -> Line:
    """Words between spaces; those in <> are controls. `tokens`: how many each word has (1 each)."""
    texts = tuple(words.split())
    index = np.repeat(np.arange(len(texts)), tokens or [1] * len(texts))
    control = tuple(text.startswith("<") for text in texts)
    return Line(name, name, tuple("x" * len(index)), texts, index, control)


def sentence(*layers: object) -> tuple[Kind, dict[str, Line]]:
    """March 7 is written as 7. März; each layer's heads are rows [7., März] of weights of [<de>, March, 7]."""
    lines = {"target": line("target", "7. März <e>", [2, 1, 1]), "source": line("source", "<de> March 7")}
    tokens = [0, 0, 1, 1]  # the end asks as the last word does
    found = [np.array(heads, np.float32)[:, tokens] for heads in layers]
    made = tuple(Layer(f"target.{at}.source", weights) for at, weights in enumerate(found))
    return Kind("target.source", "", "target", "source", False, made), lines


RIGHT, STRAIGHT, START, UNSURE = (
    [[0, 0, 1], [0, 1, 0]],
    [[0, 1, 0], [0, 0, 1]],
    [[1, 0, 0], [1, 0, 0]],
    [[0.4, 0.2, 0.4], [0.4, 0.4, 0.2]],
)
GOLD = {(2, 0), (1, 1)}


def test_links_are_by_words_without_controls():
    kind, lines = sentence([RIGHT, STRAIGHT, START, UNSURE])
    found = [links(weights, lines["target"], lines["source"]) for weights in kind.layers[0].weights]
    assert found == [[(2, 0), (1, 1)], [(1, 0), (2, 1)], [], [(2, 0), (1, 1)]]
    # The tokens of a word ask together: 0.6 and 0.2 of `a` are more than 0 and 0.7 of `b`; those attended to add up.
    weights = np.array([[0.6, 0.0, 0.4], [0.2, 0.7, 0.1]], np.float32)
    assert links(weights, line("target", "x", [2]), line("source", "a b c")) == [(0, 0)]
    assert links(weights[1:], line("target", "x"), line("source", "a b", [1, 2])) == [(1, 0)]


def test_links_of_a_line_without_words():
    assert links(np.zeros((1, 1), np.float32), line("target", "<e>"), line("source", "<de>")) == []
    assert links(np.ones((2, 1), np.float32), line("target", "x <e>"), line("source", "<de>")) == []


def test_alignment_error():
    """Och and Ney: 1 - (|A and S| + |A and P|) / (|A| + |S|), where P holds S."""
    assert alignment_error([(0, 0), (1, 1)], {(0, 0), (1, 1)}) == 0
    assert alignment_error([(0, 1)], {(0, 0)}) == 1
    assert alignment_error([(0, 0), (1, 1), (2, 2)], {(0, 0), (3, 3)}) == pytest.approx(1 - (1 + 1) / 5)
    found = alignment_error([(0, 0), (1, 1), (2, 2)], {(0, 0), (3, 3)}, {(1, 1)})
    assert found == pytest.approx(1 - (1 + 2) / 5)
    assert alignment_error([], set()) == 0
    assert alignment_error([], {(0, 0)}) == 1


def test_best_heads_with_true_links():
    some = [sentence([STRAIGHT, START], [UNSURE]), sentence([STRAIGHT, START], [RIGHT])]
    assert best_heads(some, 1, [GOLD, GOLD]) == [(1, 0)]
    assert best_heads(some, 3, [GOLD, GOLD]) == [(1, 0), (0, 0), (0, 1)]  # of as bad ones the first
    assert best_heads(some, 3, [{(1, 0)}, {(1, 0)}]) == [(0, 0), (0, 1), (1, 0)]
    # The error is that of all links together: 3 of 4 are right, not the mean of all of three and none of one.
    long = line("target", "a b c"), line("source", "d e f")
    short = line("target", "a"), line("source", "d e")
    heads = [np.array([[[0, 1, 0]] * 3, np.eye(3)], np.float32), np.array([[[1, 0]], [[0, 1]]], np.float32)]
    kinds = [Kind("t.s", "", "t", "s", False, (Layer("t.0.s", one),)) for one in heads]
    pairs = [(kind, {"t": own[0], "s": own[1]}) for kind, own in zip(kinds, (long, short), strict=True)]
    assert best_heads(pairs, 1, [{(0, 0), (1, 1), (2, 2)}, {(0, 0)}]) == [(0, 1)]
    assert best_heads(pairs[::-1], 1, [{(0, 0)}, set()]) == [(0, 0)]


def test_best_heads_without_are_those_that_give_most_to_what_all_attend_to():
    # The mean for `7.`: March 0.3, 7 0.6 of four heads; for `März`: March 0.6, 7 0.3; so wherever a head is right it
    # scores 1 a word, wherever it is straight 0.5.
    kind = sentence([STRAIGHT, START], [RIGHT, UNSURE])
    mean = np.mean([np.array(head)[:, 1:] for head in (STRAIGHT, START, RIGHT, UNSURE)], axis=0)
    parts = mean / mean.max(1, keepdims=True)
    scores = [(np.array(head)[:, 1:] * parts).sum(1).mean() for head in (STRAIGHT, START, RIGHT, UNSURE)]
    order = [(divmod(head, 2)) for head in np.argsort(-np.array(scores))]
    assert best_heads([kind], 4) == order
    assert order == [(1, 0), (0, 0), (1, 1), (0, 1)]
    # Over sentences scores add up: one where all are right weighs against two where none is.
    assert best_heads([sentence([RIGHT], [START]), sentence([START], [RIGHT]), sentence([START], [RIGHT])], 1) == [
        (1, 0)
    ]


def test_best_heads_of_nothing():
    assert best_heads([]) == []
    assert best_heads([sentence()]) == []
    assert best_heads([sentence([START])]) == best_heads([sentence([START])], 1, [set()]) == [(0, 0)]
    lines = {"target": line("target", "<e>"), "source": line("source", "a")}
    kind = Kind(
        "target.source", "", "target", "source", False, (Layer("target.0.source", np.ones((2, 1, 1), np.float32)),)
    )
    assert best_heads([(kind, lines)], 2) == [(0, 0), (0, 1)]


def test_best_view_is_the_mean_of_its_heads():
    kind, lines = sentence([RIGHT, STRAIGHT], [UNSURE])
    view = best_view(kind, lines, [(0, 0), (1, 0)])
    assert (view.kind, view.name, view.signed) == ("target.source", "best", False)
    np.testing.assert_allclose(view.weights, [[0.2, 0.1, 0.7]] * 2 + [[0.2, 0.7, 0.1]] * 2, atol=1e-6)
    assert "layer 1 head 1, layer 2 head 1" in view.note


def test_information_is_what_a_word_says_of_its_region():
    assert information(np.eye(4, dtype=np.float32)) == pytest.approx(2.0)
    assert information(np.array([[0, 1, 0, 0]] * 4, np.float32)) == 0.0  # sure, but always of the same
    assert information(np.full((4, 4), 0.25, np.float32)) == 0.0
    half = np.array([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]], np.float32)
    assert information(half) == information(half * 0.2) == pytest.approx(1.0)
    assert information(np.zeros((2, 3), np.float32)) == information(np.zeros((0, 3), np.float32)) == 0.0
    with_nothing = np.vstack([half, np.zeros((1, 4), np.float32)])  # a word that is not looked at counts for nothing
    assert information(with_nothing) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["text.picture", "picture.text"])
def test_what_heads_tell_of_words_and_regions(kind: str):
    """Starts and the whole of a picture are left out; over examples bits are averaged."""
    boxes = np.array([[0, 0, 1, 1], [0, 0, 0.5, 1], [0.5, 0, 1, 1]], np.float32)
    whole = Line("picture", "", ("", "", ""), ("", "", ""), np.arange(3), (True, False, False),
                 Picture(b"", 2, 1, boxes))  # fmt: skip
    lines = {"text": line("text", "<s> red blue"), "picture": whole}
    ties = np.array([[1, 0, 0], [0, 0.9, 0.1], [0, 0.1, 0.9]], np.float32)
    start = np.array([[0, 0, 1], [1, 0, 0], [1, 0, 0]], np.float32)
    same = np.array([[0, 1, 0], [0, 1, 0], [0, 1, 0]], np.float32)
    stream, attended = kind.split(".")
    made = [Layer(f"{stream}.{at}.{attended}", np.stack(own)) for at, own in enumerate(([start, same], [same, ties]))]
    example = Kind(kind, "", stream, attended, False, tuple(made)), lines
    found = telling([example])
    expected = information(ties[1:, 1:])
    assert found == {(0, 0): 0.0, (0, 1): 0.0, (1, 0): 0.0, (1, 1): pytest.approx(expected)}
    assert telling([example, example])[1, 1] == pytest.approx(expected)
    view = best_view(*example, [(1, 1)], 20)
    np.testing.assert_array_equal(view.weights, ties)
    assert "over 20 examples: layer 2 head 2" in view.note
