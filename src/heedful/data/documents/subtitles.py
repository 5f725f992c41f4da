"""SubRip (.srt) and WebVTT (.vtt): cues of a time line and lines of text, with a blank line between them."""

from __future__ import annotations

import html
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from .document import Document, Options, Original, Passage, Splice, Unit, decode, marked, one

Line = tuple[int, int]  # its characters [start, end), without the line end

BLANKS = " \t\r\f\v"
_SRT_TIME = r"-?[0-9]{1,9}:[0-9]{1,2}:[0-9]{1,2}(?:[,.:][0-9]{1,9})?"
_VTT_TIME = r"(?:[0-9]{1,9}:)?[0-9]{1,2}:[0-9]{1,2}[.,][0-9]{1,9}"
_SRT_TIMES = re.compile(rf"[ \t]*+{_SRT_TIME}[ \t]*+-->[ \t]*+{_SRT_TIME}(?:\s.*)?", re.DOTALL)
_VTT_TIMES = re.compile(rf"[ \t]*+{_VTT_TIME}[ \t]++-->[ \t]++{_VTT_TIME}(?:\s.*)?", re.DOTALL)
_SRT_TAG = re.compile(r"</?[A-Za-z][^<>]*+>|\{\\[^{}]*+\}")
_VTT_TAG = re.compile(r"<[^<>]*+>")
_VTT_REMARK = re.compile(r"(?:NOTE|STYLE|REGION)(?:\s|\Z)")
_DASH = re.compile(r"[-\u2010-\u2015]")  # another speaker begins


def read_srt(path: Path, content: bytes, options: Options) -> Document:
    """A unit for each cue, and for text behind a blank line within one: what people's files have."""
    original = _open(path, content)
    return _document(original, _srt_texts(original), False)


def read_vtt(path: Path, content: bytes, options: Options) -> Document:
    """A unit for each cue; the header and the blocks NOTE, STYLE and REGION stay as they are."""
    original = _open(path, content)
    if not re.match(r"WEBVTT(?:\s|\Z)", original.text):
        raise original.error(0, "the first line does not begin with WEBVTT; is the file WebVTT?")
    return _document(original, _vtt_texts(original), True)


def _open(path: Path, content: bytes) -> Original:
    mark, charset = marked(path, content)
    return decode(path, content, charset or "utf-8", mark)


def _blocks(original: Original) -> Iterator[list[Line]]:
    """Lines that no blank line parts."""
    block: list[Line] = []
    start = 0
    for line in original.text.split("\n"):
        if line.strip(BLANKS):
            block.append((start, start + len(line)))
        elif block:
            yield block
            block = []
        start += len(line) + 1
    if block:
        yield block


def _srt_texts(original: Original) -> Iterator[list[Line]]:
    """The lines of text of each cue, without its number and time line."""
    begun = False
    for block in _blocks(original):
        texts = [original.text[start:end] for start, end in block]
        times = [place for place, text in enumerate(texts) if _SRT_TIMES.fullmatch(text)]
        for before, following in zip([-1, *times], [*times, len(block)], strict=True):
            numbered = before + 1 < following < len(block) and texts[following - 1].strip(BLANKS).isdecimal()
            lines = block[before + 1 : following - numbered]
            if lines and not begun and before < 0:
                raise original.error(lines[0][0], "no time line like 00:00:01,000 --> 00:00:02,500 before this text")
            if lines:
                yield lines
        begun = begun or bool(times)


def _vtt_texts(original: Original) -> Iterator[list[Line]]:
    """The same for WebVTT, whose cues may have any line before the time line as their name."""
    for number, block in enumerate(_blocks(original)):
        texts = [original.text[start:end] for start, end in block]
        times = [place for place, text in enumerate(texts) if "-->" in text]
        wrong = next((place for place in times if not _VTT_TIMES.fullmatch(texts[place])), None)
        if wrong is None and number and not (times or _VTT_REMARK.match(texts[0])):
            wrong = 0
        if wrong is None and number and times and times[0] > 1:
            wrong = 1
        if wrong is not None:
            raise original.error(block[wrong][0], "a time line like 00:01.000 --> 00:02.500 should be here; mend it")
        for before, following in zip(times, [*times[1:], len(block)], strict=False):
            if before + 1 < following:
                yield block[before + 1 : following]


def _document(original: Original, cues: Iterator[list[Line]], web: bool) -> Document:
    units: list[Unit] = []
    splices: list[Splice] = []
    for lines in cues:
        source = _read([original.text[start:end].strip(BLANKS) for start, end in lines], web)
        if source.text.strip():
            units.append(Unit(*source, False, original.where(lines[0][0])))
            splices.append(_splice(original, len(units) - 1, lines, source, web))
    return Document(original, units, splices)


def _read(lines: list[str], web: bool) -> Passage:
    """The lines joined by spaces, and where its tags are."""
    joined, pieces, spans = " ".join(lines), list[str](), list[tuple[int, int]]()
    done = length = 0
    for match in (_VTT_TAG if web else _SRT_TAG).finditer(joined):
        before = joined[done : match.start()]
        pieces += [html.unescape(before) if web else before, match[0]]
        length += len(pieces[-2])
        spans.append((length, length + len(match[0])))
        length, done = length + len(match[0]), match.end()
    rest = joined[done:]
    return Passage("".join([*pieces, html.unescape(rest) if web else rest]), tuple(spans))


def _splice(original: Original, unit: int, lines: list[Line], source: Passage, web: bool) -> Splice:
    """A cue's text from its first character to its last, over as many lines as it has (or words, if fewer)."""
    texts = [original.text[start:end] for start, end in lines]
    start = lines[0][0] + len(texts[0]) - len(texts[0].lstrip(BLANKS))
    end = lines[-1][0] + len(texts[-1].rstrip(BLANKS))
    tag = _VTT_TAG if web else _SRT_TAG
    speakers = [bool(_DASH.match(tag.sub("", text).lstrip())) for text in texts]

    def render(translation: str) -> str:
        # A line end in a translation could be a blank line, which would end the cue.
        pieces = (piece.strip(BLANKS) for piece in re.split("[\r\n]+", translation))
        translation = " ".join(piece for piece in pieces if piece)
        if web:
            translation = _escaped(translation, Counter(source.markup))
        elif re.search(rf"{_SRT_TIME}[ \t]*+-->", translation):
            translation = translation.replace("-->", "->")  # no time line
        return original.newline.join(_folded(translation, tag, speakers))

    return Splice(start, end, one(unit), render)


def _escaped(translation: str, tags: Counter[str]) -> str:
    """Text for WebVTT, in which the tags of the source, each as often as there, stay tags."""
    pieces, done = [], 0
    for match in _VTT_TAG.finditer(translation):
        if tags[match[0]]:
            tags[match[0]] -= 1
            pieces += [html.escape(translation[done : match.start()], quote=False), match[0]]
            done = match.end()
    return "".join([*pieces, html.escape(translation[done:], quote=False)])


def _folded(text: str, tag: re.Pattern[str], speakers: list[bool]) -> list[str]:
    """Text over len(speakers) lines of nearly equal length, tags not counted.

    Lines are broken between words, never inside a tag; where the source's line begins with a dash (another speaker),
    before a dash if there is one.
    """
    places: list[int] = []  # of the spaces where a line may end
    widths: list[int] = []  # up to them, of what is seen
    hidden = 0
    for match in re.finditer(rf"{tag.pattern}|(?<=\S) (?=\S)", text):
        if match[0] == " ":
            places.append(match.start())
            widths.append(match.start() - hidden)
        else:
            hidden += len(match[0])
    dashes = [number for number, place in enumerate(places) if _DASH.match(text, place + 1)]
    width, lines, first, start = len(text) - hidden, min(len(speakers), len(places) + 1), 0, 0
    folded: list[str] = []
    for line in range(1, lines):
        goal, last = width * line / lines, len(places) - (lines - line)  # each line left needs a place
        among: Sequence[int] = range(first, last + 1)
        if speakers[line]:
            among = dashes[bisect_left(dashes, first) : bisect_left(dashes, last + 1)] or among
        near = bisect_left(among, goal, key=widths.__getitem__)
        best = min(among[max(0, near - 1) : near + 1], key=lambda number: abs(widths[number] - goal))
        folded.append(text[start : places[best]])
        first, start = best + 1, places[best] + 1
    return [*folded, text[start:]]
