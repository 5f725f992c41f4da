"""Heads that follow a feature, by hand: what goes where, what places alone would give, what there is to choose from."""

from __future__ import annotations

import numpy as np
import pytest

from heedful.errors import UserError
from heedful.inside.following import Example, following, ranked
from heedful.inside.record import Kind, Layer, Line


def line(name: str, words: str, tokens: list[int] | None = None) -> Line:
    """Words between spaces; those in <> are controls. `tokens`: how many each word has (1 each)."""
    texts = tuple(words.split())
    counts = tokens or [1] * len(texts)
    numbers = np.repeat(np.arange(len(texts)), counts)
    control = tuple(text.startswith("<") for text in texts)
    return Line(name, name, tuple("x" * len(numbers)), texts, numbers, control)


def example(heads: object, words: str, features: list[str | None], causal: bool = False) -> Example:
    """One layer of a stream's attention to itself."""
    kind = Kind("text.text", "", "text", "text", causal, (Layer("text.0.text", np.array(heads, np.float32)),))
    return Example(kind, {"text": line("text", words)}, features, features)


WORDS, FEATURES = "a b c d", ["m", "f", "m", "f"]


def test_a_head_that_goes_to_the_same_value_follows_it():
    same = [[0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0]]
    even = np.where(np.eye(4), 0, 1 / 3)
    follows, not_ = following([example([same, even], WORDS, FEATURES)])
    assert (follows.layer, follows.head, not_.head, follows.words) == (0, 0, 1, 1)
    assert follows.same is not None
    assert (follows.same.share, follows.same.queries, follows.same.texts) == (1, 4, 1)
    # One of three words that a query may see besides itself is of its value.
    assert follows.same.even == pytest.approx(1 / 3)
    assert follows.same.excess == pytest.approx(1 - follows.same.placed)
    assert not_.same is not None
    assert not_.same.share == pytest.approx(1 / 3)
    assert not_.same.placed == pytest.approx(1 / 3)
    assert not_.same.lift == pytest.approx(1)
    assert ranked([not_, follows]) == [follows, not_]


def test_a_head_that_only_looks_one_back_does_not_follow():
    """Each word of a value stands right after another of it: what it gives them is what its places give."""
    back = [[1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
    (head,) = following([example([back], "a b c d", ["m", "m", "m", "f"], causal=True)])
    # Queries with a choice of values: only d, which may see a, b and c, has none of f; so m is never a choice either.
    assert head.same is None
    assert head.values == {}
    two = [np.eye(5, k=-1), np.eye(5, k=-1)]
    for matrix in two:
        matrix[0, 0] = 1
    (head,) = following([example([two[0]], "a b c d e", ["m", "m", "f", "f", "m"], causal=True)])
    assert head.same is not None
    # c sees m only; d sees f at c, and m at a and b; e sees m at a and b, and f.
    assert (head.same.queries, head.same.share, head.same.placed) == (2, 0.5, 0.5)
    assert head.same.excess == 0
    assert head.same.even == pytest.approx(np.mean([1 / 4 / (3 / 4) * 1, 2 / 4 / (4 / 4) * 1]))


def test_what_places_give_by_hand():
    """Distances -1 and -2: from c, b gets 0.2 and a 0.6; from d, c gets 0.4 and b 0.4 and a 0.2; from b, a gets 1."""
    heads = [[[1, 0, 0, 0], [1, 0, 0, 0], [0.6, 0.2, 0.2, 0], [0.2, 0.4, 0.4, 0]]]
    (head,) = following([example(heads, WORDS, FEATURES, causal=True)])
    one, two, three = (1 + 0.2 + 0.4) / 3, (0.6 + 0.4) / 2, 0.2  # the mean at each distance
    # m: c may see a and b, d all three. 0.2 of c's attention is its own.
    c, d = 0.8 * two / (one + two), 1.0 * (one + three) / (one + two + three)
    m = head.values["m"]
    assert (m.queries, m.texts) == (2, 1)
    assert m.share == pytest.approx((0.6 + 0.6) / 2)
    assert m.placed == pytest.approx((c + d) / 2)
    assert m.even == pytest.approx((0.8 / 2 + 1.0 * 2 / 3) / 2)
    assert head.pairs["f", "m"].share == pytest.approx(0.6)  # from d alone
    assert head.pairs["f", "m"].placed == pytest.approx(d)
    assert head.pairs["m", "m"].placed == pytest.approx(c)
    assert head.words == pytest.approx((1 + 0.8 + 1) / 3)


def test_controls_and_words_without_the_feature():
    """What goes to a control is no attention to words; a word without the feature is one of the others."""
    heads = [[[1, 0, 0, 0], [0.5, 0, 0.25, 0.25], [0.2, 0.6, 0, 0.2], [0.2, 0.8, 0, 0]]]
    both = [example(heads, "<s> a b c", features) for features in (["m", None, "f"], [None, "m", None, "f"])]
    first, second = (following([one])[0] for one in both)
    assert first == second
    assert first.words == pytest.approx((0.5 + 0.8 + 0.8) / 3)
    # m is a; b may choose between a and c, c between a and b; a itself sees no other m.
    assert first.values["m"].share == pytest.approx((0.6 + 0.8) / 2)
    assert first.values["m"].even == pytest.approx((0.8 / 2 + 0.8 / 2) / 2)
    ahead, back, far_back = (0.25 + 0.2) / 2, (0.6 + 0.0) / 2, 0.8
    assert first.values["m"].placed == pytest.approx(
        (0.8 * back / (back + ahead) + 0.8 * far_back / (far_back + back)) / 2
    )


def test_words_of_several_tokens():
    """Even attention goes to tokens; a word's tokens ask together."""
    heads = np.array([[[0.1, 0.2, 0.3, 0.4], [0.3, 0.2, 0.1, 0.4], [0.5, 0.1, 0.2, 0.2], [0.2, 0.4, 0.4, 0.0]]])
    kind = Kind("text.text", "", "text", "text", False, (Layer("text.0.text", heads.astype(np.float32)),))
    lines = {"text": line("text", "a b c", [1, 2, 1])}
    (head,) = following([Example(kind, lines, ["m", "m", "f"])])
    share = head.values["m"]  # from b, which sees a and c, but not from a or c: c sees m only
    assert (share.queries, share.texts) == (2, 1)
    to_a, to_c = (0.3 + 0.5) / 2, (0.4 + 0.2) / 2
    # a sees b with 0.5 and c with 0.4.
    assert share.share == pytest.approx((to_a + 0.5) / 2)
    assert share.even == pytest.approx(((to_a + to_c) / 2 + 0.9 * 2 / 3) / 2)
    assert head.same is None
    assert head.pairs == {}


def test_a_decoder_does_not_see_the_word_that_it_writes():
    """Read: <s> a a b; written: a a b <e>. Of the second a's two tokens the first is seen, and counts for nothing."""
    written, read = (
        line("written", "a a b <e>", [1, 2, 1, 1]),
        line("read", "<s> a a b", [1, 1, 2, 1]),
    )
    weights = np.array(
        [
            [1, 0, 0, 0, 0],
            [0.5, 0.5, 0, 0, 0],
            [0.2, 0.3, 0.5, 0, 0],
            [0.1, 0.2, 0.3, 0.4, 0],
            [0.2, 0.2, 0.2, 0.2, 0.2],
        ]
    )
    kind = Kind(
        "target.target", "", "written", "read", True, (Layer("target.0.target", weights[None].astype(np.float32)),)
    )
    (head,) = following([Example(kind, {"written": written, "read": read}, ["m", "f", "m"], ["m", "f", "m"])])
    # The second a gives 0.5 and 0.3 to the first, b gives 0.2 to the first and 0.7 to the second.
    assert head.words == pytest.approx(((0.5 + 0.3) / 2 + 0.2 + 0.7) / 2)
    assert head.same is not None
    assert (head.same.queries, head.same.share) == (1, pytest.approx(0.2))


def test_between_streams_there_is_no_itself():
    cross = np.array([[[1, 0], [0, 1], [0.5, 0.5]]], np.float32)
    kind = Kind("target.source", "", "target", "source", False, (Layer("target.0.source", cross),))
    lines = {"target": line("target", "x y z"), "source": line("source", "a b")}
    (head,) = following([Example(kind, lines, ["m", "f"], ["m", "f", "m"])])
    assert head.same is not None
    assert (head.same.share, head.same.even, head.same.queries) == (pytest.approx((1 + 1 + 0.5) / 3), 0.5, 3)
    # Places of the queries among the keys: 0, 0.5 (rounded to 0), 1. At distance 0 stand 1, 0 and 0.5.
    zero, ahead, back = (1 + 0 + 0.5) / 3, (0 + 1) / 2, 0.5
    placed = [zero / (zero + ahead), ahead / (zero + ahead), back / (zero + back)]
    assert head.same.placed == pytest.approx(np.mean(placed))


def test_the_error_is_that_of_texts():
    draw = np.random.default_rng(3)
    texts = []
    for _ in range(3):
        weights = draw.random((1, 4, 4))
        texts.append(example(weights / weights.sum(2, keepdims=True), WORDS, FEATURES))
    (head,) = following(texts)
    assert head.same is not None
    assert (head.same.queries, head.same.texts) == (12, 3)
    # All texts ask 4 times: the standard error of the mean of three excesses.
    sums, counts = np.zeros(7), np.zeros(7)
    for text in texts:
        for query, key in np.argwhere(~np.eye(4, dtype=bool)):
            sums[key - query + 3] += text.kind.layers[0].weights[0, query, key]
            counts[key - query + 3] += 1
    mean = sums / np.maximum(counts, 1)
    excesses = []
    for text in texts:
        weights, found = text.kind.layers[0].weights[0], 0.0
        for query, same in enumerate((2, 3, 0, 1)):
            others = [key for key in range(4) if key != query]
            places = {key: mean[key - query + 3] for key in others}
            mass = sum(weights[query, key] for key in others)
            found += weights[query, same] - mass * places[same] / sum(places.values())
        excesses.append(found / 4)
    assert head.same.excess == pytest.approx(np.mean(excesses), abs=1e-6)
    assert head.same.error == pytest.approx(np.std(excesses, ddof=1) / np.sqrt(3), abs=1e-6)


def test_heads_that_see_nothing_and_layers_of_other_sizes():
    kind = Kind(
        "text.text",
        "",
        "text",
        "text",
        False,
        (
            Layer("text.0.text", np.zeros((2, 4, 4), np.float32)),
            Layer("text.1.text", np.full((1, 4, 4), 0.25, np.float32)),
        ),
    )
    found = following([Example(kind, {"text": line("text", WORDS)}, FEATURES, FEATURES)])
    assert [(head.layer, head.head) for head in found] == [(0, 0), (0, 1), (1, 0)]
    assert found[0].same is not None
    assert (found[0].same.share, found[0].same.placed, found[0].same.lift, found[0].words) == (0, 0, 1, 0)
    assert ranked(found, "f")[0] == found[0]
    assert following([]) == []


def test_features_are_as_many_as_words():
    good, bad = example([np.eye(4)], WORDS, FEATURES), example([np.eye(4)], WORDS, ["m"])
    with pytest.raises(UserError, match=r"text 2: 1 features for 4 words: 'a b c d'"):
        following([good, bad])
