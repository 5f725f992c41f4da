"""What a page carries: how exact, how small, and that nothing in it can leave its element."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import replace

import numpy as np
import pytest

from heedful.inside.record import Layer, Record, WhatIf
from heedful.page.look import page
from heedful.page.look.packing import decoded, encoded, pack, quantised, restored

from .records import random, translation


@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-4])
def test_a_weight_is_off_by_at_most_its_root_over_255(scale: float) -> None:
    weights = (scale * np.random.default_rng(0).uniform(size=10_000)).astype(np.float32)
    error = np.abs(restored(quantised(weights)) - weights)
    assert (error <= (np.sqrt(weights) + 1 / 510) / 255 + 1e-7).all()
    assert error.max() <= 0.004


def test_ends_are_exact_and_what_is_out_of_range_is_not_wrapped() -> None:
    weights = np.array([0.0, 1.0, 1.5, -0.5], np.float32)
    assert quantised(weights).tolist() == [0, 255, 255, 0]
    assert restored(quantised(weights)).tolist() == [0, 1, 1, 0]


def test_signed_numbers_keep_their_sign() -> None:
    values = np.linspace(-1, 1, 2001, dtype=np.float32)
    back = restored(quantised(values, signed=True), signed=True)
    assert np.abs(back - values).max() <= 1 / 127
    assert (np.sign(back) * np.sign(values) >= 0).all()
    assert restored(quantised(np.zeros(1, np.float32), signed=True), signed=True)[0] == 0


@pytest.mark.parametrize("shape", [(2, 5, 5), (1, 3, 5), (1, 5, 3), (2, 0, 0)])
def test_a_causal_block_keeps_what_may_be_seen_and_nothing_else(shape: tuple[int, int, int]) -> None:
    steps = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    block = encoded(steps, causal=True)
    assert (decoded(block, shape, causal=True) == np.tril(steps)).all()
    kept = sum(min(query + 1, shape[2]) for query in range(shape[1])) * shape[0]
    assert len(zlib.decompress(base64.b64decode(block), -15)) == kept


def test_blocks_are_where_the_json_says() -> None:
    record = translation()
    packed = pack(record)
    data = json.loads(packed.json())
    for number, kind in enumerate(record.kinds):
        entry = data["kinds"][number]
        weights = np.concatenate([layer.weights for layer in kind.layers])
        steps = decoded(packed.blocks[entry["weights"]["block"]], weights.shape, causal=kind.causal)
        assert np.abs(restored(steps) - weights).max() <= 0.004
        mean = decoded(packed.blocks[entry["mean"]["block"]], weights.shape[1:], causal=kind.causal)
        assert np.abs(restored(mean) - weights.mean(0)).max() <= 0.004
        assert [(layer["first"], layer["heads"]) for layer in entry["layers"]] == [(0, 3), (3, 2)]
    view = data["kinds"][0]["views"][0]
    back = view["scale"] * restored(decoded(packed.blocks[view["block"]], (5, 5)), signed=True)
    assert np.abs(back - record.views[0].weights).max() <= np.abs(record.views[0].weights).max() / 127


def test_what_is_no_number_is_null_or_nothing() -> None:
    record = translation()
    kind = record.kinds[0]
    broken = np.full_like(kind.layers[0].weights, np.nan)
    layers = (Layer(kind.layers[0].address, broken), kind.layers[1])
    measures = {"target.source": {"entropy": [[float("nan"), 1.0, float("inf")], [1.0, 2.0]]}}
    packed = pack(replace(record, kinds=(replace(kind, layers=layers),), measures=measures))
    data = json.loads(packed.json())
    assert data["kinds"][0]["measures"] == [["entropy", [[None, 1.0, None], [1.0, 2.0]]]]
    steps = decoded(packed.blocks[data["kinds"][0]["weights"]["block"]], (5, 5, 5))
    assert not steps[:3].any()


def test_layers_are_called_by_their_address_and_found_by_their_place() -> None:
    """The second layer alone: still the second to people, the first of what is there."""
    whole = translation()
    kinds = tuple(replace(kind, layers=kind.layers[1:]) for kind in whole.kinds)
    run = WhatIf("head", ("target.1.source", 1), "off", "", -1.0, -0.5)
    data = pack(replace(whole, kinds=kinds, best={"target.source": [(0, 1)]}, what_if=(run,))).data
    assert [layer["layer"] for layer in data["kinds"][0]["layers"]] == [1]
    assert data["kinds"][0]["best"] == [[0, 1]]
    assert (data["what_if"][0]["kind"], data["what_if"][0]["layer"], data["what_if"][0]["head"]) == (0, 0, 1)
    assert data["notes"] == list(whole.notes)


def test_nothing_in_the_json_ends_its_element() -> None:
    hostile = "</script><!--<script>\u2028\u2029 ]]>"
    packed = pack(replace(translation(), text=hostile, model=hostile, notes=(hostile,)))
    text = packed.json()
    assert "<" not in text
    assert "\u2028" not in text
    assert json.loads(text)["text"] == hostile.replace("\u2028", "⟨U+2028⟩").replace("\u2029", "⟨U+2029⟩")


def test_a_record_of_nothing_has_a_page() -> None:
    assert "<h1>" in page(Record("", "", "", "", {}, ()))


def test_six_layers_of_eight_heads_and_thirty_tokens_fit_in_a_fifth_of_a_megabyte() -> None:
    assert len(page(random(6, 8, 30)).encode()) <= 200_000


def test_twelve_by_twelve_at_128_tokens_would_fit_in_six_megabytes() -> None:
    """One layer of each kind, twelve times over, and all that is not weights."""
    one = sum(len(block) for block in pack(random(1, 12, 128)).blocks)
    rest = len(page(random(1, 12, 128)).encode()) - one
    assert 12 * one + rest <= 6_000_000


def test_twelve_by_twelve_at_512_tokens_would_fit_in_thirty_megabytes() -> None:
    assert 144 * sum(len(block) for block in pack(random(1, 1, 512, kinds=1)).blocks) / 2 <= 30_000_000  # its mean, too
