"""Texts with spans cut out and placeholder tokens in their place: for training, for translating, and the way back.

White space around a placeholder is no part of what the model reads: it sees whole words, as everywhere else, and the
source says what stood around a span. So a word after `<b>` is the token that it is after a space, and what a
translation needs of space around a placeholder follows from the source and from the words it came to stand between.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from .pipeline import placeholder
from .spans import SPACELESS, Span, find, touching
from .tokenizer import Tokenizer

_SPACELESS = re.compile(f"[{SPACELESS}]")
MOST_PROBLEMS = 20  # that are looked into and told of one text
_TAG = re.compile(r"<(/?)([A-Za-z\d][\w:.-]*+)[^<>]*?(/?)>")


class Marked(NamedTuple):
    """texts[0], placeholder numbers[0], texts[1], ..., texts[-1]; placeholders are numbered from 1."""

    texts: tuple[str, ...]
    numbers: tuple[int, ...] = ()


class Masked(NamedTuple):
    """A text with placeholder 1 in the place of originals[0], and so on."""

    marked: Marked
    originals: tuple[str, ...]

    @property
    def whole(self) -> str:
        """The text, with every span as it is to stand in a translation."""
        pairs = zip(("", *self.originals), self.marked.texts, strict=True)
        return "".join(part for pair in pairs for part in pair)

    def groups(self, most: int) -> list[Masked]:
        """The same in parts of at most `most` placeholders each; all but the last end with one."""
        parts = []
        for first in range(0, max(1, len(self.originals)), most):
            last = min(first + most, len(self.originals))
            tail = self.marked.texts[last] if last == len(self.originals) else ""
            texts = (*self.marked.texts[first:last], tail)
            parts.append(Masked(Marked(texts, tuple(range(1, len(texts)))), self.originals[first:last]))
        return parts


def mask(text: str, spans: Sequence[Span]) -> Masked:
    """A text without its spans, which are in order. Those that touch share a placeholder."""
    together = touching(spans)
    ends = zip([0, *(span.end for span in together)], [*(span.start for span in together), len(text)], strict=True)
    texts = tuple(text[start:end] for start, end in ends)
    return Masked(Marked(texts, tuple(range(1, len(texts)))), tuple(span.text for span in together))


def words(tokenizer: Tokenizer, text: str | Marked) -> list[str]:
    """As `Tokenizer.words`; a placeholder is a word of its own."""
    found = []
    for number, content, goes_on in _parts(text):
        found += [placeholder(number)] if number else []
        found += tokenizer.words(content, inside=goes_on) if content else []
    return found


def encode(tokenizer: Tokenizer, text: str | Marked) -> list[int]:
    """The ids of a text with placeholders."""
    return encode_many(tokenizer, [text])[0]


def encode_many(tokenizer: Tokenizer, texts: Sequence[str | Marked]) -> list[list[int]]:
    """`encode` for each text."""
    parts = [[(0, text, False)] if isinstance(text, str) else list(_parts(text)) for text in texts]
    contents = [content for own in parts for _, content, goes_on in own if not goes_on]
    encoded = iter(tokenizer.encode_many(contents) if len(contents) > 1 else map(tokenizer.encode, contents))
    rows = []
    for own in parts:
        row: list[int] = []
        for number, content, goes_on in own:
            row += [tokenizer.placeholders[number - 1]] if number else []
            row += tokenizer.encode_inside(content) if goes_on else next(encoded)
        rows.append(row)
    return rows


def _parts(text: str | Marked) -> Iterator[tuple[int, str, bool]]:
    """The number of a placeholder (0: none), the text after it, and whether that goes on without a space.

    A word that begins here is the token that it is after a space; "." in "{name}." is the one that it is after a word.
    """
    if isinstance(text, str) or not text.numbers:
        yield 0, text if isinstance(text, str) else text.texts[0], False
        return
    for piece, number in zip(text.texts, (0, *text.numbers), strict=True):
        content = piece.strip()
        joined = bool(number and content) and not piece[0].isspace()
        yield number, content, joined and (_spaceless(content[0]) or not content[0].isalnum())


def read(tokenizer: Tokenizer, ids: Sequence[int]) -> Marked:
    """The text of ids; `texts` after a placeholder begin with a space where the tokens say so."""
    numbers = {token: number for number, token in enumerate(tokenizer.placeholders, 1)}
    places = [place for place, token in enumerate(ids) if token in numbers]
    ends = zip([0, *(place + 1 for place in places)], [*places, len(ids)], strict=True)
    texts = tuple(tokenizer.decode(ids[start:end], inside=start > 0) for start, end in ends)
    return Marked(texts, tuple(numbers[ids[place]] for place in places))


def legible(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The text of ids for a reader, with ⟨1⟩ for placeholder 1."""
    marked = read(tokenizer, ids)
    return marked.texts[0] + "".join(f"⟨{n}⟩{text}" for n, text in zip(marked.numbers, marked.texts[1:], strict=True))


def restore(source: Masked, target: Marked) -> str:
    """The translation `target` of `source` with the originals in place and white space around them as in the source."""
    result = [target.texts[0].strip()]
    for place, (number, after) in enumerate(zip(target.numbers, target.texts[1:], strict=True)):
        before = target.texts[place].rstrip()
        if before.strip():
            result.append(_left(source, number, before, starts=place == 0))
        elif place:
            result.append(_between(source, target.numbers[place - 1], number))
        result.append(source.originals[number - 1])
        if after.strip():
            result.append(_right(source, number, after))
            result.append(after.strip())
    return "".join(result)


def in_order(source: Masked, target: Marked) -> Marked:
    """The translation with tags in the source's order where they are not nested as well as there; else as it is."""
    order = [source.originals[number - 1] for number in target.numbers]
    if _unmatched("".join(order)) <= _unmatched("".join(source.originals)):
        return target
    tagged = iter(sorted(number for number in target.numbers if _TAG.search(source.originals[number - 1])))
    numbers = [next(tagged) if _TAG.search(source.originals[number - 1]) else number for number in target.numbers]
    return Marked(target.texts, tuple(numbers))


def lost(source: str, translation: str) -> list[str]:
    """What is wrong with the spans of a translation, a few words each; nothing: all are there, and as in the source."""
    before, after = find(source), find(translation)
    if not before and not after:
        return []
    counts, found = Counter(span.text for span in before), Counter(span.text for span in after)
    differing = dict.fromkeys([*(counts - found), *(found - counts)])
    if len(differing) > MOST_PROBLEMS:
        return [f"{len(differing)} spans are missing or new"]
    # Among other words a span may be found otherwise; what differs is counted as it stands.
    often = ((text, source.count(text), translation.count(text)) for text in differing)
    problems = [
        f"{shown(text)} is {'missing' if there < here else 'new'}" for text, here, there in often if here != there
    ]
    if not problems:
        if _unmatched("".join(s.text for s in after)) > _unmatched("".join(s.text for s in before)):
            problems.append("tags are not nested")
        unnumbered = [[s.text for s in spans if _takes_the_next(s)] for spans in (before, after)]
        if unnumbered[0] != unnumbered[1]:
            problems.append(f"{shown(' '.join(dict.fromkeys(unnumbered[0])))} changed their order")
    return problems


def shown(text: str) -> str:
    """A span in a message: short, and nothing that a terminal would obey."""
    clean = "".join(character if character.isprintable() else "\ufffd" for character in text[:60])
    return clean + "…" * (len(text) > 60)


def _takes_the_next(span: Span) -> bool:
    """Whether a program puts its next value here, so that the order of such spans says what is what."""
    return span.text == "{}" or (span.kind == "printf" and not re.search(r"\$|^%[(%]|^%L?\d+$", span.text))


def _unmatched(text: str) -> int:
    """How many tags of a text have no partner, where pairs do not cross."""
    opened: list[str] = []
    waiting: Counter[str] = Counter()
    alone = 0
    for closes, name, empty in _TAG.findall(text):
        if empty:
            continue
        if not closes:
            opened.append(name)
            waiting[name] += 1
        elif not waiting[name]:
            alone += 1
        else:
            while (last := opened.pop()) != name:
                waiting[last] -= 1
                alone += 1
            waiting[name] -= 1
    return alone + len(opened)


# ---- white space around a placeholder ------------------------------------------------------------------------------


def _spaceless(character: str) -> bool:
    return _SPACELESS.match(character) is not None


def _opens(original: str) -> bool:
    """Whether a tag opens at the end of a span: what follows belongs to it."""
    tags = list(_TAG.finditer(original))
    return bool(tags) and tags[-1].end() == len(original) and not tags[-1][1] and not tags[-1][3]


def _closes(original: str) -> bool:
    tag = _TAG.match(original)
    return tag is not None and tag[1] == "/"


def _ends_a_word(character: str) -> bool:
    """Whether a space is usual between a character and a word after it."""
    return character.isalnum() or character in ".,;:!?…%" or unicodedata.category(character) in ("Pe", "Pf")


def _begins_quote(text: str, starts: bool) -> bool:
    """Whether a text ends with a bracket or quotation mark that opens."""
    last = text[-1]
    if last in "\"'":
        return text[-2].isspace() if len(text) > 1 else starts
    return unicodedata.category(last) in ("Ps", "Pi") or last in "„‚¿¡"


def _left(source: Masked, number: int, before: str, starts: bool) -> str:
    """What stands between a text and the placeholder after it."""
    own = source.marked.texts[number - 1]
    content = own.rstrip()
    space = own[len(content) :]
    if before[-1] == content[-1:]:
        return space
    beside = content[-1:] if not space else ""
    original = source.originals[number - 1]
    if beside.isalnum() and not _spaceless(beside) and original[0] in "<&":  # in the midst of a word, as "&shy;"
        return ""
    if beside and (_closes(original) or not (beside.isalnum() or _ends_a_word(before[-1]))):
        return ""
    if _spaceless(before[-1]) or _begins_quote(before, starts):
        return ""
    return space or " "


def _right(source: Masked, number: int, after: str) -> str:
    """What stands between a placeholder and the text after it, which begins with a space if its tokens do."""
    own = source.marked.texts[number]
    content = own.lstrip()
    space = own[: len(own) - len(content)]
    first = after.lstrip()[0]
    if first == content[:1]:
        return space
    beside = content[:1] if not space else ""
    original = source.originals[number - 1]
    if beside and _opens(original):
        return ""
    if not first.isalnum():
        return (space or " ") if after[0].isspace() else ""
    if beside.isalnum() and not _spaceless(beside) and original[-1] in ">;":
        return ""
    if _spaceless(first):
        return ""
    return space or " "


def _between(source: Masked, first: int, second: int) -> str:
    """What stands between two placeholders side by side."""
    own = source.marked.texts[first]
    if second == first + 1 and not own.strip():
        return own
    return "" if _opens(source.originals[first - 1]) or _closes(source.originals[second - 1]) else " "


def side_by_side(texts: Iterable[Marked]) -> Marked:
    """Translations of the parts of a text as one, with spaces between."""
    joined: list[str] = []
    numbers: list[int] = []
    for text in texts:
        before = [f"{joined.pop()} "] if joined else [""]
        joined += [before[0] + text.texts[0], *text.texts[1:]]
        numbers += text.numbers
    return Marked(tuple(joined), tuple(numbers))
