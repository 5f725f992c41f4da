"""PO: which units there are, what a filled file looks like to the byte, and that gettext itself agrees."""

from __future__ import annotations

import gettext
import io
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from babel.messages import pofile
from document_examples import PO, gaps, opened
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.data.documents import open_document
from heedful.errors import UserError

HEADER = rb"""msgid ""
msgstr "Content-Type: text/plain; charset=%s\nPlural-Forms: nplurals=%d; plural=0;\n"
"""


def catalogue(body: bytes, charset: bytes = b"UTF-8", plurals: int = 2) -> bytes:
    return HEADER % (charset, plurals) + body


def filled(body: bytes, *translations: str, **options) -> bytes:
    document = open_document(Path("a.po"), body, **options)
    return document.write(dict(zip(gaps(document), translations, strict=True)))


def test_units():
    found = [(u.text, u.translated, u.translation.text, u.form, u.where) for u in opened("a.po").units]
    long = "The station measures temperature, pressure and rain every ten minutes, and keeps what it\nmeasured.\n"
    assert found == [
        ("Measure now", False, "", None, "a.po:11"),
        ("Rain", True, "Regen", None, "a.po:14"),
        ("%d degrees today", True, "%d Grad", None, "a.po:20"),
        ('Force "%s"\n', False, "", None, "a.po:24"),
        ("%d drop", False, "", 0, "a.po:28"),
        ("%d drops", False, "", 1, "a.po:29"),
        ("%d drops", False, "", 2, "a.po:29"),
        (long, False, "", None, "a.po:33"),
    ]
    assert all(unit.protected == () for unit in opened("a.po").units)


def test_filled_to_the_byte():
    document = opened("a.po")
    long = (
        "Die Station misst Temperatur, Druck und Regen alle zehn Minuten und bewahrt auf, was sie gemessen hat.\nImmer."
    )
    texts = ["Jetzt messen", 'Stärke "%s"', "%d Tropfen", "%d Tropfen", "%d Tropfen!", long]
    expected = (
        PO.replace(b'"Measure now"\nmsgstr ""', b'"Measure now"\nmsgstr "Jetzt messen"')
        .replace(b'msgstr  ""', 'msgstr  "Stärke \\"%s\\"\\n"'.encode())
        .replace(
            b'msgstr[0] ""\nmsgstr[1] ""', b'msgstr[0] "%d Tropfen"\nmsgstr[1] "%d Tropfen"\nmsgstr[2] "%d Tropfen!"'
        )
        .replace(
            b'measured.\\n"\nmsgstr ""',
            b'measured.\\n"\nmsgstr ""\n'
            b'"Die Station misst Temperatur, Druck und Regen alle zehn Minuten und bewahrt "\n'
            b'"auf, was sie gemessen hat.\\n"\n'
            b'"Immer.\\n"',
        )
    )
    assert document.write(dict(zip(gaps(document), texts, strict=True))) == expected


def test_drafts_are_fuzzy_entries_and_lose_the_flag():
    document = opened("a.po", drafts=True)
    assert [document.units[n].text for n in gaps(document)][:2] == ["Measure now", "%d degrees today"]
    assert document.write({2: "heute %d Grad"}) == PO.replace(b"#, fuzzy, c-format", b"#, c-format").replace(
        b'"%d Grad"', b'"heute %d Grad"'
    )
    assert document.write({0: "x"}) == PO.replace(b'now"\nmsgstr ""', b'now"\nmsgstr "x"')
    only = b'#, fuzzy\r\n#: a.c\r\nmsgid "a"\r\nmsgstr "b"\r\n'
    assert filled(only, "c", drafts=True) == b'#: a.c\r\nmsgid "a"\r\nmsgstr "c"\r\n'
    # Without a text it is no draft but a gap; with the flag, gettext would not use the new text.
    assert filled(b'#, c-format, fuzzy\nmsgid "a"\nmsgstr ""', "c") == b'#, c-format\nmsgid "a"\nmsgstr "c"'


@pytest.mark.parametrize(
    ("source", "translation", "written"),
    [
        (r"a\n", "b", r'"b\n"'),
        (r"a\n", "b\n\n", '""\n"b\\n"\n"\\n"'),
        (r"a", "b\n\n", r'"b"'),
        (r"\na", "b", '""\n"\\n"\n"b"'),
        (r"a", "\n\nb", r'"b"'),
        (r"\na\n", "\nb", '""\n"\\n"\n"b\\n"'),
        (r"a", 'b\\c\t"d"\x07\x1b7\x7f\0e', r'"b\\c\t\"d\"\a\0337\177' + '\ufffde"'),
        (r"a", "\ud800", '"\ufffd"'),
        (r"a", "ü\r", r'"ü\r"'),
    ],
)
def test_newlines_match_and_characters_are_escaped(source, translation, written):
    body = f'msgid "{source}"\nmsgstr %s\n'
    assert filled((body % '""').encode(), translation).decode() == body % written


def test_escapes_are_read():
    body = rb'msgid "\a\b\f\n\r\t\v\\\"\'\?\303\274\xc3\xbc\x41z"' + b'\nmsgstr ""'
    assert open_document(Path("a.po"), body).units[0].text == "\a\b\f\n\r\t\v\\\"'?üüAz"


def test_strange_layout_stays():
    body = b'\xef\xbb\xbf\r\n  msgctxt "c" "d"\r\n\tmsgid"a" "b"\r\nmsgstr "" ""  \r\n# end'
    assert filled(body, "x") == body.replace(b'"" ""  ', b'"x"  ')
    two = b'msgid "a"\rmsgstr ""\n' + b'domain "other"\nmsgid "b" msgstr ""'
    assert filled(two, "1", "2") == b'msgid "a"\rmsgstr "1"\ndomain "other"\nmsgid "b" msgstr "2"'


def test_only_the_flag_fuzzy_goes():
    for flags, left in (
        (b"#,c-format\n#, fuzzy\n", b"#,c-format\n"),
        (b"#, fuzzy,  c-format\r\n", b"#,  c-format\r\n"),
        (b"#,c-format,fuzzy, no-wrap\n", b"#,c-format, no-wrap\n"),
        (b"#, fuzzy\n#, c-format\n", b"#, c-format\n"),
    ):
        assert filled(flags + b'msgid "a"\nmsgstr ""\n', "x") == left + b'msgid "a"\nmsgstr "x"\n'


def test_plural_forms_follow_the_header():
    entry = b'msgid "a"\nmsgid_plural "b"\nmsgstr[0] ""\nmsgstr[1] "x"\n'
    kinds = [(u.text, u.form, u.translated) for u in open_document(Path("a.po"), catalogue(entry, plurals=1)).units]
    assert kinds == [("b", 0, False), ("b", 1, True)]  # one form for any number; what is there stays
    kinds = [(u.text, u.form, u.translated) for u in open_document(Path("a.po"), catalogue(entry, plurals=4)).units]
    assert kinds == [("a", 0, False), ("b", 1, True), ("b", 2, False), ("b", 3, False)]
    out = filled(catalogue(entry, plurals=4).replace(b"\n", b"\r\n"), "0", "2", "3")
    assert out.endswith(b'msgstr[0] "0"\r\nmsgstr[1] "x"\r\nmsgstr[2] "2"\r\nmsgstr[3] "3"\r\n')
    out = filled(catalogue(entry, plurals=4), "0", " ", "3")
    assert out.endswith(b'msgstr[0] "0"\nmsgstr[1] "x"\nmsgstr[2] ""\nmsgstr[3] "3"\n')
    assert filled(catalogue(entry, plurals=4), "0", "", "") == catalogue(entry, plurals=4).replace(
        b'""\nmsgstr[1', b'"0"\nmsgstr[1'
    )
    template = catalogue(entry).replace(b"nplurals=2", b"nplurals=INTEGER").replace(b"UTF-8", b"CHARSET")
    assert len(open_document(Path("a.pot"), template).units) == 2


def test_the_charset_is_the_headers():
    body = catalogue('msgid "Käse"\nmsgstr ""\n'.encode("iso-8859-2"), b"ISO-8859-2")
    assert open_document(Path("a.po"), body).units[0].text == "Käse"
    assert filled(body, "żółć").endswith('"żółć"\n'.encode("iso-8859-2"))
    with pytest.raises(UserError, match=r"a\.po:3: the translation has 'ì', which ISO-8859-2 cannot hold; convert"):
        filled(body, "così, però")
    sjis = catalogue('msgid "表示"\nmsgstr ""\n'.encode("shift_jis"), b"Shift_JIS")  # its second byte is a backslash
    assert open_document(Path("a.po"), sjis).units[0].text == "表示"
    assert open_document(Path("a.po"), filled(sjis, "予定表")).units[0].translation.text == "予定表"


@pytest.mark.parametrize(
    ("body", "line", "says"),
    [
        (b'msgid "a"\nmsgstr "b\n', 2, "whole string in quotes"),
        (b'msgid "a"\nmsgstr ""\nmessage', 3, "neither a comment, a keyword"),
        (b'\n\nmsgid "a"\n', 4, "the last entry has no msgstr"),
        (b'msgid "a"\nmsgid "b"\n', 2, "msgid is not possible here"),
        (b'msgid "a"\nmsgctxt "b"\n', 2, "msgctxt is not possible here"),
        (b'msgstr "a"', 1, "msgstr is not possible here"),
        (b'\n"a"', 2, "a string without a keyword"),
        (b'msgid "a"\nmsgstr\n# c', 2, "msgstr without a string"),
        (b'msgid "a"\nmsgstr "b"\nmsgstr "c"', 2, "one msgstr, without a number"),
        (b'msgid "a"\nmsgstr[0] "b"', 2, "one msgstr, without a number"),
        (b'msgid "a"\nmsgid_plural "b"\nmsgstr "c"', 3, r"msgstr\[0\], msgstr\[1\] and so on"),
        (b'msgid "a"\nmsgid_plural "b"\nmsgstr[1] "c"', 3, r"msgstr\[0\], msgstr\[1\] and so on"),
        (b'msgid[0] "a"\nmsgstr "c"', 1, "only possible behind msgstr"),
        (catalogue(b"", plurals=999999999), 2, "nplurals=999999999 is not possible"),
        (catalogue(b"", b"UTF-7"), 1, "encoding 'utf-7' is not read"),
        (catalogue(b"", b"utf-16"), 1, "encoding 'utf-16' is not read"),
        (catalogue(b"", b"cp899"), 1, "encoding 'cp899' is not read"),
        (catalogue(b'msgid "a"').decode().encode("utf-16"), 1, "encoding 'utf-16-le' is not read"),
        (catalogue(b'msgid "a\xff"\nmsgstr ""'), 3, "not UTF-8: byte 0xff"),
    ],
)
def test_mistakes_name_file_and_line(body, line, says):
    with pytest.raises(UserError) as caught:
        open_document(Path("a.po"), body)
    assert re.match(rf"a\.po:{line}: [^\n]*{says}[^\n]*\Z", str(caught.value))


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40) | st.text(
    "ab \n\\\"'", min_size=1, max_size=200
)


@settings(max_examples=200, deadline=None)
@given(TEXT.filter(str.strip), st.sampled_from([b'"a"', b'"a\\n"', b'""\n"a "\n"b\\n"']))
def test_babel_reads_what_is_written(translation, source):
    body = catalogue(b'msgid %s\nmsgstr ""\n' % source)
    document = open_document(Path("a.po"), body)
    newline = document.units[0].text.endswith("\n")
    out = document.write({0: translation})
    expected = translation.lstrip("\n")
    if newline != expected.endswith("\n"):
        expected = expected + "\n" if newline else expected.rstrip("\n")
    assert open_document(Path("a.po"), out).units[0].translation.text == expected
    # Babel knows no octal escapes, and breaks lines at more than \n.
    if not re.search("[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029]", expected):
        catalog = pofile.read_po(io.BytesIO(out))
        assert [message.string for message in catalog if message.id] == [expected]


@pytest.mark.skipif(shutil.which("msgfmt") is None, reason="gettext is not installed")
def test_msgfmt_compiles_it_and_gettext_finds_it(tmp_path):
    document = opened("a.po", drafts=True)
    texts = {n: document.units[n].text.replace("a", "ä") + "\n\0" for n in gaps(document)}
    (tmp_path / "a.po").write_bytes(document.write(texts))
    subprocess.run(["msgfmt", "-c", "-v", "a.po", "-o", "a.mo"], cwd=tmp_path, check=True, timeout=60)
    with (tmp_path / "a.mo").open("rb") as file:
        found = gettext.GNUTranslations(file)
    assert found.gettext("Measure now") == "Meäsure now\n\ufffd"
    assert found.gettext("%d degrees today") == "%d degrees todäy\n\ufffd"
    assert found.pgettext("wind", 'Force "%s"\n') == 'Force "%s"\n\n\ufffd\n'
    assert [found.ngettext("%d drop", "%d drops", n) for n in (1, 2, 7)] == ["%d drop\n\ufffd"] + [
        "%d drops\n\ufffd"
    ] * 2


def test_ten_thousand_entries_are_quick():
    body = b"".join(b'#: a.c:%d\nmsgid "entry %d"\nmsgstr ""\n\n' % (n, n) for n in range(10_000))
    began = time.process_time()
    document = open_document(Path("a.po"), catalogue(body))
    out = document.write({n: f"Eintrag {n}" for n in range(10_000)})
    assert time.process_time() - began < 2
    assert out.count(b"Eintrag") == 10_000
