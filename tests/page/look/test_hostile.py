"""Texts that try to be more than text: as tokens, words, labels, names, notes, guesses they stay text."""

from __future__ import annotations

import random as dice
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle

import numpy as np

from heedful.inside.record import Answers, Guess, Kind, Layer, Line, Record, Said, View, WhatIf
from heedful.page.look import page
from heedful.page.render import visible

from .conftest import Opened
from .records import softmax

SEEDS = (
    "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>", "<!--", "]]>",
    '" onclick="alert(1)', "' autofocus onfocus='alert(1)", "`${alert(1)}`",
    "{{constructor.constructor('alert(1)')()}}", "javascript:alert(1)", "constructor", "__proto__", "prototype",
    "hasOwnProperty", "toString", "then", "length",
    "\u202egnp.exe", "\u2066x\u2069", "\u200fעברית\u200e", "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "e\u0301\u0301", "\x00", "a\x00b", "\x1b[31m", "\ud800", "\udfff\ud83d", "\ufeff", "\u2028", "\u2029", "\u00ad",
    "\U000e0041", "\r\n", "\t", "\n", " ", "", "&lt;b&gt;", "&#60;b&#62;", "\\u003cb>",
    "</style><style>*{display:none}</style>", "</title>",
    "url(http://example.org/x)", "expression(alert(1))", "x" * 5000, "ﷺ" * 50, "<a href=//example.org>",
    "<base href=//example.org>", "%3Cscript%3E", "</noscript>", "<iframe srcdoc='<script>alert(1)</script>'>", "1e400",
    "NaN", "null", "-0", "0;url=//example.org",
)  # fmt: skip
PARTS = ("<", ">", '"', "'", "&", "\u202e", "\x00", "`", "${", "</script", "onerror=", "\u200d", "ب", "\ud801", "a")


def strings(count: int = 300) -> list[str]:
    rng = dice.Random(0)
    return [*SEEDS, *("".join(rng.choices(PARTS, k=rng.randint(1, 9))) for _ in range(count - len(SEEDS)))]


def record(texts: list[str]) -> Record:
    """Every text as a word, a token, and in every other place where a text can be, one after the other."""
    count = len(texts)
    turn = cycle(texts)
    weights = softmax(np.random.default_rng(0).normal(size=(2, count, count)))

    def line(name: str) -> Line:
        return Line(name, next(turn), tuple(texts), tuple(texts), np.arange(count), (False,) * count)

    names = (next(turn), next(turn))
    lines = {name: line(name) for name in names}
    kinds = tuple(
        Kind(f"{a}.{b}", next(turn), a, b, False, (Layer(f"{next(turn).replace('.', '·')}.0.{next(turn)}", weights),))
        for a, b in (names, names[::-1])
    )
    guesses = tuple(Guess(text, 0.01) for text in texts[:40])
    return Record(
        next(turn),
        next(turn),
        " ".join(texts),
        "\n".join(texts),
        lines,
        kinds,
        tuple(View(kind.name, text, text, text, weights[0]) for kind in kinds for text in texts[:20]),
        {kinds[0].name: {text: [[0.5, 0.7]] for text in texts}},
        said=tuple(Said(text, -0.5, guesses[:3]) for text in texts),
        answers=tuple(Answers(text, guesses[:2]) for text in texts[:30]),
        what_if=tuple(WhatIf("word", (text, 0), text, text, -1.0, -0.5) for text in texts[:30]),
        notes=tuple(texts),
    )


def inked(text: str) -> str:
    """How a word without ink is shown."""
    marked = visible(text).replace("\n", "↵").replace("\t", "⇥")
    return marked if marked.strip() else marked.replace(" ", "␣") or "·"


def test_three_hundred_hostile_texts_stay_text(show: Callable[..., Opened]) -> None:
    texts = strings()
    shown = show(record(texts))
    tab = shown.tab
    tags = set(tab.evaluate("[...new Set([...document.querySelectorAll('main *')].map((one) => one.localName))]"))
    assert not tags & {"script", "img", "iframe", "base", "style", "link", "object", "embed", "form", "textarea"}
    assert tab.locator("script").count() == 2  # the record and the page's own; blocks are gone once they are read
    attributes = tab.evaluate(
        "[...new Set([...document.querySelectorAll('*')].flatMap((one) => one.getAttributeNames()))]"
    )
    assert not [name for name in attributes if name.startswith("on") or name in ("srcdoc", "formaction")]
    assert tab.locator("a").evaluate_all("all => all.map((one) => one.getAttribute('href'))") == ["#whatif"]
    for side in (0, 1):
        words = tab.locator("#words .line").nth(side).locator(".chip bdi").all_text_contents()
        assert words == [inked(text) for text in texts]
    assert tab.locator(".token bdi").all_text_contents() == [inked(text) for text in texts]
    # HTML reads \r\n as \n where it is written into the page; \r is shown by its number before that.
    assert tab.locator(".noted").all_text_contents() == [visible(text) for text in texts]
    labels = tab.locator("#sort option").all_text_contents()
    assert [one.strip() for one in labels[1:]] == [" ".join(visible(text).split()) for text in dict.fromkeys(texts)]
    tab.locator("#words .chip").nth(5).click()
    tab.locator("#alignment canvas").first.click()
    tab.get_by_text("Show as table").click()
    tab.select_option("#sort", index=3)
    tab.locator(".head").first.click()
    tab.keyboard.press("Escape")
    assert shown.told == []


def test_file_is_what_its_encoding_says() -> None:
    """Lone surrogates cannot be written; each is shown by its number."""
    assert "⟨U+D800⟩" in page(record(strings())).encode().decode()


def test_no_text_turns_what_stands_beside_it() -> None:
    text = page(replace(record(["\u202eabc", "\u2067def"]), text="\u202e"))
    assert not set(text) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")
