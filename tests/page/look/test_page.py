"""How the page behaves: asks for nothing, is read from the keyboard, goes the way its language goes, is quick."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from heedful.inside.record import Record
from heedful.page.look import page

from .conftest import Opened, settle
from .records import line, random, translation


def test_the_policy_allows_this_script_and_style_and_nothing_else() -> None:
    text = page(translation())
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "data:"
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert " style=" not in text.split("<script")[0]
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text


def test_no_request_and_no_word_on_the_console(show: Callable[..., Opened]) -> None:
    shown = show(translation())
    assert shown.tab.evaluate("performance.getEntriesByType('resource').length") == 0
    shown.tab.locator("#words .chip").first.click()
    shown.tab.locator("#alignment canvas").first.click()
    shown.tab.locator(".head").last.click()
    assert shown.told == []


def focused(tab: Any) -> str:
    return tab.evaluate(
        "document.activeElement.textContent || document.activeElement.id || document.activeElement.className"
    )


def test_a_walk_with_the_keyboard_alone(show: Callable[..., Opened]) -> None:
    shown = show(translation())
    tab, press = shown.tab, shown.tab.keyboard.press
    stops = []
    for _ in range(40):
        press("Tab")
        if tab.evaluate("document.activeElement === document.body"):
            break
        stops.append(tab.evaluate("document.activeElement.closest('section,#choose')?.id || ''"))
        assert tab.evaluate("document.activeElement.matches(':focus-visible')")
    assert [name for name in dict.fromkeys(stops) if name] == ["choose", "words", "alignment", "heads"]
    assert len(stops) < 25  # words and heads are one stop each

    tab.locator("#words .line").nth(1).locator(".chip").first.focus()
    press("ArrowRight")
    press("Enter")
    assert tab.locator(".chip[aria-pressed=true] bdi").all_text_contents() == ["rotes"]
    press("End")
    press("Shift+Enter")
    assert tab.locator(".chip[aria-pressed=true] bdi").all_text_contents() == ["rotes", "</s>"]
    press("Escape")
    assert tab.locator(".chip[aria-pressed=true]").count() == 0
    press("Home")
    press("Space")
    assert tab.locator(".chip[aria-pressed=true] bdi").all_text_contents() == ["Ein"]
    assert tab.locator("[role=status]").first.text_content().startswith("Ein reads ")

    tab.locator(".matrix").focus()
    press("ArrowDown")
    press("ArrowDown")
    press("ArrowRight")
    assert tab.locator("[role=status]").first.text_content().startswith("rotes reads red ")
    press("Enter")
    assert tab.locator(".chip[aria-pressed=true] bdi").all_text_contents() == ["rotes"]

    tab.locator(".head[tabindex='0']").focus()
    press("ArrowDown")
    press("ArrowRight")
    assert tab.evaluate("document.activeElement.getAttribute('aria-label')") == "layer 2, head 2"
    press("Enter")
    settle(tab)
    assert tab.locator(".head[aria-pressed=true] span").all_text_contents() == ["2·2"]
    assert shown.told == []


def test_a_text_from_right_to_left_runs_so_and_its_matrix_stays_in_order(show: Callable[..., Opened]) -> None:
    record = translation()
    hebrew = ("הכלב", "החום", "רץ", "</s>")
    words = line("source", hebrew)
    words = replace(record.lines["source"], words=words.words, pieces=("הכלב", "הח", "ום", "רץ", "</s>"))
    shown = show(replace(record, text=" ".join(hebrew[:3]), lines={**record.lines, "source": words}))
    tab = shown.tab
    chips = tab.locator("#words .line").first.locator(".chip")
    places = [chips.nth(number).bounding_box()["x"] for number in range(4)]
    assert places == sorted(places, reverse=True)
    others = tab.locator("#words .line").nth(1).locator(".chip")
    places = [others.nth(number).bounding_box()["x"] for number in range(4)]
    assert places == sorted(places)
    assert tab.locator(".label.keys").all_text_contents() == list(hebrew)
    labels = [tab.locator(".label.keys").nth(number).evaluate("e => parseFloat(e.style.left)") for number in range(4)]
    assert labels == sorted(labels)
    chips.first.focus()
    tab.keyboard.press("ArrowLeft")  # the next word, where one reads to the left
    assert focused(tab).startswith("החום")


@pytest.mark.parametrize("width", [360, 800, 1800])
def test_no_page_is_wider_than_its_window(show: Callable[..., Opened], width: int) -> None:
    tab = show(random(2, 14, 40), width=width).tab
    tab.locator("#words .chip").first.click()
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_light_and_dark_while_it_is_open(show: Callable[..., Opened]) -> None:
    tab = show(translation()).tab

    def pixel() -> str:
        tab.evaluate("new Promise((go) => requestAnimationFrame(() => setTimeout(go, 50)))")
        context = "document.querySelector('.head canvas').getContext('2d')"
        return tab.evaluate(f"{context}.getImageData(1, 0, 1, 1).data.join()")

    light = pixel()
    tab.emulate_media(color_scheme="dark")
    assert pixel() != light
    tab.emulate_media(color_scheme="light")
    assert pixel() == light


def test_without_a_script_the_text_is_there_and_a_word_of_why_the_rest_is_not(chromium: Any, tmp_path: Any) -> None:
    file = tmp_path / "look.html"
    file.write_text(page(translation()), "utf-8")
    context = chromium.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(file.as_uri())
    said = tab.locator("main").inner_text()
    context.close()
    for words in ("A red car", "Ein rotes Auto", "Nothing was cut.", "not why it decides", "does not run"):
        assert words in said


def test_a_large_page_is_ready_and_answers(show: Callable[..., Opened]) -> None:
    """Generous bounds, since a machine may be busy; the figures are a benchmark's."""
    tab = show(random(12, 12, 64)).tab
    assert float(tab.evaluate("document.documentElement.dataset.ready")) < 10_000
    clicks = tab.evaluate(
        """async () => {
          const times = [];
          for (let word = 0; word < 12; word++) {
            document.querySelectorAll('#words .line')[word % 2].children[word].click();
            times.push(Number(document.documentElement.dataset.click));
            await new Promise((go) => setTimeout(go, 10));
          }
          return times;
        }"""
    )
    assert min(clicks) < 60


def test_what_if_is_pointed_to_where_there_is_one() -> None:
    assert 'href="#whatif"' not in page(translation())


def test_a_page_of_no_answer_has_none() -> None:
    assert 'id="answer"' not in page(Record("m", "fill", "text", "", {}, ()))
