"""What the page shows of weights that are known, in a real browser: colours, numbers, order, shares."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from heedful.inside.record import Reals, Record, View, by_words

from .conftest import Opened, settle
from .ramp import colour
from .records import SOURCE, WRITTEN, chain, random, translation

WITHIN = 0.008  # two tokens of a word, each off by at most 0.004
RECORD = translation()


def matrix(kind: int = 0, layer: int | None = None, head: int | None = None) -> Reals:
    layers = RECORD.kinds[kind].layers
    if layer is None:
        return np.concatenate([one.weights for one in layers]).mean(0)
    return layers[layer].weights.mean(0) if head is None else layers[layer].weights[head]


def words_of(weights: Reals, kind: int = 0) -> Reals:
    one = RECORD.kinds[kind]
    return by_words(weights, RECORD.lines[one.queries], RECORD.lines[one.keys])


def chips(tab: Any, side: str) -> Any:
    return tab.locator("#words .line").nth(0 if side == "keys" else 1).locator(".chip")


def lightness(tab: Any, side: str) -> list[float]:
    """How light each word's background is."""
    colours = chips(tab, side).evaluate_all("all => all.map(one => getComputedStyle(one).backgroundColor)")
    return [sum(float(part) for part in one[4:-1].replace(",", " ").split()[:3]) for one in colours]


def numbers(tab: Any, side: str) -> list[float]:
    return [float(text or 0) for text in chips(tab, side).locator("small").all_text_contents()]


def test_a_chosen_word_lights_what_it_reads_most(tab: Any) -> None:
    for word, expected in enumerate(words_of(matrix())):
        chips(tab, "queries").nth(word).click()
        assert int(np.argmin(lightness(tab, "keys"))) == int(expected.argmax())
        shown = numbers(tab, "keys")
        assert all(abs(a - b) <= WITHIN + 0.005 for a, b in zip(shown, expected, strict=True) if b > 0.03)
        told = tab.locator(".pins li").text_content()
        assert told.startswith(f"{WRITTEN[word]} reads {SOURCE[int(expected.argmax())]} ")
        assert abs(float(told.split()[3].rstrip(",")) - expected.max()) <= WITHIN
        assert tab.locator("[role=status]").first.text_content() == told


def test_a_chosen_source_word_lights_its_readers(tab: Any) -> None:
    expected = words_of(matrix())[:, 1]
    chips(tab, "keys").nth(1).click()
    assert int(np.argmin(lightness(tab, "queries"))) == int(expected.argmax())
    assert tab.locator(".pins li").text_content().startswith(f"red is read by {WRITTEN[int(expected.argmax())]} ")


def test_words_of_several_tokens_can_be_taken_apart(tab: Any) -> None:
    tab.get_by_text("tokens", exact=True).locator("xpath=..").locator("input").check()
    assert chips(tab, "keys").locator("bdi").all_text_contents() == list(RECORD.lines["source"].pieces)
    chips(tab, "queries").nth(2).click()
    shown = tab.locator(".pins li").text_content()
    assert shown.startswith("es reads ")
    assert abs(float(shown.split()[3].rstrip(",")) - matrix()[2].max()) <= 0.0045


def test_a_chosen_word_is_kept_where_it_can_be(tab: Any) -> None:
    chips(tab, "queries").nth(1).click()  # "rotes" of two tokens
    tab.get_by_text("tokens", exact=True).locator("xpath=..").locator("input").check()
    assert tab.locator(".chip[aria-pressed=true] bdi").all_text_contents() == ["rot"]
    tab.get_by_text("answer reads itself", exact=True).last.locator("xpath=..").locator("input").check()
    assert tab.locator(".chip[aria-pressed=true] bdi").all_text_contents() == ["rot"]
    chips(tab, "keys").nth(0).click()
    tab.get_by_text("answer reads text", exact=True).last.locator("xpath=..").locator("input").check()
    assert tab.locator(".chip[aria-pressed=true]").count() == 0  # "target" is no line of this kind


def test_hidden_starts_and_ends_share_out_what_they_got(tab: Any) -> None:
    tab.get_by_text("hide starts and ends").locator("xpath=..").locator("input").check()
    assert "each row sums to 1" in tab.locator("#note").text_content()
    expected = words_of(matrix())[1, :3]
    expected = expected / expected.sum()
    chips(tab, "queries").nth(1).click()
    assert np.allclose(numbers(tab, "keys")[:3], np.where(expected >= 0.02, expected, 0), atol=0.02)
    tab.get_by_text("Show as table").click()
    cells = np.array([float(one) for one in tab.locator("#alignment td.number").all_text_contents()]).reshape(3, 3)
    assert np.allclose(cells.sum(1), 1, atol=0.002)


def test_the_table_has_every_number(tab: Any) -> None:
    tab.get_by_text("Show as table").click()
    cells = [float(one) for one in tab.locator("#alignment td.number").all_text_contents()]
    assert np.abs(np.array(cells).reshape(4, 4) - words_of(matrix())).max() <= WITHIN
    assert tab.locator("#alignment thead bdi").all_text_contents() == list(SOURCE)
    assert tab.locator("#alignment tbody bdi").all_text_contents() == list(WRITTEN)


def head_button(tab: Any, layer: int, head: int) -> Any:
    settle(tab)
    return tab.locator(f'.head[aria-label^="layer {layer + 1}, head {head + 1}"]')


def pixels(canvas: Any) -> Reals:
    """[height, width, 3] of a canvas, in its own pixels."""
    flat, width, height = canvas.evaluate(
        "c => [[...c.getContext('2d').getImageData(0, 0, c.width, c.height).data], c.width, c.height]"
    )
    return np.array(flat, np.float32).reshape(height, width, 4)[..., :3]


@pytest.mark.parametrize("dark", [False, True])
def test_every_pixel_of_every_head_has_its_weights_colour(show: Callable[..., Opened], dark: bool) -> None:
    shown = show(RECORD, dark=dark)
    for layer, each in enumerate(RECORD.kinds[0].layers):
        for head, weights in enumerate(each.weights):
            seen = pixels(head_button(shown.tab, layer, head).locator("canvas"))
            steps = np.rint(255 * np.sqrt(weights)) / 255
            expected = np.array([[colour(step**2, dark=dark) for step in row] for row in steps])
            assert np.abs(seen - expected).max() <= 1.01
    assert shown.told == []


def test_the_matrix_is_drawn_in_the_colours_of_its_numbers(show: Callable[..., Opened]) -> None:
    """On the screen, by screenshot, where one pixel of the page is two of the device."""
    image = pytest.importorskip("PIL.Image")
    shown = show(RECORD, device_scale_factor=2)
    for signed in (False, True):
        expected = words_of(matrix())
        if signed:
            shown.tab.select_option("#through", label="gradient")
            expected = words_of(RECORD.views[0].weights)
            expected = expected / np.abs(expected).max()
        shown.tab.mouse.move(2, 2)
        picture = image.open(io.BytesIO(shown.tab.locator("#alignment .plane canvas").screenshot())).convert("RGB")
        cell = picture.width / 4
        for query in range(4):
            for key in range(4):
                seen = picture.getpixel((int((key + 0.45) * cell), int((query + 0.45) * cell)))
                assert np.abs(np.array(seen) - colour(expected[query, key], signed=signed)).max() <= 6


def test_what_a_mask_hides_is_empty(tab: Any) -> None:
    tab.get_by_text("answer reads itself", exact=True).last.locator("xpath=..").locator("input").check()
    seen = pixels(head_button(tab, 1, 1).locator("canvas"))
    above = np.triu(np.ones((5, 5), bool), 1)
    assert (seen[above] == np.rint(colour(0.0))).all()
    assert (seen[~above].sum(-1) < seen[0, 1].sum()).all()


def test_large_heads_show_the_largest_of_what_shares_a_pixel(show: Callable[..., Opened]) -> None:
    record = random(1, 1, 160, kinds=1)
    seen = pixels(head_button(show(record).tab, 0, 0).locator("canvas"))
    pool, size = 2, 80  # of 160 weights, two share a pixel of a picture of at most 96
    padded = np.zeros((size * pool, size * pool))
    padded[:160, :160] = record.kinds[0].layers[0].weights[0]
    largest = padded.reshape(size, pool, size, pool).max((1, 3))
    assert seen.shape == (size, size, 3)
    steps = np.rint(255 * np.sqrt(largest)) / 255
    for place in [(0, 0), (3, 17), (size - 1, size - 1), (20, 40)]:
        assert np.abs(seen[place] - colour(steps[place] ** 2)).max() <= 1.01


def test_heads_in_order_of_a_measure(tab: Any) -> None:
    def order() -> list[str]:
        settle(tab)
        return tab.locator(".head span").all_text_contents()

    assert order() == ["1·1", "1·2", "1·3", "2·1", "2·2"]
    tab.select_option("#sort", label="entropy")  # what is telling of entropy is what is low
    assert order() == ["2·2", "1·1", "1·3", "1·2", "2·1"]
    assert tab.locator(".head small").all_text_contents() == ["0.25", "0.5", "1", "2", "3"]
    assert "entropy, lowest first" in tab.locator("#heads [role=status]").text_content()
    tab.get_by_role("button", name="lowest first").click()
    assert order() == ["2·1", "1·2", "1·3", "1·1", "2·2"]
    assert "place 1 of 5" in head_button(tab, 1, 0).get_attribute("aria-label")
    tab.select_option("#sort", label="made up")  # a measure that nobody knows
    assert order() == ["2·2", "2·1", "1·3", "1·2", "1·1"]


def test_a_chosen_head_is_what_all_panels_show(tab: Any) -> None:
    head_button(tab, 1, 1).click()
    assert head_button(tab, 1, 1).get_attribute("aria-pressed") == "true"
    assert (tab.input_value("#through"), tab.input_value("#layer"), tab.input_value("#head")) == ("head", "1", "1")
    chips(tab, "queries").nth(3).click()
    expected = words_of(matrix(0, 1, 1))[3]
    assert abs(float(tab.locator(".pins li").text_content().split()[3].rstrip(",")) - expected.max()) <= WITHIN
    tab.select_option("#through", "layer")
    expected = words_of(matrix(0, 1))[3]
    assert abs(float(tab.locator(".pins li").text_content().split()[3].rstrip(",")) - expected.max()) <= WITHIN


def test_weights_by_values(tab: Any) -> None:
    tab.get_by_text("weighted by values").locator("xpath=..").locator("input").check()
    chips(tab, "queries").nth(0).click()
    weighted = np.concatenate([layer.weighted for layer in RECORD.kinds[0].layers if layer.weighted is not None])
    expected = words_of(weighted.mean(0))[0]
    assert abs(float(tab.locator(".pins li").text_content().split()[3].rstrip(",")) - expected.max()) <= WITHIN


@pytest.mark.parametrize(
    ("layers", "shares"), [(1, {"three": 50, "two": 50}), (2, {"two": 50, "three": 25, "one": 25})]
)
def test_flow_halves_at_every_layer(show: Callable[..., Opened], layers: int, shares: dict[str, int]) -> None:
    """Of a chain, where every word reads the one before it: binomial shares."""
    shown = show(chain(layers))
    shown.tab.locator("#words .line").nth(1).locator(".chip").nth(2).click()
    settle(shown.tab)
    words = shown.tab.locator("#flow .quiet").text_content().split(" was made mostly of ")[1].split(". Each")[0]
    assert {one.split()[0]: int(one.split()[1]) for one in words.split(", ")} == shares


def test_flow_goes_across_to_the_source(tab: Any) -> None:
    """Against halves by hand: each decoder block reads its own stream, then the source."""
    chips(tab, "queries").nth(0).click()
    own = [layer.weights.mean(0) for layer in RECORD.kinds[1].layers]
    cross = [layer.weights.mean(0) for layer in RECORD.kinds[0].layers]
    share, source = np.eye(5)[0], np.zeros(5)
    for block in (1, 0):
        source += share @ cross[block] / 2
        share = (share / 2 + share / 2 @ own[block]) / 2
    words = np.bincount(RECORD.lines["source"].word, source)
    settle(tab)
    said = tab.locator("#flow .quiet").text_content().split(" was made mostly of ")[1].split(". Each")[0].split(", ")
    told = {one.split()[0]: float(one.split()[1]) / 100 for one in said}
    assert abs(told["<s>"] - share[0]) <= 0.01
    for word, amount in zip(SOURCE, words, strict=True):
        assert abs(told.get(word, amount) - amount) <= 0.01


def test_layers_left_out_keep_their_numbers_and_leave_no_flow(show: Callable[..., Opened]) -> None:
    kinds = tuple(replace(kind, layers=kind.layers[1:]) for kind in RECORD.kinds)
    tab = show(replace(RECORD, kinds=kinds, measures={})).tab
    assert tab.locator(".head span").all_text_contents() == ["2·1", "2·2"]
    head_button(tab, 1, 1).click()
    assert tab.locator("#layer option").all_text_contents() == ["layer 2"]
    assert tab.locator("#flow").count() == 0


def test_what_else_it_might_have_said(tab: Any) -> None:
    tokens = tab.locator(".token")
    assert tokens.locator("bdi").all_text_contents() == ["Ein", "rotes"]
    tokens.nth(1).hover()
    assert tab.locator(".detail").text_content() == "rotes 30 % (-1.20 nats). Instead: roter 40 %"


def test_it_begins_where_one_text_reads_another(show: Callable[..., Opened]) -> None:
    turned = show(replace(RECORD, kinds=RECORD.kinds[::-1])).tab
    assert turned.locator("#choose input[name=kind]:checked + span").text_content() == "answer reads text"
    best = View("target.target", "best", "best heads", "The best.", np.eye(5, dtype=np.float32))
    tab = show(replace(RECORD, views=(*RECORD.views, best))).tab
    assert tab.locator("#choose input[name=kind]:checked + span").text_content() == "answer reads itself"
    assert tab.locator("#note").text_content() == "The best."


def test_a_record_with_nothing_but_text_has_a_page(show: Callable[..., Opened]) -> None:
    bare = Record("m", "classify", "some text", "", {}, ())
    empty = replace(RECORD, measures={}, views=(), said=(), answer="")
    for record in (bare, empty):
        assert show(record).told == []
