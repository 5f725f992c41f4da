"""Where translations differ from the reference, word by word, as marked text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from ..measure.words import pieces
from .render import Markup, escape

# Comparing takes time that grows with the square of the length; beyond this a line is shown without marks.
MOST_PIECES = 150
MOST_CHARACTERS = 1500


class Marked(NamedTuple):
    """A reference and hypotheses as HTML: `<u>` for words of the reference that no hypothesis has, `<mark>` for words
    that the reference has not, `<b>` for words of the reference that this hypothesis alone has."""

    reference: Markup
    hypotheses: list[Markup]


def mark(reference: str, hypotheses: Sequence[str], fold: Callable[[str], str] = str) -> Marked:
    """Words are compared after `fold`; punctuation beside a word is compared by itself. All text is escaped."""
    texts = (reference, *hypotheses)
    lines = [_cut(text) for text in texts] if max(map(len, texts)) <= MOST_CHARACTERS else []
    if not lines or max(map(len, lines)) > MOST_PIECES:
        return Marked(plain(reference), [plain(line) for line in hypotheses])
    wanted, *written = ([fold(piece) for _, piece in line] for line in lines)
    # For each hypothesis: which of its pieces stands for which piece of the reference.
    found = [_matches(line, wanted) for line in written]
    by_anyone = set().union(*(pairs.values() for pairs in found))
    marked = []
    for number, (line, pairs) in enumerate(zip(lines[1:], found, strict=True)):
        elsewhere = set().union(*(other.values() for place, other in enumerate(found) if place != number))
        alone = [len(found) > 1 and pairs.get(place, -1) not in elsewhere for place in range(len(line))]
        tags = ["mark" if place not in pairs else "b" if alone[place] else "" for place in range(len(line))]
        marked.append(_html(line, tags))
    return Marked(_html(lines[0], ["" if place in by_anyone else "u" for place in range(len(lines[0]))]), marked)


def plain(text: str) -> Markup:
    """Text without marks, cut if it is very long."""
    if not text.strip():
        return Markup("<i>(empty)</i>")
    if len(text) <= MOST_CHARACTERS:
        return Markup(escape(text))
    rest = len(text) - MOST_CHARACTERS
    return Markup(f"{escape(text[:MOST_CHARACTERS])}… <i>({rest:,} more characters)</i>")


def _cut(line: str) -> list[tuple[str, str]]:
    """Pieces of a line, each (space before it, piece)."""
    return [
        (" " if place and not inside else "", piece.text)
        for place, chunk in enumerate(line.split())
        for inside, piece in enumerate(pieces(chunk))
    ]


def _matches(written: list[str], wanted: list[str]) -> dict[int, int]:
    blocks = SequenceMatcher(None, written, wanted, autojunk=False).get_matching_blocks()
    return {block.a + step: block.b + step for block in blocks for step in range(block.size)}


def _html(line: list[tuple[str, str]], tags: list[str]) -> Markup:
    """Neighbours with the same mark share one element."""
    out, open_tag = [], ""
    for (space, piece), tag in zip(line, tags, strict=True):
        if tag != open_tag:
            out.append((f"</{open_tag}>" if open_tag else "") + space + (f"<{tag}>" if tag else ""))
        else:
            out.append(space)
        out.append(escape(piece))
        open_tag = tag
    return Markup("".join(out) + (f"</{open_tag}>" if open_tag else "")) if line else plain("")
