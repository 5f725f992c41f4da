"""What must survive is found, what is only text is not, and any text takes linear time."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.text.spans import Span, find, tidy, touching


def found(text: str) -> list[str]:
    return [span.text for span in find(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Click <b>here</b> now.", ["<b>", "</b>"]),
        ("a<br/>b <br> <x id='1'/> <mrk:x a=\"1\" b=c>", ["<br/>", "<br>", "<x id='1'/>", '<mrk:x a="1" b=c>']),
        ('<a href="x>y" title=\'z\'>q</a>', ['<a href="x>y" title=\'z\'>', "</a>"]),
        ("<input disabled> <0>x</0> <!-- a --> <?p x?>", ["<input disabled>", "<0>", "</0>", "<!-- a -->", "<?p x?>"]),
        ("a&nbsp;b &#160; &#xA0; AT&T; R & D", ["&nbsp;", "&#160;", "&#xA0;"]),
        ("{name} {0} {0:.2f} {user.name!r} {} { x } {d, date, short}",
         ["{name}", "{0}", "{0:.2f}", "{user.name!r}", "{}", "{ x }", "{d, date, short}"]),
        ("{{x}} {{{y}}} ${HOME} %{who} #{z} $(V) $[v] $title$ $PATH @VAR@ %HOME% %PRODUCTNAME",
         ["{{x}}", "{{{y}}}", "${HOME}", "%{who}", "#{z}", "$(V)", "$[v]", "$title$", "$PATH", "@VAR@", "%HOME%",
          "%PRODUCTNAME"]),
        ("{n, plural, one {# file} other {# files}} left", ["{n, plural, one {# file} other {# files}}"]),
        ("%s %d %5.1f %1$s %-3ld %(name)s %% %@ %1 %d%%",
         ["%s", "%d", "%5.1f", "%1$s", "%-3ld", "%(name)s", "%%", "%@", "%1", "%d", "%%"]),
        ("at %H:%M, %dpx, 3 %1$d", ["%H", "%M", "%d", "%1$d"]),
        ("see https://a.b/c?d=e(f). (http://x.y/z) or www.a.org, ftp://h/{id}!",
         ["https://a.b/c?d=e(f)", "http://x.y/z", "www.a.org", "ftp://h/{id}"]),
        ("me@x.org, a.b+c@mail.x.co.uk.", ["me@x.org", "a.b+c@mail.x.co.uk"]),
        ("/usr/bin/env ~/x.txt ./a/b ../c C:\\Users\\me \\\\host\\share",
         ["/usr/bin/env", "~/x.txt", "./a/b", "../c", "C:\\Users\\me", "\\\\host\\share"]),
        ("run --force --out=a.txt. In ~/b.c, (/d/e) and C:\\f\\g.", 
         ["--force", "--out=a.txt", "~/b.c", "/d/e", "C:\\f\\g"]),
        ("`code {x}` and ``b``", ["`code {x}`", "``b``"]),
        ("one\\nTwo", ["\\n"]),
        ("\U0001f600 \U0001f469\u200d\U0001f4bb \U0001f1e9\U0001f1ea ☺\ufe0f",
         ["\U0001f600", "\U0001f469\u200d\U0001f4bb", "\U0001f1e9\U0001f1ea", "☺\ufe0f"]),
        ("<<b>> a < b }{ {{{{z}}}} <b", ["<", "<b>", ">", "<", "}", "{", "{", "{{{z}}}", "}", "<"]),
        ("日本https://x.y/zの", ["https://x.y/z"]),
    ],
)  # fmt: skip
def test_what_must_survive_is_found(text: str, expected: list[str]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "Two dogs, one cat.", "50% of it", "100%sure", "100 %ige", "and/or 1/2 3/4/5", "it's a well-known e.g. i.e.",
     "5$ or $5", "word--word", "R&D", "a@b", "→ ←", "foo\\new", "18:45", "A.B.C", "</s>"[2:3]],
)  # fmt: skip
def test_plain_text_holds_nothing(text: str) -> None:
    assert found(text) == []


def test_not_equal_signs_are_kept_without_taking_words_along() -> None:
    assert found("x<y and z>w") == ["<", ">"]


ALPHABET = st.sampled_from([*"ab1 .,:;<>{}%$&@#/\\'\"=-!?()[]_*`~|", "<b>", "</b>", "{x}", "%s", "://", "www.", "\n"])


@settings(max_examples=400, deadline=None)
@given(st.lists(ALPHABET, max_size=60).map("".join))
def test_spans_are_apart_and_every_bracket_of_markup_is_in_one(text: str) -> None:
    spans = find(text)
    assert all(span.text == text[span.start : span.end] for span in spans)
    assert all(one.start < one.end <= other.start for one, other in itertools.pairwise(spans))
    inside = {place for span in spans for place in range(span.start, span.end)}
    assert {place for place, character in enumerate(text) if character in "<>{}"} <= inside


LONG = 300_000  # characters
HOSTILE = [
    "a", "<", "<a", "<b ", '<a x="', "<a b=c ", "<!--", "<?", "{", "{{a", "{n,plural,", "%", "%1$", "%(", "a@", "a.",
    "`a",
    "/a", "http://", "http://)", "www.", "&a", " --a", " C:\\", "$a", "+-.", "\U0001f469\u200d", "a b ", "{ ", "-",
]  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE)
def test_long_texts_take_linear_time(unit: str) -> None:
    """Half a second or so even where every other character is a span. Quadratic time would be many minutes."""
    text = (unit * (LONG // len(unit) + 1))[:LONG]
    began = time.process_time()
    find(text)
    find(text + "<")
    assert time.process_time() - began < 10.0


def test_spans_of_the_caller_come_first() -> None:
    own = [Span(2, 6, "given", "cdef")]
    others = [Span(0, 1, "x", "a"), Span(1, 3, "x", "bc"), Span(5, 7, "x", "fg"), Span(6, 8, "x", "gh")]
    assert tidy(others, own) == [others[0], own[0], others[3]]
    assert tidy(others[:1], []) == others[:1]


def test_spans_that_touch_are_one() -> None:
    assert [span.text for span in touching(find("<b>{x}</b> {y}%s"))] == ["<b>{x}</b>", "{y}%s"]
