"""Where the sentences of a text are. What must not be torn is kept whole, and tags stay with the sentence they mark."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from .spans import Span

LONGEST_BLOCK = 10_000  # characters; the library takes quadratic time on blank lines by the thousand
_WIDE_SPACE = re.compile(r"[^\S\x00-\x7f]")  # before a full stop the library (1.0.32) panics at it
_TAG = re.compile(r"<(?P<closes>/)?[^<>]*>")


def split_sentences(text: str, spans: Sequence[Span] = (), language: str = "en") -> list[tuple[int, int]]:
    """Where each sentence begins and ends; before, between and after them there is only white space.

    `language` is a code such as "de": abbreviations differ. `spans` are in order; no sentence ends inside one.
    """
    tags = {span.end: tag for span in spans if (tag := _TAG.fullmatch(text, span.start, span.end))}
    shown, place = [], 0
    for span in spans:  # a tag is no part of the language, anything else is like a name
        shown += [text[place : span.start], (" " if span.end in tags else "X") * (span.end - span.start)]
        place = span.end
    starts = [0]
    for start in _starts(_WIDE_SPACE.sub(" ", "".join([*shown, text[place:]])), language):
        number = bisect_right(spans, start, key=lambda span: span.start) - 1
        if number >= 0 and start < spans[number].end:
            start = spans[number].start
        starts.append(max(starts[-1], _before_opening_tags(text, start, tags)))
    found = []
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        content = text[start:end].strip()
        if content:
            start = text.index(content[0], start)
            found.append((start, start + len(content)))
    return found


def _starts(text: str, language: str) -> Iterator[int]:
    """Where the second, third ... sentence begins."""
    import sentencex  # type: ignore[import-untyped]  # here: it is native code, and few need it

    place = 0
    while place < len(text):
        block = text[place : place + LONGEST_BLOCK]
        if place + LONGEST_BLOCK < len(text):  # the last word may go on
            block = block[: max(map(block.rfind, " \n")) + 1] or block
        try:
            sentences = sentencex.segment(language, block)
        except BaseException as panic:  # of native code, which is no Exception; a text that is not split is no harm
            if type(panic).__name__ != "PanicException":
                raise
            sentences = [block]
        for sentence in sentences:
            if place and not sentence.isspace():
                yield place
            place += len(sentence)


def _before_opening_tags(text: str, place: int, tags: dict[int, re.Match[str]]) -> int:
    """Where the opening tags directly before a place begin."""
    while True:
        before = place
        while text[before - 1 : before].isspace():
            before -= 1
        tag = tags.get(before)
        if tag is None or tag["closes"]:
            return place
        place = tag.start()
