"""Placeholders on their way into ids and back: nothing is lost, and space is where it belongs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.text.pipeline import KINDS
from heedful.text.placeholders import (
    Marked,
    Masked,
    encode,
    encode_many,
    in_order,
    lost,
    mask,
    read,
    restore,
    side_by_side,
    words,
)
from heedful.text.spans import find
from heedful.text.tokenizer import Tokenizer, train_tokenizer

LINES = ["Click here now to open the file in 2024.", "Der rote Hund öffnet die Datei; klicken Sie (hier)."] * 20


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return train_tokenizer(LINES, request.param, 500, placeholders=16, tags=["de"])


def masked(text: str) -> Masked:
    return mask(text, find(text))


EXAMPLES = [
    "Click <b>here</b> now", "<b>x</b>", "Open {file}.", "", "({a}/{b}) 10&nbsp;km  {n}px", "un<b>believ</b>able",
    "%d%% of <i>{x}</i>", "{a} {b}", "literal <ph1> </s>", "现在{x}点击", "{x}", "a {x}", "{x} a", 'say "{x}" — {y}!',
    "שלום <b>עולם</b> {x}", "\u202e{x} a\u202c", "<b><i>a</b></i>", " ".join(f"a {{x{n}}}" for n in range(16)),
]  # fmt: skip


@pytest.mark.parametrize("text", EXAMPLES)
def test_there_and_back(tokenizer: Tokenizer, text: str) -> None:
    """A model that only copies gives back the text."""
    source = masked(text)
    ids = encode(tokenizer, source.marked)
    assert sum(token in tokenizer.placeholders for token in ids) == len(source.originals)
    assert [token for word in tokenizer.encode_words(words(tokenizer, source.marked)) for token in word] == ids
    assert encode_many(tokenizer, ["b", source.marked, "a"])[1] == ids
    assert restore(source, read(tokenizer, ids)) == text
    assert lost(source.whole, text) == []


PARTS = st.sampled_from([*"ab1 .,()\"'é日", "{x}", "<b>", "</b>", "%s", "&amp;", " ", "<ph1>"])


@settings(max_examples=300, deadline=None)
@given(st.lists(PARTS, max_size=25).map("".join))
def test_the_same_words_have_the_same_space(text: str) -> None:
    source = masked(text)
    assert source.whole == text
    assert restore(source, source.marked) == text.strip()


def test_text_never_is_a_placeholder(tokenizer: Tokenizer) -> None:
    for text in ("<ph1>", " <ph1>", "▁<ph16>", "Ġ<ph2>"):
        assert set(tokenizer.encode(text)).isdisjoint(tokenizer.placeholders)
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_word_after_a_placeholder_is_the_word_it_always_is(tokenizer: Tokenizer) -> None:
    alone = tokenizer.encode("here")
    for text in ("<b>here</b>", "{x}here", "{x} here"):
        ids = encode(tokenizer, masked(text).marked)
        assert ids[1 : 1 + len(alone)] == alone


@pytest.mark.parametrize(
    ("text", "numbers", "texts", "expected"),
    [
        ("the <b>red</b> dog", (1, 2), ("der ", " rote", " Hund"), "der <b>rote</b> Hund"),
        ("the <b>red</b> dog", (1, 2), ("", " Roter", " Hund"), "<b>Roter</b> Hund"),
        ("Open {x}.", (1,), ("", " öffnen."), "{x} öffnen."),
        ("Open {x}, now", (1,), ("Jetzt", " öffnen"), "Jetzt {x} öffnen"),
        ("({x}) a", (1,), ("A (", ")"), "A ({x})"),
        ("({x}) a", (1,), ("A.", ""), "A. {x}"),
        ("file {x} is", (1,), ('Datei "', '" ist'), 'Datei "{x}" ist'),
        ("file {x} is", (1,), ("Datei „", "“ ist"), "Datei „{x}“ ist"),
        ("{n}px wide", (1,), ("", "px breit"), "{n}px breit"),
        ("{n}px wide", (1,), ("", " breit"), "{n} breit"),
        ("10&nbsp;km", (1,), ("zehn", " Kilometer"), "zehn&nbsp;Kilometer"),
        ("{a} and {b}", (2, 1), ("", " und", ""), "{b} und {a}"),
        ("{a}, {b}", (2, 1), ("", "", ""), "{b} {a}"),
        ("click {x} now", (1,), ("点击", "现在"), "点击{x}现在"),
        ("请点击{x}这里", (1,), ("click", " here"), "click {x} here"),
        ("a <br/> b", (1,), ("", " x"), "<br/> x"),
        ("a\t{x}\tb", (1,), ("b", " a"), "b\t{x}\ta"),
    ],
)  # fmt: skip
def test_space_follows_the_source(text: str, numbers: tuple[int, ...], texts: tuple[str, ...], expected: str) -> None:
    assert restore(masked(text), Marked(texts, numbers)) == expected


def test_tags_come_in_order() -> None:
    source = masked("<b>a</b> <i>b</i> {x}")
    moved = Marked(("",) * 6, (3, 4, 1, 2, 5))
    assert in_order(source, moved) == moved  # whole elements may change places
    for crossed in ((1, 3, 2, 4, 5), (2, 1, 3, 4, 5), (4, 3, 2, 1, 5)):
        assert in_order(source, Marked(("",) * 6, crossed)).numbers == (1, 2, 3, 4, 5)
    assert in_order(source, Marked(("",) * 6, (2, 5, 1, 3, 4))).numbers == (1, 5, 2, 3, 4)
    hostile = Marked(("",) * 3, (1, 2))
    assert in_order(masked("<b><i>a</b></i>"), hostile) == hostile  # as bad as the source, and no worse


@pytest.mark.parametrize(
    ("source", "translation", "problem"),
    [
        ("a {x} b", "a b", "{x} is missing"),
        ("a {x} b", "a {x} {x} b", "{x} is new"),
        ("a b", "a <br> b", "<br> is new"),
        ("<b>a</b>", "</b>a<b>", "tags are not nested"),
        ("<b><i>a</i></b>", "<b><i>a</b></i>", "tags are not nested"),
        ("%s has %d files", "%d Dateien hat %s", "%s %d changed their order"),
        ("a {x}\x1b[31m{" + "y" * 99 + "}", "a", "{" + "y" * 59 + "… is missing"),
        (" ".join(f"{{x{n}}}" for n in range(30)), "", "30 spans are missing or new"),
    ],
)
def test_what_is_lost_is_told(source: str, translation: str, problem: str) -> None:
    assert problem in lost(source, translation)
    assert all(text.isprintable() for text in lost(source, translation))


@pytest.mark.parametrize(
    ("source", "translation"),
    [
        ("<b>a</b> <i>b</i>", "<i>b</i> <b>a</b>"),
        ("%1$s has %2$d", "%2$d hat %1$s"),
        ("<b><i>a</b></i>", "<b><i>a</b></i>"),
        ("{a} {b}", "{b} {a}"),
        ("see /a/b", "siehe:/a/b"),  # not a path by its surroundings, and there all the same
    ],
)
def test_what_is_there_is_not_lost(source: str, translation: str) -> None:
    assert lost(source, translation) == []


def test_many_placeholders_in_groups() -> None:
    text = " ".join(f"word {{x{n}}}," for n in range(1000)) + " end"
    source = masked(text)
    groups = source.groups(16)
    assert len(groups) == 63
    assert all(1 <= len(group.originals) <= 16 for group in groups)
    assert "".join(group.whole for group in groups) == text
    assert masked("plain").groups(16) == [masked("plain")]


def test_parts_side_by_side() -> None:
    parts = [Marked(("a", " b"), (1,)), Marked(("c",)), Marked(("", " d", ""), (2, 3))]
    assert side_by_side(parts) == Marked(("a", " b c ", " d", ""), (1, 2, 3))
