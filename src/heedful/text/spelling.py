"""Token ids to text, bit by bit: what of a text is certain as soon as it is, and never half a character.

Put together, the parts are the text of all ids, whichever way they were cut. Bytes that are no UTF-8 become U+FFFD.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from functools import cache

from .pipeline import BYTES, ESCAPES, SPACE
from .tokenizer import Tokenizer

ESCAPE = ESCAPES[0][0]  # what every escape begins with
WRITTEN = {written: text for text, written in ESCAPES}
ESCAPED = re.compile("|".join(map(re.escape, WRITTEN)))
SPELT = {piece: bytes([number]) for number, piece in enumerate(BYTES)}


class Speller:
    """Of one text that a `prose` tokenizer encodes (it puts nothing in front, and takes nothing away)."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        assert tokenizer.prose
        self.tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._open = ""  # may be the first half of an escape

    def more(self, ids: Iterable[int]) -> str:
        """What these next ids make certain."""
        return self._unescaped(self._decoder.decode(b"".join(map(self._bytes, ids))))

    def rest(self) -> str:
        """What is left at the end: a character that was cut becomes U+FFFD."""
        return self._unescaped(self._decoder.decode(b"", final=True), last=True)

    def _bytes(self, token: int) -> bytes:
        if not self.tokenizer.is_text(token):
            return b""
        if token in self.tokenizer.added:
            return self.tokenizer.added[token].encode()
        (piece,) = self.tokenizer.pieces([token])
        if self.tokenizer.kind == "bytes":
            return bytes(_byte_level()[letter] for letter in piece)
        return SPELT[piece] if piece in SPELT else piece.replace(SPACE, " ").encode()

    def _unescaped(self, text: str, last: bool = False) -> str:
        if self.tokenizer.kind == "bytes":
            return text
        text, self._open = self._open + text, ""
        if text.endswith(ESCAPE) and not last:
            text, self._open = text[:-1], ESCAPE
        return ESCAPED.sub(lambda found: WRITTEN[found[0]], text)


def spell(tokenizer: Tokenizer, ids: Iterable[int]) -> str:
    """The text of ids."""
    speller = Speller(tokenizer)
    return speller.more(ids) + speller.rest()


@cache
def _byte_level() -> dict[str, int]:
    """The byte that each letter of GPT-2's alphabet stands for: printable ones for themselves, the others from 256."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    letters = {chr(byte): byte for byte in plain}
    return letters | {chr(256 + number): byte for number, byte in enumerate(others)}
