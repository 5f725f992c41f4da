"""Measures of heads, against sums by hand; value-weighted attention against vectors one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from heedful.inside.measures import MEASURES, averaged, measure, value_weighted
from heedful.inside.probing import capture
from heedful.inside.record import Ids, Kind, Layer, Line, Picture, Reals
from heedful.model.embeddings import TokenInput
from heedful.model.layout import Layout
from heedful.model.model import Model
from heedful.model.presets import plan


def line(count: int, picture: bool = False) -> Line:
    words = tuple(f"w{number}" for number in range(count))
    looked = Picture(b"", 1, 1, np.zeros((count, 4), np.float32)) if picture else None
    numbers: Ids = np.arange(count)
    return Line("text", "text", words, words, numbers, (False,) * count, looked)


def measured(weights: object, causal: bool = False, name: str = "text.text", picture: bool = False) -> dict[str, float]:
    """All measures of one head."""
    array: Reals = np.array([weights], np.float32)
    kind = Kind(name, name, "a", "b", causal, (Layer("text.0.text", array),))
    found = measure(kind, {"a": line(array.shape[1]), "b": line(array.shape[2], picture)})
    return {one: layers[0][0] for one, layers in found.items()}


def test_entropy_is_in_bits_and_leaves_out_who_sees_nothing():
    rows = [[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25] * 4, [0, 0, 0, 0]]
    assert measured(rows)["entropy"] == pytest.approx((0 + 1 + 2) / 3)
    assert measured([[0.5, 0.25, 0.25]])["entropy"] == pytest.approx(1.5)


def test_diagonality_of_own_stream():
    assert measured(np.eye(4))["diagonality"] == pytest.approx(1)
    # Queries 0 and 2 are at ends, two keys from the furthest; query 1 is one from it.
    rows = [[0, 0, 1], [0, 1, 0], [0.5, 0.5, 0]]
    assert measured(rows)["diagonality"] == pytest.approx((0 + 1 + (1 - (0.5 * 2 + 0.5 * 1) / 2)) / 3)


def test_diagonality_of_queries_and_keys_of_different_number():
    # Places of the queries: 0, 1; of the keys: 0, 1/2, 1.
    assert measured([[0, 1, 0], [0, 0, 1]], name="target.source")["diagonality"] == pytest.approx((0.5 + 1) / 2)
    straight = [[1, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 1]]
    assert measured(straight, name="target.source")["diagonality"] == pytest.approx(1)


def test_diagonality_under_a_causal_mask_is_by_what_may_be_seen():
    rows = [[1, 0, 0], [1, 0, 0], [0, 1, 0]]  # query 0 has no choice, 1 looks as far as it can, 2 half as far
    assert measured(rows, causal=True)["diagonality"] == pytest.approx((0 + 0.5) / 2)


def test_previous_and_first():
    rows = [[1, 0, 0, 0], [0.7, 0.3, 0, 0], [0.1, 0.6, 0.3, 0], [0, 0, 0, 0]]
    open_, causal = measured(rows), measured(rows, causal=True)
    assert open_["previous"] == causal["previous"] == pytest.approx((0.7 + 0.6) / 2)
    assert open_["first"] == pytest.approx((1 + 0.7 + 0.1) / 3)
    assert causal["first"] == pytest.approx((0.7 + 0.1) / 2)


def test_coverage_is_of_even_shares():
    assert measured([[0.25] * 4] * 2)["coverage"] == pytest.approx(1)
    assert measured([[1, 0, 0, 0]] * 2)["coverage"] == pytest.approx(1 / 4)
    assert measured([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]])["coverage"] == pytest.approx(2 / 4)
    # Even attention would give 1 + 1/2 and 1/2.
    assert measured([[1, 0], [0.5, 0.5]], causal=True)["coverage"] == pytest.approx(1)
    assert measured([[1, 0], [0, 1]], causal=True)["coverage"] == pytest.approx((1 + 0.5) / 2)


def test_what_means_nothing_is_left_out():
    assert set(measured(np.eye(3))) == set(MEASURES)
    assert set(measured(np.eye(3), name="target.source")) == set(MEASURES) - {"previous"}
    assert set(measured(np.eye(3), name="text.picture", picture=True)) == {"entropy", "first", "coverage"}


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (3, 3)])
def test_nothing_seen_gives_zeros_and_no_warning(shape: tuple[int, int]):
    for name in ("text.text", "target.source"):
        assert set(measured(np.zeros(shape), name=name).values()) == {0.0}


def test_layers_may_differ_in_heads():
    layers = tuple(Layer(f"text.{at}.text", np.full((heads, 2, 2), 0.5, np.float32)) for at, heads in enumerate((3, 1)))
    found = measure(Kind("text.text", "", "a", "b", False, layers), {"a": line(2), "b": line(2)})
    assert found["entropy"] == [[1.0, 1.0, 1.0], [1.0]]


def test_averaged():
    texts = [{"entropy": [[1.0, 2.0], [3.0]]}, {"entropy": [[2.0, 4.0], [5.0]], "first": [[1.0, 1.0], [0.5]]}]
    assert averaged(texts) == {"entropy": [[1.5, 3.0], [4.0]], "first": [[1.0, 1.0], [0.5]]}
    assert averaged([]) == {}


@pytest.mark.parametrize("key_heads", [None, 2])
def test_value_weighted_is_the_norm_of_what_each_key_adds(key_heads: int | None):
    model = Model(
        plan("transformer-tiny", vocab=20, width=16, heads=4, head_width=6, key_heads=key_heads, layers=1), seed=2
    )
    inputs = {
        name: TokenInput(torch.tensor(ids), Layout.packed(np.array([len(ids)])))
        for name, ids in (("source", [5, 6, 7, 8, 2]), ("target", [1, 9, 4]))
    }
    where = "target.0.source"
    seen = capture(model, inputs, [f"{where}.{point}" for point in ("value", "weights", "output")])
    attention = dict(model.named_modules())[where]
    value, weights = seen.row(f"{where}.value"), seen.row(f"{where}.weights")
    found = value_weighted(attention, value, weights)

    matrix = attention.output.weight.detach().double().numpy()  # [width, heads x head width]
    added = np.zeros((4, 3, 5, 16))
    for head in range(4):
        for key in range(5):
            vector = matrix[:, head * 6 : head * 6 + 6] @ value[head // (4 // len(value)), key].double().numpy()
            added[head, :, key] = weights[head, :, key].double().numpy()[:, None] * vector
    # All that is added, and the output's bias, is what the attention puts out.
    whole = added.sum((0, 2)) + attention.output.bias.detach().numpy()
    np.testing.assert_allclose(seen.row(f"{where}.output").numpy(), whole, atol=1e-5)
    norms = np.linalg.norm(added, axis=3)
    np.testing.assert_allclose(found.numpy(), norms / norms.sum(2, keepdims=True), atol=1e-6)
    assert np.abs(found.numpy() - weights.numpy()).max() > 0.01

    weights[1, 2] = 0.0
    blind = value_weighted(attention, value, weights)
    assert blind[1, 2].tolist() == [0.0] * 5
    assert math.isfinite(float(blind.sum()))
    assert torch.equal(blind[0], found[0])
