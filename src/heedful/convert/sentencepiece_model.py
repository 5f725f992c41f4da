"""Our tokenizer as a SentencePiece model, whose library then cuts text into the same pieces.

That library knows no words: it merges, or looks for the likeliest pieces, over a whole text. As no piece of ours
reaches over the end of a word, it ends up with the same. It may differ in runs of spaces, in words longer than ours may
be, between ways to cut a word that are equally likely, where marks are on a letter that has no name with them, and with
the character NUL; and it puts other characters in the place of bytes that spell none.
"""

from __future__ import annotations

import io
import itertools
import struct
import sys
import tempfile
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType

from ..errors import UserError
from ..text.foreign import Foreign
from ..text.pipeline import BYTES, ESCAPES
from ..text.tokenizer import Tokenizer

# Fields and values of SentencePiece's messages (sentencepiece_model.proto).
UNIGRAM, BPE = 1, 2
TEXT, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6

Value = bytes | str | float | int


def model_of(tokenizer: Tokenizer, words: Sequence[str]) -> bytes:
    """The content of a .model file; `words` are the names of all ids. UserError if SentencePiece cannot say it."""
    if isinstance(tokenizer, Foreign):
        if tokenizer.way.model is None:
            raise UserError(f"a tokenizer read by {tokenizer.way.reader!r} cannot be told as a SentencePiece model")
        return tokenizer.files[tokenizer.way.model]
    if tokenizer.kind == "bytes" or tokenizer.prose:
        what = "of kind 'bytes'" if tokenizer.kind == "bytes" else "for prose, which reads line by line,"
        raise UserError(
            f"a tokenizer {what} cannot be told as a SentencePiece model; train with another tokenizer.kind"
        )
    library = _library()
    back = {written: text for text, written in ESCAPES}
    return b"".join([
        *(_field(1, piece) for piece in _pieces(tokenizer, words)),
        _field(2, _training(tokenizer, words)),
        _field(3, _normaliser(_map(library, _rules(tokenizer)), in_front=True)),
        _field(5, _normaliser(_map(library, back), in_front=False)),
    ])  # fmt: skip


def _library() -> ModuleType:
    try:
        import sentencepiece
    except ImportError:
        raise UserError("a SentencePiece model is made with it: pip install 'heedful[exchange]'") from None
    return sentencepiece


def _pieces(tokenizer: Tokenizer, words: Sequence[str]) -> Iterator[bytes]:
    """Every piece with its score and its kind. Of merges, the first has the highest score."""
    scores: dict[str, float] = {}
    if tokenizer.kind == "unigram":
        scores = tokenizer.scores
    for rank, (left, right) in enumerate(tokenizer.merges):
        scores.setdefault(left + right, -float(rank))
    for token, piece in enumerate(words):
        kind = BYTE if piece in BYTES else TEXT
        if not tokenizer.is_text(token):
            kind = UNKNOWN if token == tokenizer.unknown else CONTROL
        yield _field(1, piece) + _field(2, scores.get(piece, 0.0) if kind == TEXT else 0.0) + _field(3, kind)


def _training(tokenizer: Tokenizer, words: Sequence[str]) -> bytes:
    """What would be known of its training: the algorithm, that bytes spell the rest, the tokens that frame texts."""
    roles = (tokenizer.unknown, tokenizer.start, tokenizer.end, tokenizer.pad)
    kind = UNIGRAM if tokenizer.kind == "unigram" else BPE
    fields: list[tuple[int, Value]] = [(3, kind), (4, len(words)), (35, True), *zip(range(40, 44), roles, strict=True)]
    fields += [(44, ""), *((45 + number, words[token]) for number, token in enumerate(roles))]
    return b"".join(_field(number, value) for number, value in fields)


def _normaliser(rules: bytes, in_front: bool) -> bytes:
    """Rules, then a space in front and spaces written as "▁"; or rules alone."""
    return b"".join([
        _field(1, "heedful"), _field(2, rules), _field(3, in_front), _field(4, False), _field(5, in_front),
    ])  # fmt: skip


# ---- normalising ----------------------------------------------------------------------------------------------------


def _rules(tokenizer: Tokenizer) -> dict[str, str]:
    """What the tokenizer makes of every string that it changes: NFC, lower case, escapes.

    Composed letters come in all orders of their marks, some of them joined.
    """
    found = {text: tokenizer.normalise(text) for text in _changed(tokenizer.lowercase)}
    return {text: written for text, written in found.items() if text != written} | dict(ESCAPES)


@cache
def _changed(lowercase: bool) -> tuple[str, ...]:
    """Strings that NFC may change, and capital letters."""
    found = set()
    for letter in map(chr, itertools.chain(range(0xD800), range(0xE000, sys.maxunicode + 1))):
        first, *marks = unicodedata.normalize("NFD", letter)
        if marks or first != letter or (lowercase and letter != letter.lower()):
            found.add(letter)
        for order in itertools.permutations(marks) if marks else ():
            for joined in range(len(marks) + 1):
                found.add(unicodedata.normalize("NFC", first + "".join(order[:joined])) + "".join(order[joined:]))
    return tuple(sorted(found))


def _map(library: ModuleType, rules: Mapping[str, str]) -> bytes:
    """Rules as SentencePiece compiles them: its trainer does, whatever it is given to learn."""
    code = lambda text: " ".join(f"{ord(letter):x}" for letter in text)
    trained = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "rules.tsv")
        file.write_text("".join(f"{code(text)}\t{code(written)}\n" for text, written in rules.items()), "ascii")
        library.SentencePieceTrainer.train(
            sentence_iterator=iter(["a b"]), model_writer=trained, model_type="char", vocab_size=5,
            normalization_rule_tsv=str(file), minloglevel=2,
        )  # fmt: skip
    return _content(_content(trained.getvalue(), 3), 2)


# ---- messages -------------------------------------------------------------------------------------------------------


def _field(number: int, value: Value) -> bytes:
    """A field of a protocol buffer."""
    if isinstance(value, float):
        return _number(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return _number(number << 3) + _number(int(value))
    content = value.encode() if isinstance(value, str) else value
    return _number(number << 3 | 2) + _number(len(content)) + content


def _number(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _content(message: bytes, wanted: int) -> bytes:
    """The bytes in a field of a message, which has it once."""
    place = 0
    while place < len(message):
        key, place = _read(message, place)
        size, place = (4, place) if key & 7 == 5 else _read(message, place)
        if key >> 3 == wanted and key & 7 == 2:
            return message[place : place + size]
        place += size if key & 7 else 0
    raise AssertionError(f"the message has no field {wanted}")


def _read(message: bytes, place: int) -> tuple[int, int]:
    """A number, and where it ends."""
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
