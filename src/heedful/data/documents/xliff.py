"""XLIFF, the exchange format of translation tools: a <source> and its <target>, in versions 1.x and 2.x."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from . import markup
from .document import Document, Options, Original, Passage, Splice, Unit, one, related
from .markup import Element

# States of a <target> whose text is no finished translation: often a copy of the source, or last year's.
_UNFINISHED = {"new", "needs-translation", "needs-adaptation", "needs-l10n", "initial"}


class _Entry(NamedTuple):
    source: Element
    target: Element | None
    after: Element  # behind which a missing target goes
    draft: bool


def read(path: Path, content: bytes, options: Options) -> Document:
    """A unit for each <segment> (2.x), <trans-unit> or, where its target has such, <mrk mtype="seg"> (1.x)."""
    original = markup.open_xml(path, content)
    root = markup.root(original)
    version = root.attributes.get("version", "")[:1]
    if root.name != "xliff" or version not in ("1", "2"):
        raise original.error(root.start, 'the outermost element is not <xliff version="1.2"> or "2.0"; is it XLIFF?')
    units: list[Unit] = []
    splices: list[Splice] = []
    names = ("source-language", "target-language") if version == "1" else ("srcLang", "trgLang")
    for holder in markup.walk(original, "trans-unit" if version == "1" else "segment"):
        if holder.inherited("translate") == "no":
            continue
        for name, asked in zip(names, options[:2], strict=True):
            said = holder.inherited(name)
            if asked and said and not related(asked, said):
                raise original.error(holder.start, f"{name} is {said}, but {asked} was asked for; name {said}")
        for source, target, after, draft in _entries(original, holder):
            here, there = markup.passage(original, source), Passage("")
            if not here.text.strip():
                continue
            if target is not None:
                there = markup.passage(original, target)
            finished = bool(there.text.strip()) and not (draft and options.drafts)
            units.append(Unit(*here, finished, original.where(source.start), there))
            if not finished:
                splices.append(_splice(original, len(units) - 1, source, target, after, here))
    if version == "2" and options.target_language and "trgLang" not in root.attributes:
        # 2.x demands it as soon as there is a <target>.
        language = f' trgLang="{markup.attribute(options.target_language)}"'
        splices.append(Splice(root.inside - 1, root.inside - 1, range(len(units)), lambda *_: language))
    return Document(original, units, splices)


def _entries(original: Original, holder: Element) -> Iterator[_Entry]:
    source, target = holder.child("source"), holder.child("target")
    if source is None:
        raise original.error(holder.start, f"a <{holder.name}> without <source>; add the text, or delete it")
    draft = (target if holder.name == "trans-unit" and target else holder).attributes.get("state") in _UNFINISHED
    segmented = holder.child("seg-source")
    if segmented is not None and target is not None:
        sources, targets = _segments(segmented), _segments(target)
        if targets and targets.keys() <= sources.keys():
            for key, segment in targets.items():
                yield _Entry(sources[key], segment, segment, draft)
            return
    yield _Entry(source, target, segmented or source, draft)


def _segments(element: Element) -> dict[str, Element]:
    """The <mrk mtype="seg"> in an element, by their mid."""
    found: dict[str, Element] = {}
    for child in element.children:
        if child.name == "mrk" and child.attributes.get("mtype") == "seg":
            found[child.attributes.get("mid", "")] = child
        else:
            found |= _segments(child)
    return found


def _splice(
    original: Original, unit: int, source: Element, target: Element | None, after: Element, here: Passage
) -> Splice:
    if target is not None:
        return markup.filling(original, unit, target, here, markup.declarations(source, target))
    prefix = source.tag.removesuffix(source.name)
    opening = f"{markup.indentation(original, after)}<{prefix}target{markup.declarations(source)}>"
    closing = f"</{prefix}target>"
    return Splice(
        after.end,
        after.end,
        one(unit),
        lambda translation: opening + markup.render(translation, here, original.newline) + closing,
    )
