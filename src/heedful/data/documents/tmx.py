"""TMX, the exchange format of translation memories: a <tu> holds one text in several languages, a <tuv> for each."""

from __future__ import annotations

from pathlib import Path

from . import markup
from .document import Document, Options, Original, Passage, Splice, Unit, nearest, one, related
from .markup import Element


def read(path: Path, content: bytes, options: Options) -> Document:
    """A unit for each <tu> that has the source language; a missing <tuv> of the target goes behind that of the source.

    Source: as asked, else the header's srclang, else the first language. Target: as asked, else the only other one.
    """
    original = markup.open_xml(path, content)
    if markup.root(original).name != "tmx":
        raise original.error(0, "the outermost element is not <tmx>; is it another format under a wrong name?")
    source = options.source_language or _header_language(original)
    target = options.target_language
    if source is None or target is None:
        source, target = _languages(original, source, target)
    units: list[Unit] = []
    splices: list[Splice] = []
    for tu in markup.walk(original, "tu"):
        texts = _texts(original, tu)
        spoken = nearest(source, list(texts))
        if spoken is None:
            continue
        variant, segment = texts.pop(spoken)
        here, there = markup.passage(original, segment), Passage("")
        if not here.text.strip():
            continue
        filled = nearest(target, list(texts))
        if filled is not None:
            there = markup.passage(original, texts[filled][1])
        units.append(Unit(*here, bool(there.text.strip()), original.where(segment.start), there))
        if filled is None:
            splices.append(_insertion(original, len(units) - 1, variant, segment, here, target))
        elif not units[-1].translated:
            namespaces = markup.declarations(segment, texts[filled][1])
            splices.append(markup.filling(original, len(units) - 1, texts[filled][1], here, namespaces))
    if not units:
        _refuse_without(original, source)
    return Document(original, units, splices)


def _header_language(original: Original) -> str | None:
    header = next(markup.walk(original, "header"), None)
    language = header.attributes.get("srclang") if header else None
    return None if language in (None, "", "*all*") else language


def _languages(original: Original, source: str | None, target: str | None) -> tuple[str, str]:
    """Source and target, where the file leaves one answer."""
    other = target
    for variant in markup.walk(original, "tuv"):
        language = _language(original, variant)
        if source is None and (target is None or not related(language, target)):
            source = language
        if source is None:
            continue
        if target is None and not related(language, source):
            other = other or language
            if not related(language, other):
                raise original.error(
                    variant.start,
                    f"the file has {language} besides {source} and {other}; name source and target language",
                )
    if source is None or other is None:
        raise original.error(0, f"the file has no language but {source or 'none'}; name the target language")
    return source, other


def _refuse_without(original: Original, source: str) -> None:
    """No unit at all is a mistake where the file has texts, but none in the source language."""
    found = {_language(original, variant): variant.start for variant in markup.walk(original, "tuv")}
    if found and nearest(source, list(found)) is None:
        names = ", ".join(list(found)[:20])
        raise original.error(0, f"nothing is in the source language {source}; name one that the file has: {names}")


def _language(original: Original, variant: Element) -> str:
    language = variant.attributes.get("xml:lang") or variant.attributes.get("lang")
    if not language:
        raise original.error(variant.start, "a <tuv> without xml:lang; say its language")
    return language


def _texts(original: Original, tu: Element) -> dict[str, tuple[Element, Element]]:
    """The <tuv> and its <seg> for each language; the first of several in one language."""
    texts: dict[str, tuple[Element, Element]] = {}
    for variant in tu.children:
        if variant.name == "tuv":
            segment = variant.child("seg")
            if segment is None:
                raise original.error(variant.start, "a <tuv> without <seg>; add the text, or delete the <tuv>")
            texts.setdefault(_language(original, variant), (variant, segment))
    return texts


def _insertion(
    original: Original, unit: int, variant: Element, segment: Element, source: Passage, language: str
) -> Splice:
    """A new <tuv> behind that of the source, laid out like it."""
    attribute = "xml:lang" if "xml:lang" in variant.attributes else "lang"
    before = markup.indentation(original, variant)
    opening = f'{before}<{variant.tag} {attribute}="{markup.attribute(language)}">'
    opening += markup.indentation(original, segment) + f"<{segment.tag}{markup.declarations(segment)}>"
    after = original.text[segment.end : variant.inner_end]
    closing = f"</{segment.tag}>{after if not after.strip() else ''}</{variant.tag}>"
    return Splice(
        variant.end,
        variant.end,
        one(unit),
        lambda translation: opening + markup.render(translation, source, original.newline) + closing,
    )
