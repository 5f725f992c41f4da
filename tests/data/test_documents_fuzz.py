"""Damaged documents: a UserError of one line or a document, never a traceback or a hang; and what is filled, reads.

Every case is a function of its format and number, so that a failing one can be run again.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from document_examples import EXAMPLES, XML, gaps, opened
from lxml import etree

from heedful.data.documents import PAIR_FORMATS
from heedful.data.readers import FORMATS
from heedful.errors import UserError

CHARSETS = ("utf-16-le", "utf-16-be", "utf-16", "utf-32", "utf-7", "iso-8859-1", "cp037", "utf-8-sig", "shift_jis")
JUNK = [
    *(b"\x00", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\r", b"\n", b"\r\n", b"\n\n", b"\x0b", b" ", b"\\", b"\x1b$B"),
    *("\u2028\u0085\ufeff\ufffe\U0001f6b2".encode(), b"\xed\xa0\x80", b"a" * 5000, b" " * 5000, b"<" * 500, b"&#0;"),
    *(b'"', b'""', b"'", b"#", b"#~ ", b"#, fuzzy\n", b"msgid ", b"msgstr ", b'msgstr[1] ""', b"msgid_plural", b"\\x4"),
    *(
        b"<",
        b">",
        b"/>",
        b"</",
        b"<!--",
        b"-->",
        b"<![CDATA[",
        b"]]>",
        b"<?",
        b"?>",
        b"&",
        b"&amp;",
        b"&lol;",
        b"&#x1;",
    ),
    *(
        b"<!DOCTYPE x [",
        b"<!ENTITY a 'b'>",
        b"<g id='1'>",
        b"</g>",
        b"<x/>",
        b"<seg>",
        b"</seg>",
        b"<tu>",
        b"<target/>",
    ),
    *(b"<source>", b"<segment/>", b' xml:lang="de"', b' translate="no"', b' xmlns:a="b"', b"<a:b/>", b"encoding='zip'"),
    *(b"00:00:01,000 --> 00:00:02,000", b"00:01.000 --> 00:02.000", b"1\n", b"WEBVTT", b"NOTE", b"{\\an8}", b"<i>"),
]
# What a model may say.
SAID = [
    *("", " ", "\n", "x", "a b c d e f", "\n\nb\n", "- a - b", "WEBVTT", "#", '"\\', "é\u2028", "\x00\x01\ud800\ufffe"),
    *(
        '<g id="1">b</g>',
        '</g><g id="1">',
        '<x id="2"/>',
        "&lt;&",
        "]]>",
        "<i>",
        "-->",
        "00:00:01,000 --> 00:00:02,000",
    ),
]


def damaged(content: bytes, chance: random.Random) -> bytes:
    """The content after one to four accidents."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 4))):
        kind, place = chance.randrange(8), chance.randrange(len(data) + 1)
        end = place + chance.randrange(1, 60)
        if kind == 0 and place < len(data):
            data[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            del data[place:end]
        elif kind == 3:
            data[place:place] = data[place:end] * chance.choice((1, 1, 2, 300))
        elif kind == 4:
            data[place:place] = chance.randbytes(chance.randrange(1, 9))
        elif kind == 5 and chance.random() < 0.3:
            text = bytes(data).decode("utf-8", "replace")
            data = bytearray(text.encode(chance.choice(CHARSETS), "replace"))
        elif kind == 6:
            lines = bytes(data).split(b"\n")
            chance.shuffle(lines)
            data = bytearray(b"\n".join(lines) if chance.random() < 0.2 else data)
        else:
            data[place : place + chance.choice((0, 0, 3))] = chance.choice(JUNK)
    return bytes(data)


def outcome(name: str, action: Callable[[], Any]) -> Any:
    """What the action gives, in less than a second; a UserError of one line that says where is None."""
    began, problem = time.process_time(), ""
    try:
        found = action()
    except UserError as error:
        found, problem = None, str(error)
    assert time.process_time() - began < 1
    assert not problem or re.match(rf"[^\n]*{re.escape(name)}:\d+: [^\n]+\Z", problem)
    return found


def well_formed(content: bytes) -> bool:
    try:
        etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True))
    except etree.XMLSyntaxError:
        return False
    return True


def check(name: str, number: int, folder: Path) -> bool:
    """Whether the damaged file could still be read."""
    chance = random.Random(f"{name} {number}")  # a str is hashed the same way in every process
    content = damaged(EXAMPLES[name], chance)
    document = outcome(name, lambda: opened(name, content, drafts=chance.random() < 0.3))
    if (folder / name).suffix in PAIR_FORMATS:
        (folder / name).write_bytes(content)
        pairs = outcome(name, lambda: list(FORMATS[(folder / name).suffix](folder / name)))
        assert document is not None or pairs is None or name == "a.tmx"  # which may not have the language that is asked
    if document is None:
        return False
    assert document.write({}) == content
    said = {gap: chance.choice(SAID) for gap in gaps(document)}
    out = outcome(name, lambda: document.write(said))
    if out is None:  # an old charset
        assert name == "a.po"
        return True
    if name in XML:  # as well-formed as before; this parser also wants namespaces to be URIs
        assert well_formed(out) or not well_formed(content)
    again = opened(name, out)
    assert len(again.units) == len(document.units)
    if name in (*XML, "a.po"):
        assert [unit[:2] for unit in again.units] == [unit[:2] for unit in document.units]
        assert all(again.units[gap].translated for gap, text in said.items() if text.strip())
    return True


@pytest.mark.parametrize("name", EXAMPLES)
def test_damaged_files(name, tmp_path):
    read = sum(check(name, number, tmp_path) for number in range(300))
    assert 20 < read < 300  # both ways are tried


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_damaged_files_at_length(name, tmp_path):
    read = sum(check(name, number, tmp_path) for number in range(300, 10_300))
    print(f"{name}: 10000 files, {read} of them read")


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_beginning_of_a_file(name):
    for length in range(0, len(EXAMPLES[name]), 3):
        content = EXAMPLES[name][:length]
        document = outcome(name, lambda content=content: opened(name, content))
        assert document is None or document.write({}) == content


@pytest.mark.parametrize("name", EXAMPLES)
def test_wrong_numbers_are_our_mistake(name):
    document = opened(name)
    for number in (-1, len(document.units)):
        with pytest.raises(ValueError, match="there is no unit"):
            document.write({number: "x"})
    for number, unit in enumerate(document.units):
        if unit.translated:
            with pytest.raises(ValueError, match="there is no unit"):
                document.write({number: "x"})
