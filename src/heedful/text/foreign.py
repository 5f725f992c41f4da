"""Tokenizers of other people at work here: their own files, and the libraries that they are for.

A foreign tokenizer gives the ids that the original gives for a text (without the tokens that frame it), and those files
back as they were. What heedful saves is one JSON file with all of them in it (`files`), how they are read (`Way`), and
what the tokens are for (`Roles`); reading it is reading the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import tokenizers
import xxhash

from ..errors import UserError
from .library import Library
from .originals import Unfit, belongs, tree
from .pipeline import control, without_surrogates
from .sentencepieces import Numbering, Pieces
from .tokenizer import Tokenizer
from .vocabularies import byte_level, numbered, wordpiece

Reader = Literal["tokenizers", "wordpiece", "byte-bpe", "sentencepiece"]
NUMBERED = control(control(""))  # before a word that is written as its ids
Places = np.ndarray[tuple[int], np.dtype[np.int64]]


class Way(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the files are read: tokenizer.json, vocab.txt, vocab.json with merges.txt, or a SentencePiece `model`.

    `lowercase` is for vocab.txt (None: as tokenizer_config.json says). The ids of SentencePiece are its own, of another
    `numbering` or listed in a `vocabulary` (`sentencepieces.Pieces`).
    """

    reader: Reader
    lowercase: bool | None = None
    model: str | None = None
    vocabulary: str | None = None
    numbering: Numbering | None = None


class Roles(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What ids are for. Where an original has no start, padding or unknown token, its end stands in.

    `between` are how many ends part two texts. `opens`: the original puts the start before every text (GPT-2's does
    not). `tags` are further entries that no text is, by name. There are `size` ids, the model's rows: the last of them
    may mean nothing.
    """

    start: int
    end: int
    pad: int
    unknown: int
    mask: int | None
    between: int
    opens: bool
    tags: dict[str, int]
    size: int


class Saved(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="heedful", tag="foreign tokenizer"):
    """The file. `seal` is a hash of the rest: no library is given what was damaged on the way."""

    seal: str
    way: Way
    roles: Roles
    files: dict[str, bytes]


class Foreign(Tokenizer):
    """A tokenizer that heedful did not train. See `foreign_files.read` for how to get one.

    It does what `Tokenizer` does, with other promises: text that spells a special token ("[MASK]") is that token where
    the original takes it so, and `normalise` is what encoding and decoding leave, which need not be the text.
    """

    placeholders = ()

    def __init__(self, files: Mapping[str, bytes], way: Way, roles: Roles) -> None:
        self.files, self.way, self.roles = dict(files), way, roles
        self._library = backend(files, way, roles.tags, (roles.start, roles.end, roles.pad, roles.unknown))
        self.start, self.end, self.pad, self.unknown = roles.start, roles.end, roles.pad, roles.unknown
        self.mask, self.between, self.opens, self._tags = roles.mask, roles.between, roles.opens, roles.tags
        own = self._library  # whose `kind` and `cut` are what of ours is nearest
        self.kind, self.cut, self.lowercase, self.prose = own.kind, own.cut, own.lowercase, own.prose
        self.samples, self.spaced, self.added = own.samples, own.spaced, own.added

    @property
    def vocab_size(self) -> int:
        return self.roles.size

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(self._tags)

    @cached_property
    def _controls(self) -> frozenset[int]:
        own = (self.start, self.end, self.pad, self.unknown, *self._tags.values())
        return frozenset((*self._library.controls, *own, *(() if self.mask is None else (self.mask,))))

    @cached_property
    def _entries(self) -> list[str]:
        known = self._library.entries
        return known + [""] * (self.roles.size - len(known))

    def normalise(self, text: str) -> str:
        """What remains of a text after encoding and decoding."""
        clean = without_surrogates(text)
        return self._library.normalise(clean) if self.prose else self.decode(self.encode(clean))

    def encode(self, text: str) -> list[int]:
        return self._library.encode(without_surrogates(text))

    def encode_inside(self, text: str) -> list[int]:
        return self._library.inside(without_surrogates(text))

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        return self._library.encode_many(list(map(without_surrogates, texts)))

    def decode(self, ids: Iterable[int], inside: bool = False) -> str:
        return self._library.decode([token for token in map(int, ids) if self.is_text(token)], inside)

    def pieces(self, ids: Iterable[int]) -> list[str]:
        return [self._entries[number] or f"<{number}>" for number in ids]

    def is_text(self, token: int) -> bool:
        return token not in self._controls and self._entries[token] != ""

    def begins_word(self, token: int) -> bool:
        return not self.is_text(token) or self._library.begins(self._entries[token])

    def words(self, text: str, inside: bool = False) -> list[str]:
        """The words a text is cut into: in written form where that says their ids, else as the ids themselves."""
        clean = without_surrogates(text)
        if inside:
            return [self._written([token]) for token in self._library.inside(clean)]
        return list(map(self._written, self._library.words(clean)))

    def _written(self, ids: list[int]) -> str:
        written = "".join(self._entries[token] for token in ids)
        known = self.samples and self._controls.isdisjoint(ids) and all(letter in self.ids for letter in written)
        if known and not written.startswith(" ") and self._library.segment(written) == ids:
            return written
        return NUMBERED + " ".join(map(str, ids))

    def encode_words(self, words: Sequence[str]) -> list[list[int]]:
        return list(map(self._spelt, words))

    def _spelt(self, word: str) -> list[int]:
        if word.startswith(NUMBERED):
            return list(map(int, word.split()))
        return [self.ids[word]] if word.startswith(" ") else self._library.segment(word)

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of every entry; one that is no text has a space in front of its name, and those that frame texts our
        own names as well."""
        found = {(e if self.is_text(n) else control(e)): n for n, e in enumerate(self._entries) if e}
        ours = {"<pad>": self.pad, "<s>": self.start, "</s>": self.end, "<unk>": self.unknown}
        return found | {control(name): number for name, number in ours.items()}

    @cached_property
    def merges(self) -> list[tuple[str, str]]:
        return self._library.merges

    @cached_property
    def scores(self) -> dict[str, float]:
        return self._library.scores

    def places(self, text: str) -> tuple[Places, Places]:
        """The first character and the end of each of a text's tokens; what `offsets.offsets` is for ours."""
        clean = without_surrogates(text)
        found = np.array(self._library.offsets(clean), np.int64).reshape(-1, 2)
        if len(clean) != len(text):  # pairs of surrogates became one character each
            seconds = [pair.start() + 1 for pair in re.finditer("[\ud800-\udbff][\udc00-\udfff]", text)]
            found = np.append(np.delete(np.arange(len(text)), seconds), len(text))[found]
        return found[:, 0], found[:, 1]

    def to_json(self) -> str:
        saved = Saved(_seal(self.way, self.roles, self.files), self.way, self.roles, self.files)
        return msgspec.json.encode(saved).decode() + "\n"

    def export(self, folder: Path) -> None:
        """Write the original files."""
        for name, content in self.files.items():
            try:
                (folder / name).write_bytes(content)
            except OSError as error:
                raise UserError(f"{folder / name}: cannot be written: {error.strerror}") from None

    @classmethod
    def opened(cls, content: bytes, path: str | Path) -> Foreign:
        """What `to_json` gave, from a file; UserError where it is damaged."""
        try:
            saved = msgspec.json.decode(content, type=Saved)
            if saved.seal != _seal(saved.way, saved.roles, saved.files):
                raise Unfit("its seal is of another content")
            if strange := [name for name in saved.files if not belongs(name)]:  # they are to be written somewhere
                raise Unfit(f"{strange[0]!r} is no file of a tokenizer")
            return cls(saved.files, saved.way, saved.roles)
        except (msgspec.DecodeError, UnicodeDecodeError, Unfit) as error:
            raise UserError(f"{path}: damaged ({error}); restore it or import the model again") from None


def _seal(way: Way, roles: Roles, files: Mapping[str, bytes]) -> str:
    running = xxhash.xxh3_128(msgspec.json.encode((way, roles)))
    for name, content in files.items():
        running.update(msgspec.json.encode((name, len(content))))
        running.update(content)
    return running.hexdigest()


def backend(
    files: Mapping[str, bytes], way: Way, tags: Mapping[str, int] | None = None, reserved: Sequence[int] = ()
) -> Library | Pieces:
    """The libraries' own object for the files; Unfit where they are not what they should be."""
    if missing := [name for name in needed(way) if name not in files]:
        raise Unfit(f"{missing[0]} is missing")
    try:
        if way.reader == "sentencepiece":
            listed = None if way.vocabulary is None else numbered(tree(files, way.vocabulary), way.vocabulary)
            return Pieces(files[way.model or ""], listed, way.numbering, tags, reserved)
        if way.reader == "wordpiece":
            return wordpiece(files, way.lowercase)
        if way.reader == "byte-bpe":
            return byte_level(files)
        return Library(tokenizers.Tokenizer.from_str(files["tokenizer.json"].decode("utf-8")))
    except Unfit:
        raise
    except Exception as error:  # the libraries raise nothing narrower
        raise Unfit(f"{' and '.join(needed(way))}: {str(error).partition(chr(10))[0]}") from None


def needed(way: Way) -> list[str]:
    """The files that must be there."""
    if way.reader == "sentencepiece":
        return [name for name in (way.model, way.vocabulary) if name is not None]
    return {
        "tokenizers": ["tokenizer.json"], "wordpiece": ["vocab.txt"], "byte-bpe": ["vocab.json", "merges.txt"],
    }[way.reader]  # fmt: skip
