"""SubRip and WebVTT: the text of cues out and in, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from document_examples import SRT, VTT, opened
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.data.documents import open_document
from heedful.errors import UserError

TIME = "00:00:01,000 --> 00:00:02,000"
WEB_TIME = "00:01.000 --> 00:02.000"


def texts(name: str, content: str) -> list[str]:
    return [unit.text for unit in open_document(Path(name), content.encode()).units]


def cue(lines: str, translation: str, web: bool = False) -> str:
    """What becomes of a cue's lines."""
    head = f"WEBVTT\n\n{WEB_TIME}\n" if web else f"1\n{TIME}\n"
    out = open_document(Path("a.vtt" if web else "a.srt"), (head + lines).encode()).write({0: translation}).decode()
    assert out.startswith(head)
    return out[len(head) :]


def test_units():
    found = [(u.text, [u.text[a:b] for a, b in u.protected], u.translated, u.where) for u in opened("a.srt").units]
    assert found == [
        ("The ferry leaves at nine and comes back <i>very</i> late.", ["<i>", "</i>"], False, "a.srt:3"),
        ("{\\an8}- Did you pay? - Twice, I think.", ["{\\an8}"], False, "a.srt:8"),
        ("Good night.", [], False, "a.srt:16"),
    ]
    found = [(u.text, [u.text[a:b] for a, b in u.protected], u.translated, u.where) for u in opened("a.vtt").units]
    assert found == [
        ("<v Ada>Bread & butter, <b>please</b>.", ["<v Ada>", "<b>", "</b>"], False, "a.vtt:12"),
        ("The harbour is closed today because of the storm.", [], False, "a.vtt:15"),
    ]


def test_filled_to_the_byte():
    out = opened("a.srt").write(
        {
            0: "Die Fähre fährt um neun und kommt <i>sehr</i> spät zurück.",
            1: "{\\an8}- Bezahlt? - Ich glaube, schon zweimal.",
        }
    )
    assert out == SRT.replace(
        b"The ferry leaves at nine\nand comes back <i>very</i> late.",
        "Die Fähre fährt um neun und\nkommt <i>sehr</i> spät zurück.".encode(),
    ).replace(b"- Did you pay?\n- Twice, I think.", b"- Bezahlt?\n- Ich glaube, schon zweimal.")
    out = opened("a.vtt").write({0: "<v Ada><b>Bitte</b> Brot & <Butter> -->.", 1: "Zu."})
    assert out == VTT.replace(
        b"<v Ada>Bread &amp; butter, <b>please</b>.", b"<v Ada><b>Bitte</b> Brot &amp; &lt;Butter&gt; --&gt;."
    ).replace(b"The harbour is closed today\nbecause of the storm.", b"Zu.")


@pytest.mark.parametrize(
    ("lines", "translation", "written"),
    [
        ("a b", "one two three four", "one two three four"),
        ("a\nb", "one two three four", "one two\nthree four"),
        ("a\nb\nc", "one two three four five six", "one two\nthree four\nfive six"),
        ("a\nb\nc", "one two", "one\ntwo"),
        ("a\nb", "one", "one"),
        ("a\nb", "extraordinarily so it is", "extraordinarily\nso it is"),
        ("a\nb", '<font color="#123456">one two</font> three four', '<font color="#123456">one two</font>\nthree four'),
        ("a\nb", '<font color="red">one</font>', '<font color="red">one</font>'),
        ("a\n- b", "one two three - four", "one two three\n- four"),
        ("a\n- b", "one two three four", "one two\nthree four"),
        ("- a\nb", "- one two three - four", "- one two\nthree - four"),
        ("– a\n<i>– b</i>\n– c", "– one two three – four – five", "– one two three\n– four\n– five"),
        ("a\r\nb", "one two", "one\r\ntwo"),
        ("  a  \n\tb \n", "one two", "  one\ntwo \n"),
        ("a\nb", " one\n\r\n \n two  ", "one\ntwo"),
        ("a", "one\u2028two\u00a0 three", "one\u2028two\u00a0 three"),
        ("a", f"see {TIME} there", "see 00:00:01,000 -> 00:00:02,000 there"),
        ("a --> b", "c --> d", "c --> d"),
        ("a", "lone \ud800", "lone \ufffd"),
    ],
)
def test_lines(lines, translation, written):
    first = "1\r\n" if "\r" in lines else "1\n"
    head = first + TIME + first[1:]
    out = open_document(Path("a.srt"), (head + lines).encode()).write({0: translation}).decode()
    assert out == head + written


def test_tags_of_the_web():
    assert cue("<c.red>a</c>", "<c.red>b</c><c.red>", web=True) == "<c.red>b</c>&lt;c.red&gt;"
    assert cue("a &lt;b&gt; &nbsp;c", "a <b> \u00a0c &amp;", web=True) == "a &lt;b&gt; \u00a0c &amp;amp;"
    assert cue("<00:01.500>a\n<i>b", "<i>d\n\n<00:01.500>e", web=True) == "<i>d\n<00:01.500>e"
    assert cue("<v a\nb>c", "<v a b>d e", web=True) == "<v a b>d\ne"
    assert texts("a.vtt", f"WEBVTT\n\n{WEB_TIME}\n&lt;i&gt; a &lrm;&amp;lt;") == ["<i> a \u200e&lt;"]


def test_what_people_call_subrip():
    assert texts("a.srt", f"\n\n1\n{TIME}\na\n2\n{TIME}\nb\n\n\n3\n{TIME}\n\n4\n{TIME}\n  \n5\n{TIME}\n5") == [
        "a",
        "b",
        "5",
    ]
    assert texts("a.srt", f"{TIME}\na\n\nb\n\n{TIME} X1:3\nc") == ["a", "b", "c"]
    assert texts("a.srt", f"1\n{TIME}\n\n1984\n\n2\n{TIME}\na\n7") == ["1984", "a 7"]
    assert texts("a.srt", "1\n0:0:1.5-->0:0:2.5\na --> b\nc") == ["a --> b c"]
    assert texts("a.srt", "") == texts("a.srt", " \r\n\n") == []
    for mark, charset in (("\ufeff", "utf-8"), ("\ufeff", "utf-16-le"), ("\ufeff", "utf-16-be")):
        content = (mark + f"1\r\n{TIME}\r\nä\r\n").encode(charset)
        document = open_document(Path("a.srt"), content)
        assert document.write({}) == content
        assert document.write({0: "ö"}) == content.replace("ä".encode(charset), "ö".encode(charset))


@pytest.mark.parametrize(
    ("name", "content", "line", "says"),
    [
        ("a.srt", b"hello\n", 1, "no time line like 00:00:01,000 --> 00:00:02,500 before this text"),
        ("a.srt", b"\n1\n00:00:01 -> 00:00:02\na", 2, "no time line"),
        ("a.srt", f"1\n{TIME}\nna\xefve".encode("latin-1"), 3, "not UTF-8: byte 0xef"),
        ("a.srt", f"\ufeff1\n{TIME}\n".encode("utf-16-le") + b"a", 3, "not UTF-16-LE"),
        ("a.vtt", b"1\n00:01.000 --> 00:02.000\na", 1, "does not begin with WEBVTT"),
        ("a.vtt", b"WEBVTTX", 1, "does not begin with WEBVTT"),
        ("a.vtt", b"WEBVTT\n\nid\n00:01 --> 00:02\na", 4, "a time line like 00:01.000 --> 00:02.500 should be here"),
        ("a.vtt", b"WEBVTT\n\nhello\n", 3, "should be here"),
        ("a.vtt", b"WEBVTT\n\na\nb\n00:01.000 --> 00:02.000\nc", 4, "should be here"),
    ],
)
def test_mistakes_name_file_and_line(name, content, line, says):
    with pytest.raises(UserError) as caught:
        open_document(Path(name), content)
    assert re.match(rf"{re.escape(name)}:{line}: [^\n]*{re.escape(says)}[^\n]*\Z", str(caught.value))


WORDS = st.lists(
    st.sampled_from(["a", "bb", "ccc", "- d", "<i>", "</i>", "<i x>", "{\\an8}", "\n", "-->", "1", "&", "\u3042"])
    | st.text(max_size=5),
    min_size=1,
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(WORDS.map(" ".join).filter(str.strip), st.integers(1, 4), st.booleans())
def test_a_filled_cue_reads_as_its_translation(translation, count, web):
    """Its line ends are spaces, and whatever it says, the next cue is still there."""
    head = f"WEBVTT\n\n{WEB_TIME}\n" if web else f"1\n{TIME}\n"
    rest = f"\n\n{WEB_TIME}\nnext" if web else f"\n\n2\n{TIME}\nnext"
    content = head + "\n".join(["x <i>y</i>"] * count) + rest
    name = "a.vtt" if web else "a.srt"
    out = open_document(Path(name), content.encode()).write({0: translation}).decode()
    lines = out[len(head) : -len(rest)].split("\n")
    assert len(lines) <= count
    assert "" not in lines
    pieces = [piece.strip(" \t\r\f\v") for piece in re.split("[\r\n]+", translation)]
    assert texts(name, out) == [" ".join(filter(None, pieces)), "next"]
