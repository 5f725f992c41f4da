"""XML, read without trusting it and written without touching more than must be.

A parser first says whether the file is well-formed (no DOCTYPE, no entities, nothing nested deeper than DEEPEST); after
that a regular expression finds tags reliably, with their places in the text, which parsers do not give.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import UserError
from .document import REPLACEMENT, Original, Passage, Splice, decode, marked, one

DEEPEST = 200
# By name in the XML declaration: the codec. Others (UTF-7, EBCDIC ...) hide markup from whoever looks at the bytes.
ENCODINGS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "ascii",
    "iso-8859-1": "iso-8859-1",
    "windows-1252": "windows-1252",
}
# Inline elements with text to translate between their tags. All others are opaque: codes of the native format.
AROUND_TEXT = {"g", "hi", "mrk", "pc"}

_DECLARED = re.compile(r"<\?xml\s[^<>]*?\bencoding\s*=\s*[\"']([^\"'<>]*)[\"']")
_PROLOG = re.compile(r"(?:\s++|<\?.*?\?>|<!--.*?-->)*+", re.DOTALL)
# The name of a tag, and all after it; a value in quotes may hold ">" but never "<", so that no search runs far.
_TAG = r"<(?P<close>/?)(?P<name>[^\s/<>\"'=&!?]++)(?P<rest>(?:[^\"'<>]++|\"[^\"<]*+\"|'[^'<]*+')*+)>"
_TOKEN = re.compile(rf"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>|{_TAG}", re.DOTALL)
TAG = re.compile(_TAG)
_ATTRIBUTE = re.compile(r"([^\s=/\"'<>]++)\s*+=\s*+(\"[^\"]*+\"|'[^']*+')")
_REFERENCE = re.compile(r"&(?:#x([0-9a-fA-F]++)|#([0-9]++)|(amp|lt|gt|quot|apos));")
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_UNPRINTED = re.compile(r"<!--.*?-->|<\?.*?\?>|<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPACES = str.maketrans("\t\r\n", "   ")  # as XML reads attributes
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}


class Element:
    """An element and its places: [start, inside) is the start tag, [inner_end, end) the end tag (both end if empty).

    `tag` is the name with its prefix, `name` without.
    """

    __slots__ = (
        "_attributes",
        "_rest",
        "before",
        "children",
        "end",
        "inner_end",
        "inside",
        "kept",
        "name",
        "parent",
        "start",
        "tag",
    )

    def __init__(self, match: re.Match[str], parent: Element | None, before: int, wanted: str = "") -> None:
        self.tag, self._rest = match["name"], match["rest"]
        self.name = self.tag.rpartition(":")[2]
        self.parent, self.before = parent, before
        self.kept = self.name == wanted or (parent is not None and parent.kept)
        self.start, self.inside = match.span()
        self.inner_end = self.end = self.inside
        self.children: list[Element] = []
        self._attributes: dict[str, str] | None = None

    @property
    def attributes(self) -> dict[str, str]:
        """Names, with their prefixes, and values."""
        if self._attributes is None:
            found = _ATTRIBUTE.findall(self._rest)
            self._attributes = {name: unescape(value[1:-1].translate(_SPACES)) for name, value in found}
        return self._attributes

    def child(self, name: str) -> Element | None:
        """The first child of this name."""
        return next((child for child in self.children if child.name == name), None)

    def inherited(self, attribute: str) -> str | None:
        """The attribute of the nearest element around, this one included."""
        element: Element | None = self
        while element is not None:
            if attribute in element.attributes:
                return element.attributes[attribute]
            element = element.parent
        return None


def open_xml(path: Path, content: bytes) -> Original:
    """The text of an XML file that is well-formed and harmless; UserError otherwise."""
    mark, charset = marked(path, content)
    start = content[len(mark) : len(mark) + 4096].decode(charset or "latin-1", "replace")
    declared = _DECLARED.match(start)
    name = declared[1].lower() if declared else (charset or "utf-8")
    if mark:
        fits = name.startswith("utf-16") if charset != "utf-8" else ENCODINGS.get(name) == "utf-8"
    else:
        charset = ENCODINGS.get(name)
        fits = charset is not None
    if not fits or charset is None:
        raise UserError(
            f"{path}:1: the encoding {name[:40]!r} is not read, or its byte-order mark is another's; convert the file "
            "to UTF-8, for example with iconv -t utf-8, and say so in its first line"
        )
    original = decode(path, content, charset, mark, "xmlcharrefreplace")
    _check(original)
    return original


class _Depth:
    """What the parser calls: counts how deeply elements are nested."""

    def __init__(self, path: Path) -> None:
        self.path, self.depth = path, 0
        self.parser: Any = None  # expat, once it is there

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            line = self.parser.CurrentLineNumber
            raise UserError(f"{self.path}:{line}: elements are nested deeper than {DEEPEST}; no such file is read")

    def end(self, tag: str) -> None:
        self.depth -= 1

    def close(self) -> None:
        pass


def _check(original: Original) -> None:
    # Here, because it looks into the standard library's parser, which not every command needs.
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import DefusedXMLParser, ParseError

    path, text = original.path, original.text
    prolog = _PROLOG.match(text)
    first = prolog.end() if prolog else 0
    if text.startswith("<!", first):
        raise original.error(
            first, "a DOCTYPE (or entities) may read files or fill the memory; delete it, it is not needed"
        )
    depth = _Depth(path)
    parser = DefusedXMLParser(target=depth, forbid_dtd=True, forbid_entities=True)
    depth.parser = parser.parser
    try:
        parser.feed(text)
        parser.close()
    except ParseError as error:
        reason = str(error).partition(": line")[0]
        raise UserError(
            f"{path}:{error.position[0]}: not well-formed XML ({reason}); mend the file there, or export it again"
        ) from None
    except DefusedXmlException:
        raise UserError(f"{path}:1: DOCTYPE and entities are not read; delete them") from None


def root(original: Original) -> Element:
    """The outermost element; its end is not known."""
    match = next(match for match in _TOKEN.finditer(original.text) if match["name"])
    return Element(match, None, match.start())


def walk(original: Original, name: str) -> Iterator[Element]:
    """All elements of a name as they end, with what is in them; of what is around them, only start tags are known."""
    open_elements: list[Element] = []
    before = 0
    for match in _TOKEN.finditer(original.text):
        tag = match["name"]
        if tag is not None:
            if match["close"]:
                element = open_elements.pop()
                element.inner_end, element.end = match.span()
                parent = element.parent
            else:
                parent = open_elements[-1] if open_elements else None
                element = Element(match, parent, before, name)
                if not match["rest"].endswith("/"):
                    open_elements.append(element)
            if match["close"] or match["rest"].endswith("/"):
                if element.name == name:
                    yield element
                elif parent is not None and parent.kept:
                    parent.children.append(element)
        before = match.end()


def indentation(original: Original, element: Element) -> str:
    """The line end and blanks before an element that begins its line; else nothing."""
    found = re.search(r"\r?\n[ \t]*\Z", original.text[element.before : element.start])
    return found[0] if found else ""


def unescape(text: str) -> str:
    """References replaced by what they stand for."""
    if "&" not in text:
        return text

    def meaning(match: re.Match[str]) -> str:
        if match[3]:
            return _NAMED[match[3]]
        # Before the last seven digits, the parser saw to it, there are only zeros; int refuses very many.
        return chr(int(match[1], 16) if match[1] else int(match[2][-7:]))

    return _REFERENCE.sub(meaning, text)


def passage(original: Original, element: Element) -> Passage:
    """What an element holds, as people read it: comments left out, references resolved, inline elements as they are."""
    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    length = 0

    def add(piece: str, markup: bool) -> None:
        nonlocal length
        if piece:
            pieces.append(piece)
            if markup:
                spans.append((length, length + len(piece)))
            length += len(piece)

    def enter(element: Element) -> None:
        done = element.inside
        for child in element.children:
            add(_read(original.text[done : child.start]), False)
            if child.end > child.inside and _around_text(child):
                add(original.text[child.start : child.inside], True)
                enter(child)
                add(original.text[child.inner_end : child.end], True)
            else:
                add(original.text[child.start : child.end], True)
            done = child.end
        add(_read(original.text[done : element.inner_end]), False)

    enter(element)
    return Passage("".join(pieces), tuple(spans))


def _around_text(element: Element) -> bool:
    kept_as_is = element.attributes.get("translate") == "no" or element.attributes.get("mtype") == "protected"
    return element.name in AROUND_TEXT and not kept_as_is


def _read(raw: str) -> str:
    """Characters between tags."""
    raw = raw.replace("\r\n", "\n").replace("\r", "\n")
    if "<" not in raw:
        return unescape(raw)
    pieces, done = [], 0
    for match in _UNPRINTED.finditer(raw):
        pieces += [unescape(raw[done : match.start()]), match[1] or ""]
        done = match.end()
    return "".join([*pieces, unescape(raw[done:])])


def escape(text: str, newline: str = "\n") -> str:
    """Text for XML; characters that XML 1.0 does not allow become U+FFFD."""
    text = re.sub(r"[&<>\r]", lambda match: _ESCAPES[match[0]], _FORBIDDEN.sub(REPLACEMENT, text))
    return text if newline == "\n" else text.replace("\n", newline)


def attribute(value: str) -> str:
    """Text for an attribute in double quotes."""
    return escape(value).replace('"', "&quot;")


def render(translation: str, source: Passage, newline: str = "\n") -> str:
    """A translation as XML. The inline elements of the source stay markup where they are intact; all else is text.

    Intact: the same characters, not more often than in the source, and tags of one name properly nested. So the result
    is well-formed whatever the translation is.
    """
    if not source.protected:
        return escape(translation, newline)
    left = Counter(source.markup)
    sizes: dict[str, list[int]] = {}  # of the markup that begins with a tag, longest first
    for size, tag in sorted({(len(text), TAG.match(text)[0]) for text in left}, reverse=True):  # type: ignore[index]
        sizes.setdefault(tag, []).append(size)
    pieces: list[str] = []
    opened: list[tuple[str, int]] = []  # name, and which piece
    waiting: Counter[str] = Counter()
    done = 0

    def unopened() -> str:
        name, place = opened.pop()
        pieces[place] = escape(pieces[place], newline)
        waiting[name] -= 1
        return name

    for match in TAG.finditer(translation):
        start, name = match.start(), match["name"]
        found = (translation[start : start + size] for size in sizes.get(match[0], ()))
        literal = next((text for text in found if left[text]), "")
        if start < done or not literal or (match["close"] and not waiting[name]):
            continue
        left[literal] -= 1
        pieces += [escape(translation[done:start], newline), literal]
        done = start + len(literal)
        if match["close"]:
            while opened[-1][0] != name:
                unopened()
            waiting[opened.pop()[0]] -= 1
        elif literal == match[0] and not literal.endswith("/>"):
            opened.append((name, len(pieces) - 1))
            waiting[name] += 1
    while opened:
        unopened()
    return "".join([*pieces, escape(translation[done:], newline)])


def declarations(source: Element, target: Element | None = None) -> str:
    """Namespaces that the start tag of a source declares, for the target that takes over its inline elements."""
    names = (name for name in source.attributes if name == "xmlns" or name.startswith("xmlns:"))
    return "".join(
        f' {name}="{attribute(source.attributes[name])}"'
        for name in names
        if target is None or name not in target.attributes
    )


def filling(original: Original, unit: int, element: Element, source: Passage, extra: str = "") -> Splice:
    """How an element without text, or with a draft, gets the translation; `extra` goes into its start tag."""
    text = original.text
    if element.inside == element.end:  # <target/>
        cut = element.start + len(text[element.start : element.end - 2].rstrip())
        return Splice(
            cut,
            element.end,
            one(unit),
            lambda translation: f"{extra}>{render(translation, source, original.newline)}</{element.tag}>",
        )
    # Comments in a gap stay; a draft does not.
    remarks = text[element.inside : element.inner_end].strip() and not passage(original, element).text.strip()
    return Splice(
        element.inside - 1,
        element.inside if remarks else element.inner_end,
        one(unit),
        lambda translation: f"{extra}>{render(translation, source, original.newline)}",
    )
