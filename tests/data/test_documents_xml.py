"""TMX and XLIFF: which units there are, what a filled file looks like to the byte, and that it stays well-formed."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from document_examples import EXAMPLES, TMX, XLIFF1, XLIFF2, XML, gaps, opened
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from heedful.data.documents import Passage, open_document
from heedful.errors import UserError


def parsed(content: bytes) -> etree._Element:
    """By another parser than ours; raises if the content is not well-formed."""
    return etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True))


def refused(name: str, content: bytes, **options) -> str:
    with pytest.raises(UserError) as caught:
        opened(name, content, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def tmx(*entries: str, header: str = '<header srclang="en"/>') -> bytes:
    rows = (
        "<tu>"
        + "".join(
            f'<tuv xml:lang="{text.partition(":")[0]}"><seg>{text.partition(":")[2]}</seg></tuv>'
            for text in entry.split("|")
        )
        + "</tu>"
        for entry in entries
    )
    return f'<tmx version="1.4">{header}<body>{"".join(rows)}</body></tmx>'.encode()


def test_units_of_tmx():
    found = [(u.text, u.translated, u.translation.text, u.where) for u in opened("a.tmx").units]
    assert found == [
        ('Take the <bpt i="1">&lt;b></bpt>second<ept i="1">&lt;/b></ept> path & turn.', False, "", "a.tmx:10"),
        ("The mill is closed.", True, 'Die Mühle ist <hi type="x">zu</hi>.', "a.tmx:14"),
        ('Bring <hi>warm</hi> clothes<ph x="1"/>!', False, "", "a.tmx:17"),
    ]
    unit = opened("a.tmx").units[0]
    assert [unit.text[a:b] for a, b in unit.protected] == ['<bpt i="1">&lt;b></bpt>', '<ept i="1">&lt;/b></ept>']
    assert Passage(unit.text, unit.protected).plain == "Take the second path & turn."


def test_tmx_filled_to_the_byte():
    texts = {
        0: '<bpt i="1">&lt;b></bpt>Zweiter<ept i="1">&lt;/b></ept> Weg & ab.',
        2: 'Nimm <hi>warme</hi> Sachen<ph x="1"/>!',
    }
    new = """
      <tuv xml:lang="de">
        <seg><bpt i="1">&lt;b></bpt>Zweiter<ept i="1">&lt;/b></ept> Weg &amp; ab.</seg>
      </tuv>"""
    expected = TMX.replace(b"turn.</seg>\n      </tuv>", b"turn.</seg>\n      </tuv>" + new.encode()).replace(
        b"<seg/>", b'<seg>Nimm <hi>warme</hi> Sachen<ph x="1"/>!</seg>'
    )
    assert opened("a.tmx").write(texts) == expected


def test_languages_of_tmx():
    three = tmx("en:one|de:eins|fr:un", "en:two|de:zwei")
    assert "a.tmx:1: the file has fr besides en and de; name" in refused("a.tmx", three, target_language=None)
    assert [u.translation.text for u in opened("a.tmx", three, target_language="fr").units] == ["un", ""]
    assert [u.text for u in opened("a.tmx", three, source_language="de", target_language="en").units] == [
        "eins",
        "zwei",
    ]
    two = tmx("en:zero", "fr:un|en:one", "en-US:two|fr-CA:deux", header='<header srclang="*all*"/>')
    assert [u.text for u in opened("a.tmx", two, target_language=None).units] == ["zero", "one", "two"]
    assert [u.translation.text for u in opened("a.tmx", two, target_language="FR").units] == ["", "un", "deux"]
    assert opened("a.tmx", two).write({0: "null"}).count(b'<tuv xml:lang="de"><seg>null</seg></tuv>') == 1
    turned = tmx("de:eins|en:one", header='<header srclang="*all*"/>')
    assert [u.text for u in opened("a.tmx", turned).units] == ["one"]  # what is asked for is not the source
    both = tmx("pt:a|pt-BR:b|pt-PT:c|en:d")
    assert opened("a.tmx", both, target_language="pt-br").units[0].translation.text == "b"
    assert "no language but en; name the target" in refused("a.tmx", tmx("en:a"), target_language=None)
    assert "nothing is in the source language fi; name one that the file has: en" in refused(
        "a.tmx", tmx("en:a"), source_language="fi"
    )
    assert opened("a.tmx", tmx()).units == []
    old = tmx("en:a").replace(b"xml:lang", b"lang")
    assert b'<tuv lang="x&quot;&lt;"><seg>b</seg></tuv></tu>' in opened("a.tmx", old, target_language='x"<').write(
        {0: "b"}
    )
    assert "a <tuv> without xml:lang" in refused("a.tmx", tmx("en:a").replace(b"xml:lang", b"language"))
    assert "a <tuv> without <seg>" in refused("a.tmx", tmx("en:a").replace(b"seg>", b"segment>"))


def test_units_of_xliff_1():
    found = [(u.text, u.translated, u.translation.text) for u in opened("one.xlf").units]
    assert found == [
        ('Boil <g id="1">fresh</g> water<x id="2"/>', False, ""),
        ("Warm the pot", False, ""),
        ('Pour <ph id="1">&lt;br&gt;</ph> < 3 cups', False, ""),
        ("Wait", True, "Warten"),
        ("One.", True, "Eins."),
        ("Two.", False, ""),
        ("Enjoy it", True, "Enjoy it"),
        ("Three.", False, ""),
    ]
    drafts = opened("one.xlf", drafts=True)
    assert gaps(drafts) == [0, 1, 2, 5, 6, 7]
    assert b'<target state="needs-translation">Lass es</target>' in drafts.write({6: "Lass es"})


def test_xliff_1_filled_to_the_byte():
    texts = {
        0: '<g id="1">Frisches</g> Wasser<x id="2"/>', 1: "Kanne wärmen", 2: '3 < 4<ph id="1">&lt;br&gt;</ph>',
        5: "Zwei.", 7: "Drei.",
    }  # fmt: skip
    changes = [
        (
            '<x id="2"/></source>',
            '<x id="2"/></source>\n        <target><g id="1">Frisches</g> Wasser<x id="2"/></target>',
        ),
        ('<target state="new"/>', '<target state="new">Kanne wärmen</target>'),
        ("<target></target>", '<target>3 &lt; 4<ph id="1">&lt;br&gt;</ph></target>'),
        ('<mrk mtype="seg" mid="2"/>', '<mrk mtype="seg" mid="2">Zwei.</mrk>'),
        ("Three.</mrk></seg-source>", "Three.</mrk></seg-source>\n        <target>Drei.</target>"),
    ]
    expected = XLIFF1.decode()
    for old, new in changes:
        assert expected.count(old) == 1
        expected = expected.replace(old, new)
    assert opened("one.xlf").write(texts) == expected.encode()


def test_units_of_xliff_2_and_filled_to_the_byte():
    document = opened("two.xliff", target_language="de")
    found = [(u.text, u.translated, u.translation.text) for u in document.units]
    press = 'Press <pc id="1">start</pc>, <ph id="2" dataRef="d1"/>wait<mrk id="m1" translate="no">ON</mrk>.'
    assert found == [(press, False, ""), ("Open the lid.", False, ""), ("Close it.", True, "Schließen.")]
    assert [document.units[0].text[a:b] for a, b in document.units[0].protected] == [
        '<pc id="1">', "</pc>", '<ph id="2" dataRef="d1"/>', '<mrk id="m1" translate="no">ON</mrk>',
    ]  # fmt: skip
    expected = (
        XLIFF2.replace(b'srcLang="en">', b'srcLang="en" trgLang="de">')
        .replace(
            b".</source>\n      </segment>\n      <ign",
            b".</source>\n        <target>A</target>\n      </segment>\n      <ign",
        )
        .replace(b"<target/>", b"<target>B</target>")
    )
    assert document.write({0: "A", 1: "B"}) == expected
    assert b"trgLang" not in opened("two.xliff").write({0: "A"})  # nobody said which
    assert document.write({}) == document.write({0: " \n"}) == XLIFF2


def test_xliff_knows_its_languages():
    assert "target-language is de, but fr was asked for; name de" in refused("one.xlf", XLIFF1, target_language="fr")
    assert "srcLang is en, but nl was asked for" in refused("two.xliff", XLIFF2, source_language="nl")
    assert opened("one.xlf", source_language="en-GB", target_language="de-AT").units


@pytest.mark.parametrize(
    ("name", "content", "line", "says"),
    [
        ("a.tmx", b"<tmx>\n<body>\n</tmx>", 3, "not well-formed XML (mismatched tag); mend"),
        ("a.tmx", b"<tmx>\n&nbsp;</tmx>", 2, "undefined entity"),
        ("a.tmx", b"<tmx>\n<b a=1/></tmx>", 2, "not well-formed"),
        ("a.tmx", b"<tmx>\n<x:b/></tmx>", 2, "unbound prefix"),
        ("a.tmx", b"<tmx>\n\x01</tmx>", 2, "not well-formed"),
        ("a.tmx", b"<tmx>\n\xff</tmx>", 2, "not UTF-8: byte 0xff"),
        ("a.tmx", b"", 1, "no element found"),
        ("a.tmx", b"\n\n", 3, "no element found"),
        ("a.tmx", b"<tmx/>\n<tmx/>", 2, "junk after document element"),
        ("a.tmx", XLIFF1, 1, "the outermost element is not <tmx>"),
        ("one.xlf", TMX, 3, 'not <xliff version="1.2"> or "2.0"'),
        ("one.xlf", b'<xliff version="3"/>', 1, "is it XLIFF?"),
        ("one.xlf", b"<xliff/>", 1, "is it XLIFF?"),
        ("one.xlf", b'<xliff version="1.2">\n<trans-unit/></xliff>', 2, "a <trans-unit> without <source>"),
    ],
)
def test_mistakes_name_file_and_line(name, content, line, says):
    assert refused(name, content).startswith(f"{name}:{line}: ")
    assert says in refused(name, content)


@pytest.mark.parametrize("name", XML)
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("mark", ["", "utf-8", "utf-16-le", "utf-16-be"])
def test_encodings_and_line_ends_stay(name, newline, mark):
    text = (
        EXAMPLES[name].replace(b"\n", newline).decode().replace('encoding="UTF-8"', f'encoding="{mark[:6] or "UTF-8"}"')
    )
    content = ("\ufeff" + text).encode(mark) if mark else text.encode()
    document = opened(name, content)
    assert [unit[:3] for unit in document.units] == [unit[:3] for unit in opened(name).units]
    assert document.write({}) == content
    number = gaps(document)[0]
    out = document.write({number: "ä\nb"})
    assert opened(name, out).units[number].translation.text == "ä\nb"
    assert out.decode(mark or "utf-8").replace("\r\n", "").count("\n") == (
        0 if newline == b"\r\n" else out.decode(mark or "utf-8").count("\n")
    )
    parsed(out)


def test_characters_beyond_the_encoding_are_written_as_references():
    content = b'<?xml version="1.0" encoding="iso-8859-1"?>' + tmx("en:caf\xe9".encode().decode()).decode().encode(
        "latin-1"
    )
    out = opened("a.tmx", content).write({0: "Žluťé 🚲"})
    assert "&#381;lu&#357;\xe9 &#128690;".encode("latin-1") in out
    assert opened("a.tmx", out).units[0].translation.text == parsed(out).findall(".//seg")[1].text == "Žluťé 🚲"


def test_what_xml_reads_is_the_text():
    source = "a\r\nb<!-- no --><![CDATA[<x> & ]]>&#65;&#x42;&lt;&gt;&quot;&apos;&amp;amp;<?pi no?>\rc"
    content = tmx(f"en:{source}")
    unit = opened("a.tmx", content).units[0]
    assert unit.text == parsed(content).find(".//seg").xpath("string()") == "a\nb<x> & AB<>\"'&amp;\nc"
    assert unit.protected == ()


def test_comments_in_a_gap_stay():
    unit = b"<trans-unit><source>a</source><target><!-- later --></target></trans-unit>"
    content = b'<xliff version="1.2">%s</xliff>' % unit
    assert b"<target>b<!-- later --></target>" in opened("one.xlf", content).write({0: "b"})


def test_a_namespace_declared_on_the_source_goes_along():
    unit = '<trans-unit><source xmlns:n="urn:n&amp;">a<n:b/></source>{}</trans-unit>'
    for target in ("", "<target/>", "<target></target>", '<target xmlns:n="urn:n&amp;"> </target>'):
        content = f'<xliff version="1.2">{unit.format(target)}</xliff>'.encode()
        out = opened("one.xlf", content).write({0: "<n:b/>c"})
        assert parsed(out).find(".//target")[0].tag == "{urn:n&}b"


def test_prefixes_of_the_elements_stay():
    unit = '<x:trans-unit><x:source>a<x:g id="1">b</x:g></x:source></x:trans-unit>'
    content = f'<x:xliff xmlns:x="urn:x" version="1.2">{unit}</x:xliff>'
    out = opened("one.xlf", content.encode()).write({0: '<x:g id="1">c</x:g>d'})
    assert b'</x:source><x:target><x:g id="1">c</x:g>d</x:target></x:trans-unit>' in out


@pytest.mark.parametrize(
    ("translation", "written"),
    [
        ("no markup <", "no markup &lt;"),
        ('<g id="1">a<b>b</b></g><x id="2"/>', '<g id="1">a<b>b</b></g><x id="2"/>'),
        ('<x id="2"/><x id="2"/>', '<x id="2"/>&lt;x id="2"/&gt;'),
        ('</g>a<g id="1">', '&lt;/g&gt;a&lt;g id="1"&gt;'),
        ('<g id="1">a', '&lt;g id="1"&gt;a'),
        ('<g id="1"><b>a</g></b>', '<g id="1">&lt;b&gt;a</g>&lt;/b&gt;'),
        ('<g id="2">a</g>', '&lt;g id="2"&gt;a&lt;/g&gt;'),
        ('<G id="1">a</G>', '&lt;G id="1"&gt;a&lt;/G&gt;'),
        ('<ph id="3">&lt;</ph>', '<ph id="3">&lt;</ph>'),
        ('<ph id="3"><</ph>', '&lt;ph id="3"&gt;&lt;&lt;/ph&gt;'),
        ("<!-- a --><![CDATA[b]]>", "&lt;!-- a --&gt;&lt;![CDATA[b]]&gt;"),
        ("&lt;\r\x00\x0b\ufffe\ud800z", "&amp;lt;&#13;\ufffd\ufffd\ufffd\ufffdz"),
    ],
)
def test_only_intact_markup_stays_markup(translation, written):
    # mrk, not b, would be the real name of the inner element; any name of those around text does.
    source = '<g id="1"><mrk>a</mrk></g><x id="2"/><ph id="3">&lt;</ph>'
    content = f'<xliff version="1.2"><trans-unit><source>{source}</source></trans-unit></xliff>'
    out = opened("one.xlf", content.encode()).write({0: translation.replace("b>", "mrk>")})
    assert f"</source><target>{written.replace('b>', 'mrk>').replace('b&gt;', 'mrk&gt;')}</target>" in out.decode()
    parsed(out)


SCRAPS = [
    '<g id="1">',
    "</g>",
    '<g id="2">',
    '<x id="3"/>',
    "<ph>a</ph>",
    "<ph>",
    "</ph>",
    "<mrk>",
    "</mrk>",
    "<",
    "&",
    "]]>",
    "a",
    "\r",
]
MARKUP = st.lists(st.sampled_from(SCRAPS) | st.text(max_size=4), max_size=20).map("".join)


@settings(max_examples=300, deadline=None)
@given(MARKUP.filter(str.strip))
def test_any_translation_is_well_formed_and_comes_back(translation):
    source = '<g id="1">a<g id="2">b</g></g><x id="3"/><ph>a</ph><mrk>c</mrk>'
    content = f'<xliff version="1.2"><trans-unit><source>{source}</source></trans-unit></xliff>'.encode()
    out = opened("one.xlf", content).write({0: translation})
    expected = re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", translation)
    again = opened("one.xlf", out).units[0]
    assert (again.translated, again.translation.text) == (True, expected)
    words = parsed(out).find(".//target").xpath(".//text()[not(ancestor::ph)]")
    assert again.translation.plain == "".join(words)
    assert set(again.translation.markup) <= {*SCRAPS[:5], "<mrk>", "</mrk>"}


def test_five_thousand_units_are_quick():
    unit = '<trans-unit id="{0}"><source>text <g id="1">{0}</g></source></trans-unit>'
    content = f'<xliff version="1.2"><file><body>{"".join(unit.format(n) for n in range(5_000))}</body></file></xliff>'
    began = time.process_time()
    document = open_document(Path("a.xlf"), content.encode())
    out = document.write({n: f'<g id="1">{n}</g> Text' for n in range(5_000)})
    assert time.process_time() - began < 2
    assert out.count(b"<target>") == 5_000
