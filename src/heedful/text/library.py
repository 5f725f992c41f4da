"""A foreign tokenizer that the `tokenizers` library runs, as `Foreign` asks for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import groupby
from typing import Any

import tokenizers
from tokenizers import models, pre_tokenizers

from .originals import MOST_IDS, Unfit
from .pipeline import BYTES, SPACE, Cut, Kind

BYTE_SPACE = "Ġ"  # how byte-level tokenizers write a space


class Library:
    """What a tokenizer of the library is, and what it does to texts (which hold no surrogates).

    Text that spells one of its added tokens is that token.
    """

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        # What the file says of these is about batches and training.
        backend.no_padding()
        backend.no_truncation()
        backend.encode_special_tokens = False
        self.backend, self.model = backend, backend.model
        if isinstance(self.model, models.BPE):
            self.model.dropout = None
        before, cuts = list(_steps(backend.normalizer)), list(_steps(backend.pre_tokenizer))
        byte_level = any(step["type"] == "ByteLevel" for step in cuts)
        spaced = any(step["type"] == "Metaspace" or step.get("content") == SPACE for step in (*before, *cuts))
        unigram = isinstance(self.model, models.Unigram)
        self.prefix = getattr(self.model, "continuing_subword_prefix", "") or ""  # of what goes on with a word
        self.suffix = getattr(self.model, "end_of_word_suffix", "") or ""
        self.mark = BYTE_SPACE if byte_level else SPACE if spaced or unigram else ""  # a space in its written form
        self.kind: Kind = "unigram" if unigram else "bytes" if byte_level else "bpe"
        self.cut: Cut = "classes" if byte_level else "spaces"
        self.lowercase = any(step["type"] == "Lowercase" or step.get("lowercase") is True for step in before)
        self._fronted = any(map(_fronts, (*before, *cuts)))  # a space is put in front of texts
        self.spaced = self._fronted or not self.mark
        self.prose = byte_level and not self._fronted and self._lossless(before, cuts)
        whole = self.prefix or self.suffix or getattr(self.model, "ignore_merges", False)
        self.samples = unigram or (isinstance(self.model, models.BPE) and not whole)

    def _lossless(self, before: Sequence[dict[str, Any]], cuts: Sequence[dict[str, Any]]) -> bool:
        """Whether decoding gives back any text but for NFC."""
        whole = [step["type"] for step in cuts if step.get("behavior", "Removed") == "Removed"]
        kept = {"ByteLevel", "Digits"}.issuperset(whole)
        letters = all(self.number(letter) is not None for letter in pre_tokenizers.ByteLevel.alphabet())
        plain = all(step["type"] == "NFC" for step in before) and not self.prefix and not self.suffix
        back = [step["type"] for step in _steps(self.backend.decoder)] == ["ByteLevel"]
        return isinstance(self.model, models.BPE) and kept and letters and plain and back

    @cached_property
    def entries(self) -> list[str]:
        """The written form of each id; "" of one that has none."""
        known = self.backend.get_vocab(with_added_tokens=True)
        last = max(known.values(), default=-1)
        if last >= MOST_IDS:
            raise Unfit(f"its ids go up to {last:,}; at most {MOST_IDS:,} are read")
        found = [""] * (last + 1)
        for entry, number in known.items():
            found[number] = entry
        return found

    @cached_property
    def added(self) -> dict[int, str]:
        """The tokens that are found in a text before it is cut, by id."""
        return {number: token.content for number, token in self.backend.get_added_tokens_decoder().items()}

    @cached_property
    def controls(self) -> dict[int, str]:
        """Those of them that are no text."""
        known = self.backend.get_added_tokens_decoder().items()
        return {number: token.content for number, token in known if token.special}

    @property
    def frame(self) -> list[dict[str, Any]]:
        """What goes around a text and between two, as the library's JSON says it."""
        return list(_steps(self.backend.post_processor))

    def number(self, entry: str) -> int | None:
        """The id of an entry."""
        found: int | None = self.backend.token_to_id(entry)
        return found

    def begins(self, entry: str) -> bool:
        """Whether a piece of text begins a word; where nothing tells, each does."""
        if self.prefix:
            return not entry.startswith(self.prefix)
        return not self.mark or bool(self.suffix) or entry.startswith(self.mark)

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        return list(self.backend.encode(text, add_special_tokens=False).ids)

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text."""
        return [list(one.ids) for one in self.backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    def inside(self, text: str) -> list[int]:
        """The ids of a text that goes on: its first word is spelt without the space that is put in front of it."""
        words = self.words(text)
        if words and self._fronted and not text[:1].isspace() and words[0][0] not in self.added:
            words[0] = self._bare(words[0])
        return [token for word in words for token in word]

    def _bare(self, ids: list[int]) -> list[int]:
        written = "".join(self.entries[token] for token in ids)
        if not written.startswith(self.mark):
            return ids
        if self.segment(written) == ids:
            return self.segment(written.removeprefix(self.mark))
        first, *others = ids  # in a word with something unknown, whose letters are gone
        return self.segment(self.entries[first].removeprefix(self.mark)) + others

    def words(self, text: str) -> list[list[int]]:
        """The ids of each word that a text is cut into before it is encoded."""
        found = self.backend.encode(text, add_special_tokens=False)
        pairs = zip(found.ids, found.word_ids, strict=True)
        return [[token for token, _ in run] for _, run in groupby(pairs, key=lambda pair: pair[1])]

    def segment(self, word: str) -> list[int]:
        """The ids of a word in its written form."""
        return [token.id for token in self.model.tokenize(word)] if word else []

    def decode(self, ids: Sequence[int], inside: bool) -> str:
        """The text of ids of text; `inside` keeps a space in front of it."""
        if not ids:
            return ""
        first, text = self.entries[ids[0]], str(self.backend.decode(list(ids), skip_special_tokens=False))
        if self.prefix and first.startswith(self.prefix):
            return text.removeprefix(self.prefix)
        if self.suffix:
            text = text.replace(self.suffix, " ").strip()
        if inside:
            return text if text.startswith(" ") or not self.begins(first) else f" {text}"
        # Other decoders than the byte-level one take the space away themselves.
        return text.removeprefix(" ") if self._fronted and self.mark == BYTE_SPACE else text

    def normalise(self, text: str) -> str:
        """A text as it is before it is cut."""
        return text if self.backend.normalizer is None else str(self.backend.normalizer.normalize_str(text))

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """The first character and the end of each of a text's tokens."""
        return list(self.backend.encode(text, add_special_tokens=False).offsets)

    @property
    def merges(self) -> list[tuple[str, str]]:
        """Those of byte-pair encoding, from first to last."""
        listed = json.loads(self.backend.to_str())["model"].get("merges", [])
        return [(left, right) for left, right in listed]

    @property
    def scores(self) -> dict[str, float]:
        """The log-probability of each piece of a unigram model that is text."""
        unfit = {*self.controls.values(), *BYTES}
        listed = json.loads(self.backend.to_str())["model"]["vocab"]
        return {piece: score for piece, score in listed if piece not in unfit}


def _steps(component: Any) -> Iterator[dict[str, Any]]:
    """The parts of a normaliser, a splitter, a decoder or a frame, as their JSON says them."""
    if component is not None:
        yield from _parts(json.loads(component.__getstate__()))


def _parts(step: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for key in ("normalizers", "pretokenizers", "decoders", "processors"):
        if isinstance(step.get(key), list):
            for part in step[key]:
                yield from _parts(part)
            return
    yield step


def _fronts(step: dict[str, Any]) -> bool:
    """Whether a step puts a space in front of a text."""
    kind = step["type"]
    return (
        kind == "Prepend"
        or (kind == "ByteLevel" and step["add_prefix_space"])
        or (kind == "Metaspace" and step["prepend_scheme"] != "never")
    )
