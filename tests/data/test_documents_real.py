"""Real files: the catalogues of installed packages, and their texts as TMX, XLIFF and subtitles.

Not a byte outside the translations may change. That is checked without the writer's own idea of where they are: each
translation is a mark that occurs nowhere else, and taking out the marks has to give the file as it was.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from babel.messages import mofile, pofile
from document_examples import gaps
from lxml import etree

from heedful.data.documents import Document, open_document
from heedful.errors import UserError

PLACES = [Path(place) for place in (sys.prefix, sys.base_prefix, "/usr/share/locale", "/usr/lib/python3", "/usr/share")]
MARK = rb"@@\d+@@"


@cache
def installed(suffix: str) -> list[Path]:
    """The files of a suffix on this computer, each once."""
    return sorted({file.resolve() for place in PLACES for file in place.rglob(f"*{suffix}") if file.is_file()})


def thinned(files: list[Path], count: int) -> list[Path]:
    """At most `count` of the files, from all over the list."""
    return files[:: max(1, len(files) // count)][:count]


def catalogue(compiled: Path, gaps: bool = True) -> bytes | None:
    """A PO file of a compiled catalogue, every second translation missing (or none); None if it is broken."""
    try:
        catalog = mofile.read_mo(io.BytesIO(compiled.read_bytes()))
    except (OSError, UnicodeError, ValueError, LookupError, TypeError, IndexError):
        return None
    for number, message in enumerate(catalog):
        if isinstance(message.context, bytes):  # Babel decodes only the texts
            message.context = message.context.decode(catalog.charset)
        if gaps and number % 2 and message.id:
            message.string = ("",) * catalog.num_plurals if message.pluralizable else ""
    out = io.BytesIO()
    pofile.write_po(out, catalog)
    return out.getvalue()


def catalogues(count: int) -> Iterator[tuple[Path, bytes]]:
    """PO files as they are, and others made of compiled ones."""
    for file in thinned(installed(".po"), count):
        yield file, file.read_bytes()
    for file in thinned(installed(".mo"), count):
        content = catalogue(file)
        if content is not None:
            yield file.with_suffix(".po"), content


def marks(document: Document) -> dict[int, str]:
    return {number: f"@@{number}@@" for number in gaps(document)}


def only_marks(content: bytes, document: Document, taken: bytes, left: bytes = b"") -> None:
    """The document filled with marks is the file again, once they are taken out."""
    out = document.write(marks(document))
    assert len(re.findall(MARK, out)) == len(gaps(document))
    kept, lines = iter(content.split(b"\n")), re.sub(taken, left, out).split(b"\n")
    line = next(kept)
    for found in lines:
        if found == line:
            line = next(kept, None)
        else:  # a plural form that the header demands and the file did not have
            assert re.fullmatch(rb'msgstr\[\d+\] ""\r?', found), (found, line)
    assert line is None


def check_catalogues(count: int) -> tuple[int, int]:
    files = filled = refused = 0
    for file, content in catalogues(count):
        try:
            document = open_document(file, content)
        except UserError:  # somebody's broken file; there are few
            refused += 1
            continue
        assert document.write({}) == content, file
        lines = rb'(?:""\r?\n"\\n"\r?\n)?"' + MARK + rb'(?:\\n)?"'
        only_marks(content, document, lines, b'""')
        # What was filled is there, and is the same again.
        texts = {number: document.units[number].text for number in gaps(document)}
        out = document.write(texts)
        again = open_document(file, out)
        assert gaps(again) == [], file
        assert [again.units[number].translation.text for number in texts] == list(texts.values()), file
        assert again.write({}) == out, file
        files, filled = files + 1, filled + len(texts)
    assert refused <= files // 10
    return files, filled


def test_catalogues_keep_every_other_byte():
    files, filled = check_catalogues(30)
    if not files:
        pytest.skip("no .po or .mo is installed")
    assert filled > files


@pytest.mark.slow
def test_all_catalogues_keep_every_other_byte():
    files, filled = check_catalogues(10**6)
    print(f"{files} files, {filled} translations")


@pytest.mark.skipif(shutil.which("msgfmt") is None, reason="gettext is not installed")
def test_msgfmt_takes_what_it_took_before(tmp_path):
    taken = 0
    for file, content in catalogues(8):

        def accepts(content: bytes) -> bool:
            (tmp_path / "a.po").write_bytes(content)
            command = ["msgfmt", "-c", "-o", "a.mo", "a.po"]
            return subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60).returncode == 0

        if accepts(content):
            document = open_document(file, content)
            assert accepts(document.write({number: document.units[number].text for number in gaps(document)})), file
            taken += 1
    if not taken:
        pytest.skip("no .po or .mo that msgfmt takes is installed")


@cache
def texts(count: int = 3000) -> list[tuple[str, str]]:
    """Real pairs of texts, with all the characters that people use."""
    found: list[tuple[str, str]] = []
    for file in thinned(installed(".mo"), 60):
        content = catalogue(file, gaps=False)
        if content is not None and len(found) < count:
            units = open_document(Path("a.po"), content).units[:100]
            found += [(unit.text, unit.translation.text) for unit in units if unit.translated]
    return [(s, t) for s, t in found if not re.search("[^\t\n\r\x20-\ud7ff\ue000-\ufffd]", s + t)]


def built(name: str, newline: str) -> bytes:
    """A file in which every third text has no translation; another library writes it."""
    pairs = texts()
    if not pairs:
        pytest.skip("no .mo is installed")
    versions = {
        "a.tmx": {"version": "1.4"},
        "a.xlf": {"version": "1.2"},
        "a.xliff": {"version": "2.0", "trgLang": "de"},
    }
    top = etree.Element("tmx" if name == "a.tmx" else "xliff", versions[name])
    around = etree.SubElement(top, "body" if name == "a.tmx" else "file")
    for number, (source, target) in enumerate(pairs):
        if name == "a.tmx":
            entry = etree.SubElement(around, "tu", tuid=str(number))
            holders = [etree.SubElement(entry, "tuv", {"{http://www.w3.org/XML/1998/namespace}lang": "en"})]
            holders += [etree.SubElement(entry, "tuv", lang="de")] if number % 3 else []
            names = ["seg", "seg"]
        else:
            entry = etree.SubElement(around, "trans-unit" if name == "a.xlf" else "unit", id=str(number))
            holder = entry if name == "a.xlf" else etree.SubElement(entry, "segment")
            holders, names = [holder] * (2 if number % 3 else 1), ["source", "target"]
        for holder, tag, text in zip(holders, names, (source, target), strict=False):
            etree.SubElement(holder, tag).text = text
    return etree.tostring(top, encoding="utf-8", xml_declaration=True, pretty_print=True).replace(
        b"\n", newline.encode()
    )


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["a.tmx", "a.xlf", "a.xliff"])
def test_real_texts_in_xml(name, newline):
    content = built(name, newline)
    document = open_document(Path(name), content, source_language="en", target_language="de")
    pairs = [(source, target) for source, target in texts() if source.strip()]
    assert [unit.text.replace("\r\n", "\n") for unit in document.units] == [s.replace("\r\n", "\n") for s, _ in pairs]
    assert document.write({}) == content
    inside = rb"<tuv xml:lang=\"de\">\s*<seg>%s</seg>\s*</tuv>" if name == "a.tmx" else rb"<target>%s</target>"
    only_marks(content, document, rb"\r?\n[ ]*" + inside % MARK)
    translations = {number: unit.text for number, unit in enumerate(document.units) if not unit.translated}
    out = document.write(translations)
    found = etree.fromstring(out, etree.XMLParser(resolve_entities=False))
    tag = ".//tuv[2]/seg" if name == "a.tmx" else ".//target"
    values = {element.text for element in found.findall(tag)}
    assert set(translations.values()) <= values
    again = open_document(Path(name), out, source_language="en", target_language="de")
    assert gaps(again) == []
    assert [again.units[number].translation.text for number in translations] == list(translations.values())


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["a.srt", "a.vtt"])
def test_real_texts_in_subtitles(name, newline):
    lines = [re.sub(r"\s+", " ", re.sub(r"[<>&{}]|-->", " ", text)).strip() for text, _ in texts()]
    lines = [line for line in lines if line and not line.isdecimal()]
    if not lines:
        pytest.skip("no .mo is installed")
    comma = "," if name == "a.srt" else "."
    cues = [f"{n}\n00:00:01{comma}000 --> 00:00:02{comma}000\n{line}\n\n" for n, line in enumerate(lines, 1)]
    content = (("" if name == "a.srt" else "WEBVTT\n\n") + "".join(cues)).replace("\n", newline).encode()
    document = open_document(Path(name), content)
    assert [unit.text for unit in document.units] == lines
    assert document.write({}) == content
    out = document.write(marks(document))
    for number in range(len(lines)):
        lines[number] = f"@@{number}@@"
    cues = [f"{n}\n00:00:01{comma}000 --> 00:00:02{comma}000\n{line}\n\n" for n, line in enumerate(lines, 1)]
    assert out == (("" if name == "a.srt" else "WEBVTT\n\n") + "".join(cues)).replace("\n", newline).encode()
