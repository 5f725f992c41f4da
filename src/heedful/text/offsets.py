"""Where in a text its tokens are: characters of the text as it was given, whatever normalising made of them.

A tokenizer composes characters (NFC), may lower their case and spells what it does not know byte by byte, so a token's
place follows neither from its written form nor from its number. The `tokenizers` library tells offsets too, but cuts
what was composed: of two jamo that became one syllable it names the first only. Here a text is cut where normalising
cannot reach over, before every character that is no combining mark, and bytes are counted from cut to cut.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .foreign import Foreign
from .pipeline import BYTES, SPACE
from .tokenizer import Tokenizer

Ids = npt.NDArray[np.int64]


def offsets(tokenizer: Tokenizer, text: str, ids: Sequence[int]) -> tuple[Ids, Ids]:
    """First character and end (not included) of each of `ids`, which `tokenizer.encode(text)` gave; [tokens] each.

    The space before a word belongs to its token. Tokens that share a character both have all of it. The space put in
    front of a text is no character of it. Those of a foreign tokenizer are its own library's.
    """
    if isinstance(tokenizer, Foreign):
        return tokenizer.places(text)
    starts, ends = _bytes(tokenizer, text)
    raw = tokenizer.kind == "bytes"
    pieces = tokenizer.pieces(ids)
    lengths = [1 if piece in _ONE_BYTE and not raw else len(piece if raw else piece.encode()) for piece in pieces]
    after = np.cumsum(np.array(lengths, np.int64))
    assert (int(after[-1]) if len(after) else 0) == len(starts), "ids that are not of this text"
    return starts[after - lengths] if lengths else starts, ends[after - 1] if lengths else ends


_ONE_BYTE = frozenset(BYTES)


def _bytes(tokenizer: Tokenizer, text: str) -> tuple[Ids, Ids]:
    """For each byte of the text's written form the first character it is of, and the end."""
    raw = tokenizer.kind == "bytes"
    front = 0 if tokenizer.prose or not text else 1 if raw else len(SPACE.encode())
    if text.isascii() and "\x10" not in text and "<0x" not in text:
        sizes = np.where(np.frombuffer(text.encode(), np.uint8) == ord(" "), 1 if raw else len(SPACE.encode()), 1)
        cuts = np.arange(len(text) + 1)
    else:
        cuts, sizes = _cut(tokenizer, text, raw)
    starts, ends = np.repeat(cuts[:-1], sizes), np.repeat(cuts[1:], sizes)
    before = np.zeros(front, np.int64)
    return np.concatenate([before, starts]).astype(np.int64), np.concatenate([before, ends]).astype(np.int64)


def _cut(tokenizer: Tokenizer, text: str, raw: bool) -> tuple[Ids, Ids]:
    """Where the parts begin that are normalised each for itself, with the text's end; and the bytes of each."""
    cuts = [place for place in range(len(text)) if not place or not _goes_on(text, place)]
    cuts.append(len(text))
    written = [_written(tokenizer, text[start:end]) for start, end in pairwise(cuts)]
    whole = _written(tokenizer, text)
    if "".join(written) != whole:  # a character newer than Python's tables: no finer place can be told
        cuts, written = [0, len(text)], [whole]
    return np.array(cuts, np.int64), np.array([len(one if raw else one.encode()) for one in written], np.int64)


def _written(tokenizer: Tokenizer, text: str) -> str:
    return "".join(tokenizer.words(text, inside=True))


def _goes_on(text: str, place: int) -> bool:
    """Whether a character may be changed by, or change, those before it."""
    one = text[place]
    if one in "0x":
        return text.startswith("<0x", place - 1 - (one == "x"))  # written in one escape
    if one.isascii():
        return False
    composes = "\u1160" <= one <= "\u11ff" or "\ud7b0" <= one <= "\ud7ff"  # vowels and finals of Hangul
    pair = "\udc00" <= one <= "\udfff" and "\ud800" <= text[place - 1] <= "\udbff"
    return composes or pair or unicodedata.category(one)[0] == "M"
