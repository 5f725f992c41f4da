"""Sentences cover a text but for white space, and nothing is torn."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.text.sentences import split_sentences
from heedful.text.spans import find


def sentences(text: str, language: str = "en") -> list[str]:
    return [text[start:end] for start, end in split_sentences(text, find(text), language)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []), (" \n ", []), ("One", ["One"]),
        ("Hello Mr. Smith.  How are you?\n\nFine.", ["Hello Mr. Smith.", "How are you?", "Fine."]),
        ("See http://a.b/c. Then {x}. {y} went.", ["See http://a.b/c.", "Then {x}.", "{y} went."]),
        ("<b>First one.</b> Second <i>is. Here</i>.", ["<b>First one.</b>", "Second <i>is.", "Here</i>."]),
        ("It is. <p><b>Third.</b></p> Fourth.", ["It is.", "<p><b>Third.</b></p>", "Fourth."]),
        ("A <a title='one. Two'> z.", ["A <a title='one. Two'> z."]),
    ],
)  # fmt: skip
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_other_languages() -> None:
    assert sentences("Das ist z. B. so. Am 3. Mai kam er.", "de") == ["Das ist z. B. so.", "Am 3. Mai kam er."]
    assert sentences("你好。{x}再见！是", "zh") == ["你好。", "{x}再见！", "是"]
    assert sentences("Yes it is. No it is not.", "no such language") == ["Yes it is.", "No it is not."]


def test_spaces_that_the_library_cannot_bear(capfd: pytest.CaptureFixture[str]) -> None:
    for space in "\x85\xa0\u1680\u2003\u2028\u202f\u3000":
        assert sentences(f"One B{space}. Two.") == [f"One B{space}.", "Two."]
    assert capfd.readouterr().err == ""


def test_a_library_that_panics_splits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        pass

    def panicking(language: str, text: str) -> list[str]:
        raise PanicException if language == "en" else KeyboardInterrupt

    monkeypatch.setattr("sentencex.segment", panicking)
    assert sentences("One. Two.") == ["One. Two."]
    with pytest.raises(KeyboardInterrupt):
        sentences("One. Two.", "de")


@settings(max_examples=400, deadline=None)
@given(st.text(st.sampled_from("aB .!?\n\t\r()\"'<>{}%0é\U0001f600。؟\u2028\x85\xa0\u3000\x00/"), max_size=60))
def test_only_white_space_is_between(text: str) -> None:
    spans = find(text)
    place = 0
    for start, end in split_sentences(text, spans):
        assert text[place:start].strip() == ""
        assert text[start:end] == text[start:end].strip() != ""
        assert not any(span.start < edge < span.end for span in spans for edge in (start, end))
        place = end
    assert text[place:].strip() == ""


@pytest.mark.parametrize("unit", ["A b. ", "\n", "<b>A b.</b> ", "<b> ", "a", ". ", '"A b." ', "{x}. "])
def test_long_texts(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    began = time.process_time()
    split_sentences(text, find(text))
    assert time.process_time() - began < 10.0
