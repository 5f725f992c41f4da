"""What a model read, as lines of a record: tokens as people read them, and the words they make."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

from ...inside.record import Line, Picture, Reals
from ...text.pipeline import SPACE
from ...text.spelling import spell
from ...text.tokenizer import Tokenizer

SIGNS = {" ": "␣", "\n": "⏎", "\r": "⏎", "\t": "⇥"}  # of white space that is a token of its own
# Scripts that put no space between words: there each token is a word.
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")


def line_of(name: str, label: str, tokenizer: Tokenizer, ids: Sequence[int]) -> Line:
    """The line of some tokens.

    Words are what spaces part, or a token each in scripts without spaces; punctuation and line ends at either side of a
    word are words of their own where they are tokens of their own. Starts, ends and tags are controls; a mask, an
    unknown token and a placeholder are words.
    """
    groups = _words(tokenizer, ids)
    word = np.repeat(np.arange(len(groups)), [len(group) for group in groups]).astype(np.int64)
    return Line(
        name,
        label,
        tuple(piece_of(tokenizer, token) for token in ids),
        tuple(_text(tokenizer, group) for group in groups),
        word,
        tuple(is_control(tokenizer, group[0]) for group in groups),
    )


def is_control(tokenizer: Tokenizer, token: int) -> bool:
    """Whether a token is no part of a text and stands for none."""
    frame = (tokenizer.start, tokenizer.end, tokenizer.pad)
    if token in frame:
        return True
    stands = (tokenizer.mask, tokenizer.unknown, *tokenizer.placeholders)
    return not tokenizer.is_text(token) and token not in stands


def piece_of(tokenizer: Tokenizer, token: int) -> str:
    """A token as it is read: without the space in front; a part of a character as its bytes."""
    (written,) = tokenizer.pieces([token])
    if not tokenizer.is_text(token):
        return written
    text = _spelt(tokenizer, [token])
    if "\ufffd" in text:
        return written.removeprefix(SPACE)
    if not tokenizer.begins_word(token) and len(text) > 2:
        text = text.removeprefix("##")  # a word piece's mark
    return text.strip(" ") or "".join(SIGNS.get(one, one) for one in text) or SIGNS[" "]


def picture_line(name: str, label: str, picture: Picture, whole: bool, unit: str = "patch") -> Line:
    """The line of a picture's tokens; the first is for the whole picture if `whole`."""
    count = len(picture.boxes)
    names = [f"{unit} {number}" for number in range(1 - whole, count + 1 - whole)]
    names[:whole] = ["whole"] * whole
    control = [whole and number == 0 for number in range(count)]
    return Line(name, label, tuple(names), tuple(names), np.arange(count), tuple(control), picture)


def boxes_of(boxes: Reals) -> Reals:
    """(x1, y1, x2, y2) of what a model has read as boxes."""
    return np.clip(np.asarray(boxes, np.float32)[:, :4], 0.0, 1.0)


def _words(tokenizer: Tokenizer, ids: Sequence[int]) -> list[list[int]]:
    """Tokens by words."""
    words: list[list[list[int]]] = []
    before = ""
    for unit in _units(tokenizer, ids):
        text = _spelt(tokenizer, unit) if tokenizer.is_text(unit[-1]) else ""
        joins = words and text and before and not tokenizer.begins_word(unit[0]) and before[-1] not in "\r\n"
        if not joins or _unspaced(text[0]) or _unspaced(before[-1]):
            words.append([])
        words[-1].append(unit)
        before = text
    return [part for word in words for part in _peeled(tokenizer, word)]


def _units(tokenizer: Tokenizer, ids: Sequence[int]) -> list[list[int]]:
    """Tokens, each with the spaces before it that are tokens of their own."""
    units: list[list[int]] = []
    spaces: list[int] = []
    for token in ids:
        if tokenizer.is_text(token) and not _spelt(tokenizer, [token]).strip(" "):
            spaces.append(token)
        elif tokenizer.is_text(token):
            units.append([*spaces, token])
            spaces = []
        else:
            units += [spaces] * bool(spaces) + [[token]]
            spaces = []
    return units + [spaces] * bool(spaces)


def _peeled(tokenizer: Tokenizer, word: list[list[int]]) -> list[list[int]]:
    """A word without the punctuation around it, which are words before and after it."""
    bare = [not _is_mark(_spelt(tokenizer, unit)) for unit in word] if len(word) > 1 else [True]
    first, last = (bare.index(True), len(bare) - bare[::-1].index(True)) if any(bare) else (0, len(bare))
    parts = (word[:first], word[first:last], word[last:])
    return [[token for unit in part for token in unit] for part in parts if part]


def _is_mark(text: str) -> bool:
    """Whether there are only punctuation and line ends."""
    return bool(text.strip("\ufffd")) and all(unicodedata.category(one)[0] in "PZC" for one in text)


def _unspaced(one: str) -> bool:
    return ord(one) > 0x0E00 and one != "\ufffd" and unicodedata.name(one, "").startswith(UNSPACED)


def _text(tokenizer: Tokenizer, word: Sequence[int]) -> str:
    if not tokenizer.is_text(word[0]):
        return "".join(tokenizer.pieces(word))
    text = _spelt(tokenizer, word)
    if not tokenizer.begins_word(word[0]) and len(text) > 2:
        text = text.removeprefix("##")
    return text.strip() or "".join(SIGNS.get(one, one) for one in text) or SIGNS[" "]


def _spelt(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    return spell(tokenizer, ids) if tokenizer.prose else tokenizer.decode(ids)
