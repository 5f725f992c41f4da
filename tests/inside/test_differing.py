"""Two records beside each other: numbers by hand, and what cannot be compared said instead of failing."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from heedful.inside.differing import compare, divergence, spread
from heedful.inside.record import Kind, Layer, Line, Record, Said, by_words


def line(words: str, tokens: list[int] | None = None) -> Line:
    texts = tuple(words.split())
    numbers = np.repeat(np.arange(len(texts)), tokens or [1] * len(texts))
    pieces = tuple(f"{texts[word]}{at}" for at, word in enumerate(numbers))
    return Line("text", "text", pieces, texts, numbers, (False,) * len(texts))


def record(*layers: object, model: str = "one", words: Line | None = None, **more: object) -> Record:
    found = tuple(Layer(f"text.{at}.text", np.array(heads, np.float32)) for at, heads in enumerate(layers))
    kind = Kind("text.text", "text to text", "text", "text", False, found)
    made = Record(model, "fill", "a b", "", {"text": words or line("a b")}, (kind,))
    return replace(made, **more)


ONE, EVEN, OTHER = [[1, 0], [0, 1]], [[0.5, 0.5], [0.5, 0.5]], [[0, 1], [1, 0]]


def test_divergence():
    draw = np.random.default_rng(1)
    some, more = (draw.dirichlet(np.ones(5), 3) for _ in range(2))
    entropy = lambda row: -sum(share * math.log2(share) for share in row)  # that of the mean less the mean of those
    pairs = zip(some, more, strict=True)
    expected = np.mean([entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2 for p, q in pairs])
    assert divergence(some.astype(np.float32), more.astype(np.float32)) == pytest.approx(expected, abs=1e-6)
    assert divergence(np.array(ONE), np.array(OTHER)) == 1
    assert divergence(np.array(ONE), np.array(ONE)) == 0
    # By hand, of (1, 0) and (1/2, 1/2): half of log2(4/3), and half of (1/2) log2(2/3) + (1/2) log2(2).
    by_hand = 0.5 * np.log2(4 / 3) + 0.5 * (0.5 * np.log2(2 / 3) + 0.5)
    assert divergence(np.array(ONE), np.array(EVEN)) == pytest.approx(by_hand)


def test_rows_that_see_nothing():
    blind = [[0, 0], [0, 1]]
    assert divergence(np.array(blind), np.array(blind)) == 0
    assert divergence(np.array(blind), np.array(ONE)) == 0.5
    assert divergence(np.zeros((2, 2)), np.zeros((2, 2))) == 0
    assert divergence(np.zeros((0, 2)), np.zeros((0, 2))) == 0


def test_every_head_and_layer():
    found = compare(record([ONE, EVEN], [ONE, ONE]), record([ONE, EVEN], [OTHER, ONE], model="two"))
    assert found.distances == {"text.text": [[0, 0], [1, 0]]}
    views = {view.name: view for view in found.views}
    assert list(views) == ["difference", "difference 1", "difference 2"]
    assert all(view.signed and view.kind == "text.text" for view in found.views)
    np.testing.assert_allclose(views["difference 1"].weights, 0)
    np.testing.assert_allclose(views["difference 2"].weights, [[-0.5, 0.5], [0.5, -0.5]])
    np.testing.assert_allclose(views["difference"].weights, [[-0.25, 0.25], [0.25, -0.25]])
    assert found.notes == ()


def test_other_tokens_of_the_same_words():
    """By words `a` gives b 0.4 and 0.6; the difference is shared out over the tokens of `a`."""
    one = record([[[0.6, 0.3, 0.1], [0.2, 0.4, 0.4], [0.0, 0.5, 0.5]]], words=line("a b", [1, 2]))
    other = record([[[0.5, 0.5], [1.0, 0.0]]], model="two")
    found = compare(one, other)
    by_hand = np.array([[0.6, 0.4], [0.1, 0.9]])
    assert found.distances["text.text"][0][0] == pytest.approx(divergence(by_hand, np.array([[0.5, 0.5], [1, 0]])))
    (whole, _) = found.views
    assert whole.weights.shape == (3, 3)
    np.testing.assert_allclose(
        by_words(whole.weights, line("a b", [1, 2]), line("a b", [1, 2])), [[-0.1, 0.1], [0.9, -0.9]], atol=1e-6
    )
    np.testing.assert_allclose(whole.weights[1], [0.9, -0.45, -0.45], atol=1e-6)
    assert found.notes == ("text to text: the tokens differ, so words are compared",)


def test_spread_is_undone_by_words():
    queries, keys = line("a b c", [2, 1, 3]), line("x y", [1, 2])
    words = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    np.testing.assert_allclose(by_words(spread(words, queries, keys), queries, keys), words, atol=1e-6)


def test_other_words_are_not_compared():
    found = compare(record([ONE]), record([ONE], model="two", words=line("a c"), text="a c"))
    assert (found.distances, found.views) == ({}, ())
    assert found.notes == ("the two were given different texts", "text to text: not compared, for the words differ")


def test_other_heads_layers_and_kinds():
    one, two = record([ONE, EVEN], [ONE, ONE], [ONE, ONE]), record([OTHER], [ONE, ONE], model="two")
    extra = Kind("text.picture", "text to picture", "text", "text", False, ())
    two = replace(two, kinds=(*two.kinds, extra))
    found = compare(one, two)
    assert found.distances == {"text.text": [[], [0, 0], []]}
    views = {view.name: view.weights for view in found.views}
    assert list(views) == ["difference", "difference 1", "difference 2"]
    np.testing.assert_allclose(views["difference 1"], np.array(OTHER) - np.mean([ONE, EVEN], 0))
    np.testing.assert_allclose(views["difference"], (np.array(OTHER) - np.mean([ONE, EVEN], 0)) / 2)
    assert found.notes == (
        "text to text: 1 layer that only one has",
        "text to text: other numbers of heads, so only their means are compared: text.0.text",
        "text to picture: only two has it",
    )
    back = compare(two, one)
    assert back.distances == {"text.text": [[], [0, 0]]}
    assert back.notes[0] == "text to text: 1 layer that only one has"
    assert back.notes[-1] == "text to picture: only two has it"
    none = compare(record(), record(model="two"))
    assert (none.distances, none.views, none.notes) == ({"text.text": []}, (), ())


def said(*tokens: tuple[str, float]) -> dict[str, object]:
    return {"answer": "".join(text for text, _ in tokens), "said": tuple(Said(*token) for token in tokens)}


def test_what_both_said():
    found = compare(record(**said(("x", -1.0), ("y", -2.0))), record(**said(("x", -0.5), ("y", -4.0))))
    assert found.said == (("x", 0.5), ("y", -2.0))
    assert found.total == pytest.approx(-1.5)
    assert found.notes == ()


def test_as_far_as_both_said_the_same():
    one, two = record(**said(("x", -1.0), ("y", -2.0))), record(**said(("x", -0.5), ("z", -4.0)))
    found = compare(one, two)
    assert (found.said, found.total) == ((("x", 0.5),), None)
    assert found.notes == ("the answers differ after 1 token",)


def test_the_same_answer_in_other_tokens():
    found = compare(record(**said(("xy", -1.0))), record(**said(("x", -0.5), ("y", -1.0))))
    assert (found.said, found.total) == ((), pytest.approx(-0.5))
    assert found.notes == ("the answer is the same, but not its tokens",)
