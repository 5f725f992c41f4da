"""What each layer would say, in a real browser: every field has its guess, its shade and its five guesses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from heedful.inside.record import Guess

from .. import records
from .conftest import Opened
from .ramp import colour
from .test_hostile import inked, strings

RECORD = records.writing()


def cells(tab: Any) -> Any:
    return tab.locator("#lens .lens-cell")


def shades(tab: Any) -> np.ndarray:
    found = cells(tab).evaluate_all("all => all.map(one => getComputedStyle(one).backgroundColor)")
    return np.array([[float(part) for part in one[4:-1].replace(",", " ").split()] for one in found])


@pytest.mark.parametrize("dark", [False, True])
def test_every_field_has_its_guess_and_its_shade(show: Callable[..., Opened], dark: bool) -> None:
    shown = show(RECORD, dark=dark)
    (lens,) = RECORD.lenses
    best = [column[0] for layer in lens.guesses for column in layer]
    assert cells(shown.tab).locator("bdi").all_text_contents() == [guess.text for guess in best]
    wanted = np.array([colour(guess.probability, dark=dark) for guess in best])
    np.testing.assert_allclose(shades(shown.tab), wanted, atol=2)
    told = [float(text.rstrip(" %")) for text in cells(shown.tab).locator("small").all_text_contents()]
    np.testing.assert_allclose(told, [100 * guess.probability for guess in best], atol=0.51)
    assert shown.tab.locator("#lens thead bdi").all_text_contents() == list(RECORD.lines["text"].words)
    assert shown.tab.locator("#lens tbody th").all_text_contents() == list(lens.layers)
    assert shown.told == []


def test_a_field_tells_its_five_guesses(show: Callable[..., Opened]) -> None:
    shown = show(RECORD)
    columns = len(RECORD.lines["text"])
    cells(shown.tab).nth(1 * columns + 3).click()
    guesses = RECORD.lenses[0].guesses[1][3]
    detail = shown.tab.locator("#lens .lens-detail")
    assert detail.locator(".tag").text_content() == "layer 1 at time (token 4)"
    assert detail.locator("li bdi").all_text_contents() == [guess.text for guess in guesses]
    told = [float(text.rstrip(" %")) for text in detail.locator("b").all_text_contents()]
    np.testing.assert_allclose(told, [100 * guess.probability for guess in guesses], atol=0.51)
    widths = detail.locator(".lens-bar").evaluate_all(
        "all => all.map(one => one.firstChild.getBoundingClientRect().width / one.getBoundingClientRect().width)"
    )
    np.testing.assert_allclose(widths, [guess.probability for guess in guesses], atol=0.01)


def test_what_the_last_layer_says_is_marked(show: Callable[..., Opened]) -> None:
    (lens,) = RECORD.lenses
    changed = list(map(list, lens.guesses))
    changed[0][2] = (Guess("other", 0.9), *changed[0][2])
    tab = show(replace(RECORD, lenses=(replace(lens, guesses=tuple(map(tuple, changed))),))).tab
    last = [column[0].text for column in changed[-1]]
    wanted = [column[0].text == last[number] for layer in changed for number, column in enumerate(layer)]
    assert wanted.count(False) >= 1
    found = cells(tab).evaluate_all("all => all.map(one => one.classList.contains('settled'))")
    assert found == wanted


def test_fields_are_walked_by_keys_and_follow_the_chosen_word(show: Callable[..., Opened]) -> None:
    tab = show(RECORD).tab
    cells(tab).nth(10).focus()  # the last layer's first field
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowUp")
    assert tab.evaluate("document.activeElement.dataset.cell") == "1 1"
    tab.keyboard.press("Enter")
    assert tab.locator("#lens .lens-detail .tag").text_content() == "layer 1 at upon (token 2)"
    assert tab.locator("#lens .lens-cell[tabindex='0']").count() == 1
    tab.locator("#words .line").nth(1).locator(".chip").nth(3).click()
    assert tab.locator("#lens th.chosen").all_text_contents() == ["time"]


def test_a_long_text_scrolls_inside_its_section(show: Callable[..., Opened]) -> None:
    tab = show(records.writing([f"word{number}" for number in range(60)])).tab
    inner, outer = tab.locator("#lens .scroll").evaluate("one => [one.scrollWidth, one.clientWidth]")
    assert inner > outer
    assert tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    tab.locator("#lens .scroll").evaluate("one => (one.scrollLeft = 3000)")
    label, holder = (tab.locator(name).first.bounding_box() for name in ("#lens tbody th", "#lens .scroll"))
    assert abs(label["x"] - holder["x"]) < 2  # the names of the layers stay


def test_only_some_positions_are_shown(show: Callable[..., Opened]) -> None:
    (lens,) = RECORD.lenses
    some = replace(lens, positions=(3,), guesses=tuple((layer[3],) for layer in lens.guesses))
    shown = show(replace(RECORD, lenses=(some,)))
    assert shown.tab.locator("#lens thead bdi").all_text_contents() == ["time"]
    assert cells(shown.tab).count() == 3
    assert shown.told == []


def test_hostile_guesses_stay_text(show: Callable[..., Opened]) -> None:
    texts = strings(150)
    (lens,) = RECORD.lenses
    guesses = tuple(tuple((Guess(text, 0.5), Guess(text, float("nan"))) for text in texts) for _ in texts[:2])
    line = records.line("text", texts[0], texts)
    weights = records.random_weights(1, len(texts), len(texts), causal=True)
    kind = replace(RECORD.kinds[0], layers=(replace(RECORD.kinds[0].layers[0], weights=weights),))
    lens = replace(lens, label=texts[1], layers=tuple(texts[:2]), positions=tuple(range(len(texts))), guesses=guesses)
    shown = show(replace(RECORD, lines={"text": line}, kinds=(kind,), lenses=(lens,)))
    assert cells(shown.tab).locator("bdi").all_text_contents()[: len(texts)] == [inked(text) for text in texts]
    cells(shown.tab).first.click()
    assert shown.told == []
