"""The page about a run and the model card: complete, and nothing from outside becomes markup."""

from __future__ import annotations

from typing import Any

import pytest

from heedful.page.card import Card, markdown, plain
from heedful.page.report import Story, run_page

PAYLOADS = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</title><b>", "\u202eevil", "a\x00b")


def journal() -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = [{"kind": "start", "step": 0}]
    for step in range(1, 41):
        lines.append({"kind": "step", "step": step, "nll": 5 / step, "accuracy": 0.1, "rate": 1e-3, "speed": 100.0})
        if step % 10 == 0:
            samples = [{"source": "a cat", "reference": "eine Katze", "output": f"eine {step}"}]
            lines.append({"kind": "validation", "step": step, "loss": 3 / step, "chrf": step, "samples": samples})
    lines.append({"kind": "skipped", "step": 12})
    return lines


def story(**given: Any) -> Story:
    fixed: dict[str, Any] = {"title": "A run", "lead": "", "recipe": "seed = 1\n", "journal": journal()}
    return Story(**{**fixed, **given})


def test_what_happened_is_told() -> None:
    page = run_page(
        story(
            scores=[("BLEU", "38.20", "nrefs:1|tok:13a")], scored="On 100 pairs.", lengths=[("6-10", 40, 55.5)],
            data=[("pairs read", "100")], facts=[("Steps", "40", "")], environment={"Seed": "1"},
            dropped=[{"rule": "duplicates", "count": 12, "examples": [{"where": "a:3", "source": "x", "target": "y"}]},
                     {"rule": "leaks", "count": 0, "examples": []}],
        )
    )  # fmt: skip
    for text in ("38.20", "tok:13a", "55.5", "duplicates: 12, of which 1 are shown", "a:3", "eine 10", "eine 40",
                 "eine Katze", "1 steps skipped", "chrF2 on the validation set", "seed = 1"):  # fmt: skip
        assert text in page
    assert "leaks" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_run_that_has_just_begun_has_a_page() -> None:
    page = run_page(story(journal=[]))
    assert "The recipe, complete" in page
    assert "How it learned" not in page


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_text_stays_text(payload: str) -> None:
    lines = [{"kind": "validation", "step": 1, "loss": 1.0, "samples": [
        {"source": payload, "reference": payload, "output": payload}]}]  # fmt: skip
    page = run_page(
        story(title=payload, lead=payload, recipe=payload, journal=lines, data=[(payload, payload)],
              facts=[(payload,) * 3], scores=[(payload,) * 3], scored=payload, environment={payload: payload},
              dropped=[{"rule": payload, "count": 1, "examples": [dict.fromkeys(("where", "source", "target"), payload)]}])  # noqa: E501
    )  # fmt: skip
    assert payload not in page
    assert "<script" not in page
    assert "<img" not in page


def card(**given: Any) -> Card:
    fixed: dict[str, Any] = {
        "title": "en-de", "what": "A translator.", "use": "heedful translate -m MODEL", "data": ["10 pairs"],
        "scores": [("BLEU", "38.2", "tok:13a")], "scored": "On 10 pairs.", "limits": ["small"], "made": ["40 steps"],
    }  # fmt: skip
    return Card(**{**fixed, **given})


def test_a_card_says_what_is_known() -> None:
    text = markdown(card(license="CC-BY-4.0", cite="Us 2026"))
    for part in ('license: "CC-BY-4.0"', "# en-de", "| BLEU | 38.2 | tok:13a |", "## Limits", "Us 2026"):
        assert part in text
    assert "Not stated" in markdown(card())
    assert "Not measured" in markdown(card(scores=[]))


@pytest.mark.parametrize("payload", [*PAYLOADS, "[x](y)", "| a | b", "# h", "`code`", "line\n---\nline"])
def test_a_card_holds_text_not_markup(payload: str) -> None:
    text = markdown(card(title=payload, what=payload, license=payload, data=[payload], scores=[(payload,) * 3]))
    assert text.startswith("---\n")
    head, _, body = text[4:].partition("\n---\n")
    assert head.count("\n") == 1
    assert "<script>" not in body.replace("\\<", "")
    assert "[x](y)" not in body
    assert not any(line.startswith("# h") for line in text.split("\n"))


def test_plain_keeps_what_can_be_seen() -> None:
    assert plain("Grüße, 你好 \U0001f44b") == "Grüße, 你好 \U0001f44b"
