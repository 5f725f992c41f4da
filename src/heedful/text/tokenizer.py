"""Text to token ids and back, without loss: trained here, stored as one tokenizer.json."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers
import xxhash
from tokenizers import models, pre_tokenizers

from ..errors import UserError
from . import learning
from .pipeline import (
    BYTES,
    CONTROLS,
    CUTS,
    KINDS,
    MASK,
    SPACE,
    Cut,
    Kind,
    control,
    decoder,
    meaning,
    normaliser,
    placeholder,
    splitter,
    without_surrogates,
)

FOREIGN = b'{"heedful":"foreign tokenizer",'  # how a file of `foreign.Foreign` begins


class Tokenizer:
    """A vocabulary with the way from text to its ids and back.

    `decode(encode(text)) == normalise(text)` for any text. Control tokens, tags and placeholders are reachable by id
    only: text that looks like one ("</s>", "<2de>") stays text. Lone surrogates become U+FFFD.

    Made for `prose`, it reads texts of many lines: line by line, the line end a part of each, and no token reaches
    over it. Then the ids of two texts end to end are those of both as one wherever the first ends with its line.

    `start` and `end` frame a text, `between` ends part two; `mask` hides a token (None: none was trained with).
    `opens`: a text to go on with begins with `start`. `spaced`: a text is read as if a space stood in front of it.
    `samples`: there is subword sampling for it.
    """

    between, opens, samples = 1, True, True
    added: Mapping[int, str] = {}  # tokens of text that are written as they are said, spaces too

    def __init__(
        self, model: models.Model, kind: Kind, lowercase: bool = False, cut: Cut = "classes", prose: bool = False
    ) -> None:
        self.kind, self.lowercase, self.cut, self.prose, self.spaced = kind, lowercase, cut, prose, not prose
        self._backend = tokenizers.Tokenizer(model)
        self._backend.normalizer = normaliser(kind, lowercase, prose)
        self._backend.pre_tokenizer = splitter(kind, cut)
        self._backend.decoder = self._decoder = decoder(kind, prose)
        self._meaning = meaning(lowercase)
        vocabulary = self._backend.get_vocab()
        self._pieces = sorted(vocabulary, key=lambda piece: vocabulary[piece])
        marks = {piece: number for number, piece in enumerate(self._pieces) if piece.startswith(" ")}
        known = itertools.takewhile(marks.__contains__, map(placeholder, itertools.count(1)))
        self.placeholders = tuple(marks.pop(piece) for piece in list(known))  # the ids of placeholder 1, 2, ...
        self._tags = {piece[1:]: number for piece, number in marks.items()}
        self.pad, self.start, self.end, self.unknown = range(len(CONTROLS))
        self.mask = self._tags.get(MASK)

    @property
    def vocab_size(self) -> int:
        """How many ids there are: control tokens, tags, placeholders and byte tokens included."""
        return len(self._pieces)

    @property
    def tags(self) -> tuple[str, ...]:
        """The names of the tag tokens, in the order of their ids."""
        return tuple(name for name in self._tags if name not in CONTROLS)

    def tag(self, name: str) -> int:
        """The id of a tag token."""
        if name not in self.tags:
            raise UserError(f"tag {name!r} is not in the vocabulary; it has {', '.join(self.tags) or 'none'}")
        return self._tags[name]

    def normalise(self, text: str) -> str:
        """What remains of a text after encoding and decoding: NFC, and lower case if the tokenizer was trained so."""
        return str(self._meaning.normalize_str(without_surrogates(text)))

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without start or end. Linear in its length: about a second for a million characters."""
        if self.prose:
            return self.encode_many([text])[0]
        return list(self._backend.encode(without_surrogates(text), add_special_tokens=False).ids)

    def encode_inside(self, text: str) -> list[int]:
        """The ids of a text that goes on where something else ended: without the space that is put in front of one."""
        return [token for word in self.encode_words(self.words(text, inside=True)) for token in word]

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` for each text, on all threads the library may use (TOKENIZERS_PARALLELISM, RAYON_NUM_THREADS)."""
        clean = [without_surrogates(text) for text in texts]
        if not self.prose:
            return [list(one.ids) for one in self._backend.encode_batch_fast(clean, add_special_tokens=False)]
        lines = [_lines(text) for text in clean]
        found = iter(self._backend.encode_batch_fast([line for own in lines for line in own], add_special_tokens=False))
        return [[token for _ in own for token in next(found).ids] for own in lines]

    def decode(self, ids: Iterable[int], inside: bool = False) -> str:
        """The text of any ids; controls, tags and placeholders are left out, bytes that are not UTF-8 become U+FFFD.

        `inside` keeps the space in front, which a text has only where it goes on.
        """
        pieces = [piece for piece in (self._pieces[number] for number in ids) if not piece.startswith(" ")]
        if inside and pieces:
            pieces.insert(0, "Ġ" if self.kind == "bytes" else SPACE)
        return str(self._decoder.decode(pieces))

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """The written form of each id, to be looked at: "▁dog", "</s>", "<0xC3>"."""
        return [self._pieces[number].removeprefix(" ") for number in ids]

    def is_text(self, token: int) -> bool:
        """Whether a token is part of a text: not a control token, a tag or a placeholder."""
        return not self._pieces[token].startswith(" ")

    def begins_word(self, token: int) -> bool:
        """Whether a token begins with the space before a word, or is none of text."""
        return self._pieces[token][0] in (SPACE, "Ġ", " ")

    def words(self, text: str, inside: bool = False) -> list[str]:
        """The words a text is cut into, in their written form: encoding never joins across them.

        `inside` leaves out the space that is put in front of a text, for one that goes on.
        """
        normal = self._backend.normalizer.normalize_str(without_surrogates(text))
        return [word for word, _ in self._backend.pre_tokenizer.pre_tokenize_str(normal[inside and not self.prose :])]

    def encode_words(self, words: Sequence[str]) -> list[list[int]]:
        """The ids of each word of `words(text)`; the written form of a control token (`pipeline`) is its id."""
        model = self._backend.model
        return [
            [self.ids[word]] if word.startswith(" ") else [token.id for token in model.tokenize(word)] for word in words
        ]

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of every entry of the vocabulary, in its written form."""
        return {piece: number for number, piece in enumerate(self._pieces)}

    @cached_property
    def merges(self) -> list[tuple[str, str]]:
        """The merges from first to last; empty for a unigram model."""
        return [(left, right) for left, right in json.loads(self.to_json())["model"].get("merges", [])]

    @cached_property
    def scores(self) -> dict[str, float]:
        """The log-probability of every entry of a unigram model."""
        assert self.kind == "unigram"
        return dict(json.loads(self.to_json())["model"]["vocab"])

    def to_json(self) -> str:
        """The content of tokenizer.json; the same for the same training input."""
        return str(self._backend.to_str(pretty=True)) + "\n"

    @cached_property
    def fingerprint(self) -> str:
        """A hash of everything that decides the ids."""
        return str(xxhash.xxh3_128_hexdigest(self.to_json().encode()))

    def save(self, path: str | Path) -> None:
        """Write tokenizer.json, readable by `tokenizers.Tokenizer.from_file`; whole or not at all."""
        path = Path(path)
        partial = path.with_name(f".{path.name}-{os.getpid()}.tmp")
        try:
            with partial.open("wb") as file:
                file.write(self.to_json().encode())
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise UserError(f"{path}: cannot be written: {error.strerror}") from None

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """The tokenizer in a file that `save` wrote; UserError if it is missing, damaged or another tool's."""
        try:
            content = Path(path).read_bytes()
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
        if content.startswith(FOREIGN):
            from .foreign import Foreign  # which is a tokenizer, too

            return Foreign.opened(content, path)
        try:
            tree = json.loads(content.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: not JSON ({error}); restore the file or train the tokenizer again") from None
        try:
            return _from_tree(tree)
        except (_Malformed, KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{path}: not a tokenizer that heedful wrote ({_reason(error)}); restore it or train it again"
            ) from None


def train_tokenizer(
    lines: Iterable[str],
    kind: Kind = "bpe",
    size: int = 8000,
    lowercase: bool = False,
    cut: Cut = "classes",
    tags: Sequence[str] = (),
    placeholders: int = 0,
    prose: bool = False,
) -> Tokenizer:
    """Learn a vocabulary of at most `size` ids from lines of text; the same lines give the same file.

    bpe (Sennrich et al. 2016), unigram (Kudo 2018) and characters spell what they do not know with byte tokens; bytes
    is byte-pair encoding over UTF-8 bytes, as in GPT-2. `cut` says where words end (`splitter`). `tags` are control
    tokens for ids 4, 5, ...; the names are free ("<2de>"). So many `placeholders` follow them. A small corpus may give
    fewer than `size` ids. For `prose` the lines are to have their line ends.
    """
    if kind not in KINDS:
        raise UserError(f"tokenizer kind {kind!r} is not known; there are {', '.join(KINDS)}")
    reserved = {*CONTROLS, *(placeholder(number)[1:] for number in range(1, placeholders + 1))}
    if len(set(tags)) < len(tags) or not all(tags) or set(tags) & reserved:
        raise UserError(f"tags {', '.join(map(repr, tags))} must be distinct, not empty and not one of {CONTROLS}")
    first = learning.reserved(tags, placeholders, byte_tokens=kind != "bytes")
    least = len(first) + (256 if kind == "bytes" else 1)
    if size < least:
        named = f"control tokens, {len(tags)} tags" + (f", {placeholders} placeholders" if placeholders else "")
        raise UserError(f"tokenizer size {size} is below {least}: {named} and the bytes")
    normal, split = normaliser(kind, lowercase, prose), splitter(kind, cut)
    words = learning.count_words(map(without_surrogates, lines), normal, split)
    if not words:
        raise UserError("there is no text to train a tokenizer on")
    return Tokenizer(_learn(words, kind, size, first), kind, lowercase, cut, prose)


def _learn(words: Counter[str], kind: Kind, size: int, first: list[str]) -> models.Model:
    if kind == "bytes":
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        return learning.bpe(words, size, first, letters, byte_level=True)
    room = size - len(first)
    if kind == "characters":
        return learning.characters(first, learning.alphabet(words, room))
    letters = learning.alphabet(words, (room + 1) // 2)
    if kind == "unigram":
        return learning.unigram(words, size, first, letters)
    return learning.bpe(words, size, first, letters, byte_level=False)


def _lines(text: str) -> list[str]:
    """The lines of a text with their ends; of an empty text none."""
    return [line for line in re.split(r"(?<=\n)", text) if line]


class _Malformed(Exception):
    """What is wrong with the content of a tokenizer.json."""


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, _Malformed) else f"{type(error).__name__}: {error}"


def _from_tree(tree: Any) -> Tokenizer:
    """Checks everything before the library sees it: on some malformed files the library aborts instead of raising.

    The settings have no field of their own in this format: they are the ones that give this very pipeline.
    """
    model = tree.pop("model")
    either = (False, True)
    for kind, lowercase, cut, prose in itertools.product(KINDS, either, CUTS, either):
        empty = Tokenizer(models.Unigram() if kind == "unigram" else models.BPE(), kind, lowercase, cut, prose)
        expected = json.loads(empty.to_json())
        if expected.pop("model")["type"] == model["type"] and expected == tree:
            break
    else:
        raise _Malformed("its normaliser, splitter or decoder is another tool's")
    if kind == "bpe" and not model["merges"]:
        kind = "characters"  # the same pipeline
    built = _unigram(model) if kind == "unigram" else _bpe(model, kind)
    tokenizer = Tokenizer(built, kind, lowercase, cut, prose)
    settings = json.loads(tokenizer.to_json())["model"]
    for key in settings.keys() | model.keys():
        same = key in ("vocab", "merges") or settings.get(key) == model.get(key)
        _require(same, f"model.{key} is {model.get(key)!r}, not {settings.get(key)!r}")
    return tokenizer


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise _Malformed(what)


def _check_entries(pieces: list[Any], letters: Iterable[str]) -> None:
    _require(all(isinstance(piece, str) and piece for piece in pieces), "an entry of the vocabulary is not text")
    _require(len(set(pieces)) == len(pieces), "an entry of the vocabulary is there twice")
    _require(pieces[:4] == list(map(control, CONTROLS)), f"ids 0 to 3 are not {' '.join(CONTROLS)}")
    missing = sorted(set(letters) - set(pieces))
    _require(not missing, f"{len(missing)} byte tokens are missing, {missing[:1]} first")


def _bpe(model: dict[str, Any], kind: Kind) -> models.BPE:
    vocabulary, merges = dict(model["vocab"]), [tuple(merge) for merge in model["merges"]]
    _require(all(type(number) is int for number in vocabulary.values()), "an id is not a whole number")
    pieces = sorted(vocabulary, key=lambda piece: vocabulary[piece])
    _require(sorted(vocabulary.values()) == list(range(len(pieces))), "the ids are not 0, 1, 2, ... without gaps")
    _check_entries(pieces, pre_tokenizers.ByteLevel.alphabet() if kind == "bytes" else BYTES)
    for merge in merges:
        known = len(merge) == 2 and all(isinstance(half, str) and half in vocabulary for half in merge)
        _require(known and "".join(merge) in vocabulary, f"merge {merge!r} is not of the vocabulary")
    return learning.bpe_model(vocabulary, merges, byte_level=kind == "bytes")


def _unigram(model: dict[str, Any]) -> models.Unigram:
    entries = [(piece, score) for piece, score in model["vocab"]]
    _check_entries([piece for piece, _ in entries], BYTES)
    finite = all(isinstance(score, (int, float)) and math.isfinite(score) for _, score in entries)
    _require(finite, "a score is not a finite number")
    return learning.unigram_model([(piece, float(score)) for piece, score in entries])
