"""What if: changed runs in order, their numbers, and what differs in their answers, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from heedful.inside.record import Said, WhatIf

from .. import records
from .conftest import Opened
from .test_hostile import inked, strings

RECORD = records.translation()
HEAD, WORD, NOTHING = RECORD.what_if


def runs(tab: Any) -> Any:
    return tab.locator("#whatif .if-run:visible")


def detail(tab: Any) -> Any:
    return tab.locator("#whatif .if-detail")


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def test_the_largest_change_comes_first(show: Callable[..., Opened]) -> None:
    shown = show(RECORD)
    assert runs(shown.tab).locator("bdi").all_text_contents() == [WORD.label, HEAD.label, NOTHING.label]
    values = [number(text) for text in runs(shown.tab).locator("b").all_text_contents()]
    np.testing.assert_allclose(values, [-0.6, -0.1, 0.0], atol=0.0051)
    sides = runs(shown.tab).locator(".if-bar").evaluate_all("all => all.map(one => one.className)")
    assert [one.split()[-1] for one in sides] == ["less", "less", "more"]
    widths = runs(shown.tab).locator(".if-bar i").evaluate_all("all => all.map(one => parseFloat(one.style.width))")
    np.testing.assert_allclose(widths, [50, 50 * 0.1 / 0.6, 0], atol=0.1)
    assert shown.told == []


def test_a_run_shows_both_answers_and_what_differs(show: Callable[..., Opened]) -> None:
    tab = show(RECORD).tab
    columns = detail(tab).locator(".if-column")
    assert [column.split() for column in columns.locator("bdi").all_text_contents()] == [
        [text] for text in ("der", "der", "kleine", "alte", "Hund", "Hund", "bellt", "bellt", "</s>", "</s>")
    ]
    assert detail(tab).locator("mark.gone").all_text_contents() == ["kleine"]
    assert detail(tab).locator("mark.come").all_text_contents() == ["alte"]
    values = [number(text) for text in columns.locator("small").all_text_contents()]
    np.testing.assert_allclose(values, WORD.changes, atol=0.0051)
    bars = columns.locator(".if-up i").evaluate_all(
        "all => all.map(one => [parseFloat(one.style.height), one.style.top])"
    )
    np.testing.assert_allclose([height for height, _ in bars], 50 * np.abs(WORD.changes), atol=0.1)
    assert [top != "" for _, top in bars] == [change < 0 for change in WORD.changes]
    assert "The answer changes." in detail(tab).locator(".if-verdict").text_content()


def test_nothing_changed_is_said(show: Callable[..., Opened]) -> None:
    tab = show(RECORD).tab
    runs(tab).nth(2).click()
    told = detail(tab).locator(".if-verdict").text_content()
    assert told == "Nothing changes: the answer is as likely as before. The answer stays the same."
    assert detail(tab).locator("mark").count() == 0
    assert tab.get_by_text("Nothing changed: none").count() == 0
    tab = show(replace(RECORD, what_if=(NOTHING,))).tab
    assert tab.get_by_text("Nothing changed: none of these runs").count() == 1


def test_tokens_that_come_and_go_are_aligned(show: Callable[..., Opened]) -> None:
    new = tuple(Said(text, -0.5) for text in ("der", "Hund", "bellt", "laut", "</s>"))
    run = WhatIf("word", ("source", 2), "x", "der Hund bellt laut", -2.0, -1.0, new, (0.0, -1.0, 0.0, 0.0, 0.0))
    tab = show(replace(RECORD, what_if=(run,))).tab
    found = (
        detail(tab)
        .locator(".if-column")
        .evaluate_all("all => all.map(one => [...one.children].slice(0, 2).map(part => part.textContent))")
    )
    pairs = [("der", "der"), ("kleine", ""), ("Hund", "Hund"), ("bellt", "bellt"), ("", "laut"), ("</s>", "</s>")]
    assert [tuple(pair) for pair in found] == pairs
    assert detail(tab).locator("mark.gone").all_text_contents() == ["kleine"]
    assert detail(tab).locator("mark.come").all_text_contents() == ["laut"]


def test_what_was_not_answered_anew_is_said(show: Callable[..., Opened]) -> None:
    run = WhatIf("head", ("target.0.source", 0), "h", "", -2.0, -1.0, (), (-0.2,) * 5)
    shown = show(replace(RECORD, what_if=(run,)))
    assert "What would be answered then was not asked for" in detail(shown.tab).text_content()
    assert detail(shown.tab).locator(".if-column small").all_text_contents() == ["−0.20"] * 5
    label = WhatIf("head", ("text.0.text", 0), "h", "bad", -2.0, -1.0)
    shown = show(replace(records.classifying(), what_if=(label,)))
    assert detail(shown.tab).locator(".if-text").all_text_contents() == ["good", "bad"]
    assert shown.told == []


@pytest.mark.parametrize(("what", "labels"), [("word", [WORD.label]), ("head", [HEAD.label, NOTHING.label])])
def test_runs_are_filtered_by_what_was_changed(show: Callable[..., Opened], what: str, labels: list[str]) -> None:
    tab = show(RECORD).tab
    tab.locator(f"#whatif input[value={what}]").check()
    assert runs(tab).locator("bdi").all_text_contents() == labels
    assert detail(tab).locator("h3").text_content() == labels[0]
    runs(tab).first.focus()
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Enter")
    assert detail(tab).locator("h3").text_content() == labels[-1]
    tab.locator("#whatif input[value='']").check()
    assert runs(tab).count() == 3


def test_states_of_another_run_have_a_filter_of_their_own(show: Callable[..., Opened]) -> None:
    run = WhatIf("state", ("source.1.feedforward.after", 1), "with another “large”", "der", -2.0, -1.0)
    tab = show(replace(RECORD, what_if=(*RECORD.what_if, run))).tab
    tab.get_by_label("states of another text 1").check()
    assert runs(tab).locator("bdi").all_text_contents() == [run.label]
    assert detail(tab).locator("h3").text_content() == run.label
    assert detail(tab).get_by_text("above").count() == 0  # no button: there is nothing to be shown


def test_a_head_and_a_word_are_shown_above(show: Callable[..., Opened]) -> None:
    tab = show(RECORD).tab
    detail(tab).get_by_text("Show this word above").click()
    assert tab.locator("#words .chip[aria-pressed=true] bdi").all_text_contents() == ["small"]
    runs(tab).nth(1).click()
    detail(tab).get_by_text("Show this head above").click()
    assert tab.locator("#choose input[name=kind]").nth(2).is_checked()
    assert [tab.locator(f"#{name}").input_value() for name in ("through", "layer", "head")] == ["head", "0", "0"]


def test_hostile_runs_stay_text(show: Callable[..., Opened]) -> None:
    texts = strings(120)
    said = tuple(Said(text, -0.5) for text in texts)
    many = tuple(
        WhatIf("word", ("source", 1), text, text, -1.0, -number / 100, said[::-1], (float("nan"),) * len(said))
        for number, text in enumerate(texts)
    )
    shown = show(replace(RECORD, said=said, answer="\n".join(texts), what_if=many))
    assert runs(shown.tab).first.locator("bdi").text_content().strip() == inked(texts[-1]).strip()
    runs(shown.tab).nth(5).click()
    assert detail(shown.tab).locator(".if-column").count() >= len(texts)
    assert shown.tab.locator("#whatif img, #whatif script, #whatif iframe").count() == 0
    assert shown.told == []
