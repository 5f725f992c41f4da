"""A picture and a text that read each other, in a real browser: what lights up is what the numbers say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from heedful.inside.record import Reals, View

from .. import records
from .conftest import Opened
from .test_hostile import strings

RECORD = records.seeing()
NIGHT, FAINT, BEND = np.array([0x1B, 0x1F, 0x24]), 0.14, 0.7
WITHIN = 0.0045  # quantisation, and the last digit shown
RED_CELL, WORD = 6, 2


def mean(kind: int) -> Reals:
    """The mean of all heads, which a page shows at first."""
    return np.concatenate([layer.weights for layer in RECORD.kinds[kind].layers]).mean(0)


def direction(tab: Any, number: int) -> Any:
    return tab.locator("#picture .direction").nth(number)


def middles(canvas: Any, cells: int = 3) -> Reals:
    """The colour [cells, 3] in the corner of each cell, where the picture itself is white."""
    found = canvas.evaluate(
        """(c, cells) => Array.from({ length: cells * cells }, (_, cell) => {
            const step = Math.floor(c.width / cells);
            const [x, y] = [(cell % cells) * step + 6, Math.floor(cell / cells) * step + 6];
            return [...c.getContext("2d").getImageData(x, y, 1, 1).data];
        })""",
        cells,
    )
    return np.array(found, np.float32)[:, :3]


@pytest.mark.parametrize(("number", "kind"), [(0, 0), (1, 1)])
def test_a_chosen_word_lights_the_region_of_its_largest_weight(tab: Any, number: int, kind: int) -> None:
    for word in (1, 2, 3):
        direction(tab, 0).locator(".chip").nth(word).click()
        weights = (mean(kind)[word] if kind == 0 else mean(kind)[:, word])[1:]
        shown = middles(direction(tab, number).locator("canvas"))
        assert int(shown.sum(1).argmax()) == int(weights.argmax())
        share = FAINT + (1 - FAINT) * (weights / weights.max()) ** BEND
        wanted = 255 * share[:, None] + NIGHT * (1 - share[:, None])
        np.testing.assert_allclose(shown, wanted, atol=8)  # the weights' quantisation
        framed = direction(tab, number).locator(".region.strongest")
        assert framed.count() == 1
        best = int(weights.argmax())
        name = f"row {best // 3 + 1}, column {best % 3 + 1}"
        told, value = framed.get_attribute("aria-label").rsplit(", ", 1)
        assert told == name
        assert float(value) == pytest.approx(weights.max(), abs=WITHIN)
        verb = "reads" if kind == 0 else "is read by"
        text = direction(tab, number).locator(".seen-told").text_content()
        assert text.startswith(f"{RECORD.lines['text'].words[word]} {verb} {name} ")
        direction(tab, 0).locator(".chip").nth(word).click()  # no more


def test_the_red_word_shows_the_red_cell_sharp(tab: Any) -> None:
    direction(tab, 0).locator(".chip").nth(WORD).click()
    flat, width = (
        direction(tab, 0)
        .locator("canvas")
        .evaluate("c => [[...c.getContext('2d').getImageData(0, 210, c.width, 1).data], c.width]")
    )
    row = np.array(flat).reshape(width, 4)[:, :3]
    colours = {tuple(int(part) for part in colour) for colour in row[282:418]}
    assert colours == {(255, 255, 255), records.RED}  # two colours and no blur between them


@pytest.mark.parametrize("kind", [0, 1])
def test_a_chosen_region_lights_its_words(tab: Any, kind: int) -> None:
    direction(tab, kind).locator(".region").nth(RED_CELL - 1).click()
    for number in (0, 1):
        weights = mean(number)[:, RED_CELL] if number == 0 else mean(number)[RED_CELL]
        chips = direction(tab, number).locator(".chip")
        colours = chips.evaluate_all("all => all.map(one => getComputedStyle(one).backgroundColor)")
        light = [sum(float(part) for part in one[4:-1].replace(",", " ").split()) for one in colours]
        assert int(np.argmin(light)) == int(weights.argmax()) == WORD
        values = [float(text or 0) for text in chips.locator("small").all_text_contents()]
        np.testing.assert_allclose(values, np.where(weights >= 0.02, weights, 0), atol=0.0095)
    assert direction(tab, kind).locator(".region[aria-pressed=true]").count() == 1


def test_the_whole_picture_is_told_apart(tab: Any) -> None:
    assert direction(tab, 0).locator(".region").count() == 9
    direction(tab, 0).locator(".chip").nth(WORD).click()
    told = direction(tab, 0).locator(".whole").text_content()
    assert float(told.rstrip(".").rsplit(" ", 1)[1]) == pytest.approx(mean(0)[WORD, 0], abs=WITHIN)


def test_the_choice_of_heads_is_shared(tab: Any) -> None:
    tab.locator("#through").select_option("head")
    tab.locator("#layer").select_option("1")
    tab.locator("#head").select_option("0")
    direction(tab, 0).locator(".chip").nth(WORD).click()
    for number, weights in (
        (0, RECORD.kinds[0].layers[1].weights[0][WORD]),
        (1, RECORD.kinds[1].layers[1].weights[0][:, WORD]),
    ):
        assert "layer 2, head 1" in direction(tab, number).locator(".tag").text_content()
        value = direction(tab, number).locator(".region.strongest").get_attribute("aria-label").rsplit(", ", 1)[1]
        assert float(value) == pytest.approx(weights[1:].max(), abs=WITHIN)
    tab.locator("#through").select_option("view 0")
    assert "last layer" in direction(tab, 1).locator(".tag").text_content()


def test_what_is_chosen_here_is_chosen_above(tab: Any) -> None:
    direction(tab, 1).locator(".region").nth(RED_CELL - 1).click()
    assert tab.locator("#choose input[name=kind]").nth(1).is_checked()
    assert tab.locator("#words .chip[aria-pressed=true] bdi").all_text_contents() == ["region 6"]
    tab.keyboard.press("Escape")
    assert direction(tab, 1).locator(".region[aria-pressed=true]").count() == 0


def test_regions_are_walked_by_keys(tab: Any) -> None:
    regions = direction(tab, 0).locator(".region")
    regions.first.focus()
    for key, name in (
        ("ArrowRight", "row 1, column 2"),
        ("ArrowDown", "row 2, column 2"),
        ("ArrowRight", "row 2, column 3"),
        ("ArrowUp", "row 1, column 3"),
        ("ArrowDown", "row 2, column 3"),
    ):
        tab.keyboard.press(key)
        assert tab.evaluate("document.activeElement.getAttribute('aria-label')") == name
    tab.keyboard.press("Enter")
    assert regions.nth(5).get_attribute("aria-pressed") == "true"
    assert "red" in tab.locator("[role=status]").first.text_content()
    assert direction(tab, 0).locator(".region[tabindex='0']").count() == 1


def test_colours_of_the_ramp_on_wish(tab: Any) -> None:
    direction(tab, 0).locator(".chip").nth(WORD).click()
    tab.get_by_text("Shade in colours").click()
    shown = middles(direction(tab, 0).locator("canvas"))
    assert int(shown.sum(1).argmin()) == RED_CELL - 1  # the ramp is darkest where most is read


def test_signed_numbers_have_two_colours(show: Callable[..., Opened]) -> None:
    weights = np.zeros((5, 10), np.float32)
    weights[2, 1], weights[2, 9] = 0.5, -0.5
    record = replace(RECORD, views=(View("text.picture", "best", "change", "A change.", weights, True),))
    tab = show(record).tab
    direction(tab, 0).locator(".chip").nth(WORD).click()
    shown = middles(direction(tab, 0).locator("canvas"))
    assert shown[0, 2] > shown[0, 0] + 10  # blue above 0
    assert shown[8, 0] > shown[8, 2] + 10  # brown below


def test_overlapping_regions_are_numbered_and_can_all_be_reached(show: Callable[..., Opened]) -> None:
    boxes = np.array([[0, 0, 1, 1], [0, 0, 0.9, 0.9], [0.1, 0.1, 0.4, 0.4], [0.2, 0.2, 0.6, 0.6]], np.float32)
    record = records.seeing(cells=2)
    seen = record.lines["picture"]
    cut = {name: getattr(seen, name)[:4] for name in ("pieces", "words", "word", "control")}
    seen = replace(seen, **cut, picture=replace(seen.picture, boxes=boxes))
    kind = record.kinds[0]
    kind = replace(kind, layers=tuple(replace(layer, weights=layer.weights[..., :4].copy()) for layer in kind.layers))
    record = replace(record, lines=record.lines | {"picture": seen}, kinds=(kind,), views=())
    shown = show(record, dark=True)
    regions = direction(shown.tab, 0).locator(".region")
    assert [regions.nth(n).get_attribute("aria-label") for n in range(3)] == ["region 1", "region 2", "region 3"]
    for number in (1, 2, 0):
        box = regions.nth(number).bounding_box()
        corner = {"x": box["width"] - 4, "y": box["height"] - 4}
        regions.nth(number).click(position=corner)
        assert regions.nth(number).get_attribute("aria-pressed") == "true"
    assert shown.told == []


def test_hostile_words_stay_words(show: Callable[..., Opened]) -> None:
    texts = strings(120)
    shown = show(records.seeing(("<s>", *texts, "</s>"), cells=2))
    chips = direction(shown.tab, 0).locator(".chip")
    assert chips.count() == len(texts) + 2
    chips.nth(1).click()
    assert shown.tab.locator("#picture script, #picture img, #picture iframe").count() == 0
    assert shown.told == []
