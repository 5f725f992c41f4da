"""XML that means harm is refused at once; so is what is merely too large, and no file is opened on a file's behalf."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from document_examples import EXAMPLES, XML, gaps, opened

from heedful.data.documents import document, open_document
from heedful.errors import UserError

LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 20))
UTF_7 = b'<?xml version="1.0" encoding="utf-7"?>+ADwAIQ-DOCTYPE tmx [+ADwAIQ-ENTITY a +ACI-b+ACIAPgBd-+AD4-'
EBCDIC = '<?xml version="1.0" encoding="cp037"?><tmx/>'.encode("cp037")
ATTACKS = {
    "billion laughs": f'<!DOCTYPE x [<!ENTITY a0 "ha">{LAUGHS}]><tmx>&a19;</tmx>',
    "quadratic": f'<!DOCTYPE x [<!ENTITY a "{"a" * 50_000}">]><tmx>{"&a;" * 50_000}</tmx>',
    "external entity": '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><tmx>&a;</tmx>',
    "external entity by http": '<!DOCTYPE x [<!ENTITY a SYSTEM "http://127.0.0.1:9/">]><tmx>&a;</tmx>',
    "parameter entity": '<!DOCTYPE x [<!ENTITY % a SYSTEM "file:///etc/passwd">%a;]><tmx/>',
    "external DTD": '<?xml version="1.0"?>\n<!-- > -->\n<?p ?><!DOCTYPE tmx SYSTEM "tmx14.dtd">\n<tmx/>',
    "deep": "<a>" * 200_000 + "</a>" * 200_000,
    "deep, without ends": "<a>" * 200_000,
    "deep, on lines": "<a\n>" * 200_000,
    "UTF-7": UTF_7,
    "UTF-7, in UTF-16": '\ufeff<?xml version="1.0" encoding="utf-7"?><tmx/>'.encode("utf-16-le"),
    "UTF-32": '\ufeff<?xml version="1.0"?><tmx/>'.encode("utf-32-le"),
    "UTF-16 without mark": '<?xml version="1.0" encoding="utf-16"?><tmx/>'.encode("utf-16-be"),
    "EBCDIC": EBCDIC,
    "a codec that is none": b'<?xml version="1.0" encoding="zip"?><tmx/>',
    "a far declaration": b'<?xml version="1.0"' + b" " * 3000 + b'encoding="utf-7"?><tmx/>',
    "overlong UTF-8": b"<tmx>\xc0\xbc\xe0\x80\xbc</tmx>",
}


@pytest.mark.parametrize("name", XML)
@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_refused_at_once(name, attack, monkeypatch):
    opened(name)  # imports are not what is timed
    content = ATTACKS[attack]
    content = content.encode() if isinstance(content, str) else content
    began = time.process_time()
    with pytest.raises(UserError) as caught:
        opened(name, content)
    assert time.process_time() - began < 0.1
    assert re.match(rf"{re.escape(name)}:\d+: [^\n]+\Z", str(caught.value))
    assert "/etc" not in str(caught.value)


def test_what_is_refused_says_why():
    def why(attack: str) -> str:
        with pytest.raises(UserError) as caught:
            opened("a.tmx", ATTACKS[attack].encode())
        return str(caught.value)

    assert why("external DTD").startswith(
        "a.tmx:3: a DOCTYPE (or entities) may read files or fill the memory; delete it"
    )
    assert why("deep").startswith("a.tmx:1: elements are nested deeper than 200")
    assert why("deep, on lines").startswith("a.tmx:201: elements are nested deeper than 200")


def test_a_doctype_in_text_is_text():
    content = (
        b'<tmx><header srclang="en"/><tu><tuv xml:lang="en"><seg><![CDATA[<!DOCTYPE html>]]></seg></tuv></tu></tmx>'
    )
    assert opened("a.tmx", content).units[0].text == "<!DOCTYPE html>"


def test_a_reference_of_many_zeros_is_read():
    source = f"&#{'0' * 9000}65;&#x{'0' * 9000}42;&#1114109;"
    content = f'<xliff version="1.2"><trans-unit><source>{source}</source></trans-unit></xliff>'
    assert opened("one.xlf", content.encode()).units[0].text == "AB\U0010fffd"


def test_two_hundred_levels_are_read():
    deep = "<g>" * 190 + "a" + "</g>" * 190
    content = f'<xliff version="1.2"><trans-unit><source>{deep}</source></trans-unit></xliff>'
    assert opened("one.xlf", content.encode()).write({0: deep}).count(b"<g>") == 380


@pytest.mark.parametrize("name", EXAMPLES)
def test_too_large_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.setattr(document, "LARGEST", len(EXAMPLES[name]))
    (tmp_path / name).write_bytes(EXAMPLES[name])
    open_document(tmp_path / name, target_language="de")
    (tmp_path / name).write_bytes(EXAMPLES[name] + b"\n")
    with pytest.raises(UserError, match=r":1: larger than 0 MiB; split the file"):
        open_document(tmp_path / name, target_language="de")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match=r"none\.po:1: cannot be read: No such file"):
        open_document(tmp_path / "none.po")
    (tmp_path / "a.po").mkdir()
    with pytest.raises(UserError, match=r"a\.po:1: cannot be read: "):
        open_document(tmp_path / "a.po")
    with pytest.raises(UserError, match=r"a\.docx: not a document by the suffix '\.docx'; it may be \.po, "):
        open_document(Path("a.docx"), b"")


# What takes long only if a search starts anew at each of many places.
LONG = {
    "a.po": [
        b'msgid "' + b"\\" * 160_001,
        b'msgid "a"\nmsgstr ""\n' + b"#" * 160_000 + b"\n" + b'"' * 160_000,
        b"\n" * 160_000 + b"x",
        b'msgid ""\nmsgstr "' + b"Content-Type: " * 16_000 + b'"',
        b'msgid "a"\n' + b'""\n' * 40_000 + b'msgstr ""',
        b'msgid "a"\nmsgid_plural "b"\n' + b"".join(b'msgstr[%d] ""\n' % n for n in range(20_000)),
    ],
    "a.tmx": [
        b"<tmx>" + b"<!-- " * 80_000,
        b"<tmx " + b"a='" * 80_000,
        b"<tmx>" + b"<tu><tuv xml:lang='en'><seg>a</seg></tuv></tu>" * 4_000 + b"</tmx>",
        b"<tmx><tu><tuv xml:lang='en'><seg>" + b"<g>a</g>" * 20_000 + b"</seg></tuv></tu></tmx>",
        b"<tmx><tu><tuv xml:lang='en'><seg>%s</seg></tuv></tu></tmx>"
        % b"".join(b"<p>%d</p>" % n for n in range(8_000)),
        b"<tmx><tu>" + b"".join(b"<tuv xml:lang='a%d'><seg>a</seg></tuv>" % n for n in range(4_000)) + b"</tu></tmx>",
    ],
    "a.srt": [
        b"1\n00:00:01,000 --> 00:00:02,000\n" + b"a b\n" * 40_000,
        b"1\n00:00:01,000 --> 00:00:02,000\n" + b"<" * 160_000 + b"\n" + b"{\\" * 80_000,
        b"1\n00:00:01,000 --> 00:00:02,000\n" + b" " * 160_000 + b"a",
        b"1\n" * 80_000,
        b"1\n00:00:01,000 --> 00:00:02,000\n" * 8_000,
    ],
    "a.vtt": [
        b"WEBVTT\n\n00:01.000 --> 00:02.000\n" + b"- a <b>\n" * 20_000,
        b"WEBVTT\n\n" + b"00:01.000 --> 00:02.000\na\n" * 8_000,
        b"WEBVTT\n\n00:01.000 --> 00:02.000\n" + b"&" * 80_000,
    ],
}


NOISE = "- b <g> " * 8_000 + "<" * 40_000 + " " * 40_000 + "\n" * 40_000 + "."


@pytest.mark.parametrize("name", LONG)
def test_long_lines_take_no_long_time(name):
    for number, content in enumerate(LONG[name]):
        began = time.process_time()
        try:
            found = opened(name, content)
            assert found.write({}) == content
            found.write({number: found.units[number].text + NOISE for number in gaps(found)[:1]})
        except UserError:
            pass
        assert time.process_time() - began < 2, number
