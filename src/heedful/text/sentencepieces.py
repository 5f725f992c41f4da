"""A foreign tokenizer that SentencePiece runs (Kudo & Richardson 2018), as `Foreign` asks for it.

Its ids are a model's ids (T5), or a model numbers the pieces otherwise: behind fixed ids (`Numbering`), or by a file
that lists them (Marian, M2M100). What SentencePiece does not know may be in such a file all the same. No text spells a
control token, but for Marian's codes of languages (">>fra<<"), which may begin a text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Literal

import numpy as np
from sentencepiece import SentencePieceProcessor

from .originals import MOST_IDS, Unfit
from .pipeline import SPACE, Cut, Kind

Numbering = Literal["shifted", "camembert", "pegasus"]
# The entries in front, and the first pieces of such a model, which they stand for ("shifted": XLM-R, mBART, NLLB).
FRONTS: dict[Numbering, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "shifted": (("<s>", "<pad>", "</s>", "<unk>"), ("<unk>", "<s>", "</s>")),
    "camembert": (("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED"), ("<unk>",)),
    "pegasus": (
        ("<pad>", "</s>", "<mask_1>", "<mask_2>", *(f"<unk_{number}>" for number in range(2, 103))), ("<pad>", "</s>")
    ),
}  # fmt: skip
CODE = re.compile(r">>.+<<")  # a language's, as Marian's lists of pieces name them
# In the model's protocol buffer, of which later fields count: normalizer_spec { add_dummy_prefix: false }.
NO_SPACE_IN_FRONT = b"\x1a\x02\x18\x00"


class Pieces:
    """What `model`, the content of a SentencePiece file, does to texts (which hold no surrogates).

    `vocabulary` are ids by piece, `tags` more entries; neither they nor the ids in `reserved` are ever text. Where some
    are codes of languages, what a text has up to its first "<<" is one if it begins with ">>".
    """

    kind: Kind = "unigram"
    cut: Cut = "spaces"
    lowercase = prose = samples = False
    spaced = True
    added: Mapping[int, str] = {}
    frame: Sequence[Mapping[str, object]] = ()

    def __init__(
        self,
        model: bytes,
        vocabulary: Mapping[str, int] | None = None,
        numbering: Numbering | None = None,
        tags: Mapping[str, int] | None = None,
        reserved: Collection[int] = (),
    ) -> None:
        self.processor, self._model = _opened(model), model
        self.vocabulary, self.tags = vocabulary, dict(tags or {})
        self._coded = any(map(CODE.fullmatch, self.tags))
        self._reserved = frozenset((*reserved, *self.tags.values()))
        self.unknown = self.processor.unk_id()
        self._table: list[int] | None = None  # the model's ids by SentencePiece's
        self._front, meant = FRONTS[numbering] if numbering else ((), ())
        self._behind = self._pieces[len(meant) :] if vocabulary is None else []
        if numbering:
            first = self._pieces[: len(meant)]
            if tuple(first) != meant:
                raise Unfit(f"its first pieces are {' '.join(first)}; those of a {numbering} one are {' '.join(meant)}")
            last = len(self._front) + len(self._behind)
            self._table = [*map(self._front.index, meant), *range(len(self._front), last)]
        elif vocabulary is not None:
            name = self._pieces[self.unknown]
            if name not in vocabulary:
                raise Unfit(f"its list of pieces lacks {name}, which stands for what it does not know")
            self._table = [vocabulary.get(piece, vocabulary[name]) for piece in self._pieces]
        if self._table is not None:
            self.unknown = self._table[self.unknown]

    @cached_property
    def _pieces(self) -> list[str]:
        try:
            return list(map(self.processor.id_to_piece, range(self.processor.get_piece_size())))
        except UnicodeDecodeError:
            raise Unfit("a piece of the SentencePiece model is not UTF-8") from None

    @cached_property
    def entries(self) -> list[str]:
        """The written form of each id; "" of one that has none."""
        named = self.tags if self.vocabulary is None else {**self.vocabulary, **self.tags}
        found = [*self._front, *self._behind]
        last = max([len(found) - 1, *named.values()])
        if last >= MOST_IDS:
            raise Unfit(f"its ids go up to {last:,}; at most {MOST_IDS:,} are read")
        found = found + [""] * (last + 1 - len(found))
        for entry, number in named.items():
            found[number] = entry
        return found

    @cached_property
    def controls(self) -> dict[int, str]:
        """The entries that are no text, by id."""
        own = self.processor
        unsaid = (n for n in range(own.get_piece_size()) if own.is_control(n) or own.is_unknown(n) or own.is_unused(n))
        numbers = unsaid if self._table is None else (self._table[number] for number in unsaid)
        return {number: self.entries[number] for number in (*range(len(self._front)), *numbers)}

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {entry: number for number, entry in enumerate(self.entries) if entry}

    def number(self, entry: str) -> int | None:
        """The id of an entry."""
        return self._numbers.get(entry)

    def begins(self, entry: str) -> bool:
        """Whether a piece of text begins a word."""
        return entry.startswith(SPACE)

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        code, rest = self._parted(text)
        ids = self._mapped(self.processor.encode(rest), rest)
        return [self.tags.get(code, self.unknown), *ids] if code else ids

    def _parted(self, text: str) -> tuple[str, str]:
        """The code of a language that begins a text ("" without one), and what follows it."""
        end = text.find("<<") + 2 if self._coded and text.startswith(">>") else 0
        return (text[:end], text[end:]) if end > 2 else ("", text)

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text."""
        if self._coded:
            return list(map(self.encode, texts))
        found: list[list[int]] = self.processor.encode(list(texts))
        return found if self._table is None else list(map(self._mapped, found, texts))

    def _mapped(self, ids: list[int], text: str, processor: SentencePieceProcessor | None = None) -> list[int]:
        """SentencePiece's ids as the model's."""
        table, unknown = self._table, self.processor.unk_id()
        if table is None:
            return ids
        if self.vocabulary is None or unknown not in ids:
            return [table[number] for number in ids]
        written = (processor or self.processor).encode(text, out_type=str)
        return [table[n] if n != unknown else self._listed(piece) for n, piece in zip(ids, written, strict=True)]

    def _listed(self, piece: str) -> int:
        """The id of a piece that SentencePiece does not know."""
        assert self.vocabulary is not None
        found = self.vocabulary.get(piece, self.unknown)
        return self.unknown if found in self._reserved or found in self.controls else found

    def inside(self, text: str) -> list[int]:
        """The ids of a text that goes on: without the space that is put in front of one, unless it has its own."""
        if text[:1].isspace():
            return self.encode(text)
        return self._mapped(self._bare.encode(text), text, self._bare)

    @cached_property
    def _bare(self) -> SentencePieceProcessor:
        return _opened(self._model + NO_SPACE_IN_FRONT)

    def words(self, text: str) -> list[list[int]]:
        """The ids of each word: a piece that begins with a space begins one."""
        found: list[list[int]] = []
        for token in self.encode(text):
            if not found or self.begins(self.entries[token]):
                found.append([])
            found[-1].append(token)
        return found

    def decode(self, ids: Sequence[int], inside: bool) -> str:
        """The text of ids of text; `inside` keeps a space in front of it."""
        if not ids:
            return ""
        # Pieces that this model does not know stay as they are written.
        text = str(self.processor.decode([self.entries[token] for token in ids])).replace(SPACE, " ")
        if not self.begins(self.entries[ids[0]]):
            return text
        return " " * inside + text.removeprefix(" ")

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """The first character and the end of each of a text's tokens."""
        code, rest = self._parted(text)
        if code:
            return [(0, len(code)), *((a + len(code), b + len(code)) for a, b in self.offsets(rest))]
        places = list(_places(self.processor.encode(text, out_type="serialized_proto")))
        # Bytes to characters: byte b is of the character that as many leads are before or at.
        leads = np.frombuffer(text.encode(), np.uint8) & 0xC0 != 0x80
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(leads)]).tolist()
        return [(before[start], before[end]) for start, end in places]


def _opened(model: bytes) -> SentencePieceProcessor:
    try:
        return SentencePieceProcessor(model_proto=model)
    except (RuntimeError, ValueError, TypeError, OSError):  # with words about its own source
        raise Unfit("not a SentencePiece model, or damaged") from None


def _places(message: bytes) -> Iterator[tuple[int, int]]:
    """Where the pieces of a SentencePieceText begin and end, in bytes: fields 4 and 5 of each field 2."""
    for number, piece in _fields(message):
        if number == 2 and isinstance(piece, bytes):
            found = dict(_fields(piece))
            yield int(found.get(4, 0)), int(found.get(5, 0))


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The numbers and bytes in a protocol buffer's message, each with its field."""
    place = 0
    while place < len(message):
        key, place = _number(message, place)
        if key & 7 == 5:  # the score of a text, of four bytes
            place += 4
            continue
        value, place = _number(message, place)
        if key & 7 == 2:
            yield key >> 3, message[place : place + value]
            place += value
        else:
            yield key >> 3, value


def _number(message: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if not byte & 0x80:
            return value, place
