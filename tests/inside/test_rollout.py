"""Attention rollout against products by hand, and against shares carried along the model's own order of steps."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from heedful.inside.record import Kind, Layer, Line
from heedful.inside.rollout import rollouts
from heedful.model.families import two_streams
from heedful.model.plan import Plan
from heedful.model.presets import plan

Doubles = npt.NDArray[np.float64]
SIZES = {"source": 4, "target": 3, "text": 5, "picture": 3}


def line(name: str) -> Line:
    words = tuple("w" * SIZES[name])
    return Line(name, name, words, words, np.arange(len(words)), (False,) * len(words))


LINES = {name: line(name) for name in SIZES}


def kinds_of(model: Plan, seed: int = 0) -> tuple[Kind, ...]:
    """All attentions of a plan with random weights whose rows sum to 1."""
    draw = np.random.default_rng(seed)
    found: dict[str, list[Layer]] = {}
    order = itertools.count()
    for _, where, block in model.blocks():
        for attend in block.attends:
            weights = draw.random((attend.heads, SIZES[block.stream], SIZES[attend.stream]))
            weights /= weights.sum(2, keepdims=True)
            found.setdefault(f"{block.stream}.{attend.stream}", []).append(
                Layer(f"{where}.{attend.stream}", weights.astype(np.float32), order=next(order))
            )
    return tuple(Kind(name, name, *name.split("."), False, tuple(layers)) for name, layers in found.items())


def walked(model: Plan, kinds: tuple[Kind, ...]) -> dict[str, Doubles]:
    """Shares by kind, walking the plan's steps: one big matrix over the tokens of all streams."""
    weights = {layer.address: layer.weights.astype(np.float64).mean(0) for kind in kinds for layer in kind.layers}
    begins = dict(
        zip(
            [one.name for one in model.streams],
            np.cumsum([0, *[SIZES[one.name] for one in model.streams]]),
            strict=False,
        )
    )
    place = {name: slice(begin, begin + SIZES[name]) for name, begin in begins.items()}
    shares = np.eye(sum(SIZES[one.name] for one in model.streams))
    blocks = list(model.blocks())
    for step in dict.fromkeys(number for number, _, _ in blocks):
        before = shares.copy()
        for _, where, block in (one for one in blocks if one[0] == step):
            own = place[block.stream]
            for attend in block.attends:
                read = shares if attend.stream == block.stream else before
                shares[own] = 0.5 * shares[own] + 0.5 * weights[f"{where}.{attend.stream}"] @ read[place[attend.stream]]
    parts = {kind.name: shares[place[kind.queries], place[kind.keys]] for kind in kinds}
    return {name: part / part.sum(1, keepdims=True) for name, part in parts.items()}


@pytest.mark.parametrize(
    "model",
    [
        plan("encoder", vocab=9, width=8, heads=2, layers=3, feedforward=8),
        plan("encoder-decoder", vocab=9, width=8, heads=2, layers=3, decoder_layers=2, feedforward=8),
        two_streams(layers=4, picture_layers=3, text_before=(2, 3), picture_before=(0, 2), heads=4, picture_heads=2),
    ],
    ids=["encoder", "encoder-decoder", "two-streams"],
)
def test_shares_are_those_of_a_walk_over_the_plan(model: Plan):
    kinds = kinds_of(model)
    expected = walked(model, kinds)
    for order in (kinds, kinds[::-1]):
        views = rollouts(order, LINES)
        assert [view.kind for view in views] == [kind.name for kind in order]
        for view in views:
            assert (view.name, view.signed, view.weights.dtype) == ("rollout", False, np.float32)
            np.testing.assert_allclose(view.weights, expected[view.kind], atol=1e-6)


def test_two_layers_by_hand():
    first, second = np.array([[[1.0, 0.0], [0.5, 0.5]]]), np.array([[[0.0, 1.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]])
    layers = Layer("text.0.text", first.astype(np.float32)), Layer("text.1.text", second.astype(np.float32))
    words = ("a", "b")
    lines = {"text": Line("text", "", words, words, np.arange(2), (False, False))}
    (view,) = rollouts([Kind("text.text", "", "text", "text", True, layers)], lines)
    # (1/2 [[0, 1], [1/2, 1/2]] + 1/2 I) (1/2 [[1, 0], [1/2, 1/2]] + 1/2 I)
    np.testing.assert_allclose(view.weights, np.array([[0.5, 0.5], [0.25, 0.75]]) @ np.array([[1, 0], [0.25, 0.75]]))


def test_cross_attention_by_hand():
    """One layer each: half of a token is from the source, through its mixing; the view is of that half."""
    own, cross = np.array([[[0.5, 0.5], [1.0, 0.0]]]), np.array([[[1.0, 0.0], [0.0, 1.0]]])
    words = ("a", "b")
    lines = {name: Line(name, "", words, words, np.arange(2), (False, False)) for name in ("source", "target")}
    made = lambda name, weights: Kind(
        name, "", *name.split("."), False, (Layer(f"{name[:6]}.0.{name[7:]}", weights.astype(np.float32)),)
    )
    kinds = [made("target.target", own), made("source.source", own), made("target.source", cross)]
    views = {view.kind: view.weights for view in rollouts(kinds, lines)}
    mixed = np.array([[0.75, 0.25], [0.5, 0.5]])
    np.testing.assert_allclose(views["source.source"], mixed)
    np.testing.assert_allclose(views["target.target"], mixed)
    np.testing.assert_allclose(views["target.source"], mixed)


def test_in_a_block_what_the_model_runs_first_comes_first():
    """LXMERT's cross blocks: other, own. Text reads its own picture token, then mixes itself evenly, or the reverse."""
    words = ("a", "b")
    lines = {name: Line(name, "", words, words, np.arange(2), (False, False)) for name in ("text", "picture")}
    even, each = np.full((1, 2, 2), 0.5, np.float32), np.eye(2, dtype=np.float32)[None]
    back = Kind("picture.text", "", "picture", "text", False, (Layer("picture.0.text", each, order=2),))
    mixed = [[0.75, 0.25], [0.25, 0.75]]
    for other, own, seen in ((0, 1, mixed), (1, 0, np.eye(2))):
        kinds = [
            Kind("text.text", "", "text", "text", False, (Layer("text.0.text", even, order=own),)),
            Kind("text.picture", "", "text", "picture", False, (Layer("text.0.picture", each, order=other),)),
        ]
        for some in (kinds, [*kinds, back], [back, *kinds[::-1]]):
            views = {view.kind: view.weights for view in rollouts(some, lines)}
            np.testing.assert_allclose(views["text.text"], mixed)
            np.testing.assert_allclose(views["text.picture"], seen)
        # The picture reads the text as it is where the two meet.
        np.testing.assert_allclose(views["picture.text"], np.eye(2) if other < own else mixed)


def test_who_sees_nothing_stays_what_it_was():
    words = ("a", "b")
    lines = {name: Line(name, "", words, words, np.arange(2), (False, False)) for name in ("source", "target")}
    cross = np.array([[[0, 0], [0, 1]]], np.float32)
    own = np.array([[[0, 0], [0.5, 0.5]]], np.float32)
    kinds = [
        Kind("target.target", "", "target", "target", True, (Layer("target.0.target", own),)),
        Kind("target.source", "", "target", "source", False, (Layer("target.0.source", cross),)),
    ]
    one, other = rollouts(kinds, lines)
    np.testing.assert_allclose(one.weights, [[1, 0], [0.25, 0.75]])
    np.testing.assert_allclose(other.weights, [[0, 0], [0, 1]])
    # Who attends to one that saw nothing gets all of what that is.
    layers = Layer("target.0.target", own), Layer("target.1.target", np.array([[[0, 0], [1, 0]]], np.float32))
    (deeper,) = rollouts([replace(kinds[0], layers=layers)], lines)
    np.testing.assert_allclose(deeper.weights, [[1, 0], [0.5 + 0.5 * 0.25, 0.5 * 0.75]])


def test_nothing_gives_nothing():
    assert rollouts([], {}) == ()


def test_what_is_not_all_there_has_no_rollout():
    (kind,) = kinds_of(plan("encoder", vocab=9, width=8, heads=2, layers=3, feedforward=8))
    assert rollouts([replace(kind, layers=kind.layers[1:])], LINES) == ()
    assert len(rollouts([replace(kind, layers=kind.layers[:2])], LINES)) == 1  # a shallower model looks the same


def test_streams_are_called_as_kinds_call_them():
    """Two rows of one stream in a record: each is a stream of its own."""
    (kind,) = kinds_of(plan("encoder", vocab=9, width=8, heads=2, layers=3, feedforward=8))
    other = replace(kind, name="picture.picture", queries="picture", keys="picture")
    other = replace(other, layers=tuple(replace(one, weights=one.weights[:, :3, :3]) for one in kind.layers))
    both, alone = rollouts([kind, other], LINES), (rollouts([kind], LINES), rollouts([other], LINES))
    for view, (expected,) in zip(both, alone, strict=True):
        np.testing.assert_array_equal(view.weights, expected.weights)
