"""Words that differ from the reference are marked, and nothing but the marks is markup."""

import html
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.page.differences import MOST_CHARACTERS, MOST_PIECES, mark, plain
from heedful.page.render import escape


def test_marks_by_hand():
    found = mark("Der alte Mann liest heute.", ["Der Mann las heute.", "Ein alter Mann liest!"])
    assert found.reference == "Der <u>alte</u> Mann liest heute."
    assert found.hypotheses == [
        "<b>Der</b> Mann <mark>las</mark> <b>heute.</b>",
        "<mark>Ein alter</mark> Mann <b>liest</b><mark>!</mark>",
    ]


def test_one_system_has_nothing_for_itself():
    found = mark("Ein Haus.", ["Ein Hof."])
    assert (found.reference, found.hypotheses) == ("Ein <u>Haus</u>.", ["Ein <mark>Hof</mark>."])


def test_case_counts_unless_folded():
    assert mark("Ein Haus", ["ein haus"]).hypotheses == ["<mark>ein haus</mark>"]
    assert mark("Ein Haus", ["ein haus"], str.lower).hypotheses == ["ein haus"]


def test_text_without_spaces_is_compared_by_character():
    found = mark("京都の秋は美しい。", ["京都の春は美しい。"])
    assert (found.reference, found.hypotheses) == ("京都の<u>秋</u>は美しい。", ["京都の<mark>春</mark>は美しい。"])


def test_empty_texts():
    found = mark("", ["", "  ", "x"])
    assert found.reference == "<i>(empty)</i>"
    assert found.hypotheses == ["<i>(empty)</i>", "<i>(empty)</i>", "<mark>x</mark>"]


def test_very_long_texts_are_cut_and_not_compared():
    found = mark("<" * 5000, ["b <i>"])
    assert found.reference == f"{'&lt;' * MOST_CHARACTERS}… <i>(3,500 more characters)</i>"
    assert found.hypotheses == ["b &lt;i&gt;"]
    assert mark("a " * (MOST_PIECES + 1), ["b"]).hypotheses == ["b"]
    assert plain("<b>") == "&lt;b&gt;"


@pytest.mark.parametrize("words", ["a", "ab", "abcdefgh"])
def test_the_worst_text_takes_no_time(words):
    lines = [" ".join(words[(place * step) % len(words)] for place in range(MOST_PIECES)) for step in (1, 3, 7)]
    began = time.process_time()
    mark(lines[0], lines[1:])
    mark("x" * 2**20, ["y" * 2**20])
    assert time.process_time() - began < 0.5


@given(st.text(), st.lists(st.text(), min_size=1, max_size=3))
def test_without_the_marks_it_is_the_escaped_text(reference, hypotheses):
    found = mark(reference, hypotheses)
    for text, marked in zip((reference, *hypotheses), (found.reference, *found.hypotheses), strict=True):
        bare = re.sub(r"</?(?:u|b|mark)>", "", marked)
        assert bare == ("<i>(empty)</i>" if not text.strip() else escape(" ".join(text.split())))
        assert html.unescape(bare)
