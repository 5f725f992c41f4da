"""Subword sampling: each distinct word gets several seeded segmentations at preparation; training picks among them.

For merges this is BPE-dropout (Provilkov et al. 2020, section 3): at every step each possible merge is left out with a
probability, and the word is finished when no merge is left to choose from. For a unigram model the same idea is put on
its lattice: each piece of more than one character is left out with that probability, then the best path is taken. A
draw depends on (seed, word, number of the segmentation) and on nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xxhash

from ..errors import UserError
from .draws import draws
from .pipeline import BYTES
from .ragged import offsets, spans, sums
from .tokenizer import Tokenizer

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

NONE = np.iinfo(np.int64).max
# Array elements of one block of words: bounds memory to some tens of megabytes.
BLOCK = 1 << 20


@dataclass(frozen=True)
class Segmentations:
    """`count + 1` segmentations of each word: number 0 is the tokenizer's own, the others are drawn.

    Segmentation k of word w is `tokens[offsets[r]:offsets[r + 1]]` with r = w * (count + 1) + k.
    """

    tokens: Ids
    offsets: Ids
    count: int

    @classmethod
    def build(
        cls, tokenizer: Tokenizer, words: Sequence[str], count: int, probability: float, seed: int
    ) -> Segmentations:
        """Draw for `words` (see `Tokenizer.words`)."""
        return Sampler(tokenizer, count, probability, seed).sample(words)

    def segmentation(self, word: int, number: int) -> list[int]:
        """The ids of one segmentation."""
        row = word * (self.count + 1) + number
        return [int(token) for token in self.tokens[self.offsets[row] : self.offsets[row + 1]]]


class Sampler:
    """Draws segmentations for words, any number at a time: the same word always gets the same ones."""

    def __init__(self, tokenizer: Tokenizer, count: int, probability: float, seed: int) -> None:
        assert 0 <= probability < 1
        assert count >= 1
        if not tokenizer.samples:
            raise UserError(
                "the tokenizer that was taken over has neither merges of words nor a unigram model of them, so there "
                "is no subword sampling: set tokenizer.sampling = 0"
            )
        self.tokenizer, self.count = tokenizer, count
        self._model = (_Lattice if tokenizer.kind == "unigram" else _Merges)(tokenizer, probability, seed)

    def sample(self, words: Sequence[str]) -> Segmentations:
        """The segmentations of `words`, none of which is empty."""
        own = self.tokenizer.encode_words(words)
        rows = len(words) * (self.count + 1)
        lengths = np.zeros(rows, np.int64)
        lengths[:: self.count + 1] = [len(tokens) for tokens in own]
        blocks = []
        for chosen, tokens, sizes in self._draw(words, own):
            places = (np.array(chosen, np.int64)[:, None] * (self.count + 1) + 1 + np.arange(self.count)).ravel()
            lengths[places] = sizes
            blocks.append((places, tokens))
        blocks.append((np.arange(0, rows, self.count + 1), np.array([t for word in own for t in word], np.int64)))
        starts = offsets(lengths)
        everything = np.empty(starts[-1], np.int64)
        for places, tokens in blocks:
            everything[spans(starts[places], lengths[places])] = tokens
        return Segmentations(everything, starts, self.count)

    def _draw(self, words: Sequence[str], own: list[list[int]]) -> Iterator[tuple[list[int], Ids, Ids]]:
        """Some words' numbers, and their segmentations' tokens and lengths. A control token is always whole, and so is
        what is written as ids (see `foreign`)."""
        marks = [number for number, word in enumerate(words) if word.startswith(" ")]
        whole = [own[number] for number in marks for _ in range(self.count)]
        tokens = np.array([token for ids in whole for token in ids], np.int64)
        yield marks, tokens, np.array(list(map(len, whole)), np.int64)
        for chosen in self._blocks(words):
            yield chosen, *self._model.draw([words[word] for word in chosen], self.count)

    def _blocks(self, words: Sequence[str]) -> Iterator[list[int]]:
        """The numbers of words but control tokens, near lengths together, so that little is computed for padding."""
        order = sorted((n for n, word in enumerate(words) if not word.startswith(" ")), key=lambda n: len(words[n]))
        while order:
            cells = self.count * self._model.cells(words[order[0]])
            size = max(1, BLOCK // cells)
            while (
                size > 1 and size * self.count * self._model.cells(words[order[min(size, len(order)) - 1]]) > 2 * BLOCK
            ):
                size //= 2
            yield order[:size]
            order = order[size:]


class _Merges:
    """Byte-pair encoding on many words at once: a step merges one pair in every word that is not finished."""

    def __init__(self, tokenizer: Tokenizer, probability: float, seed: int) -> None:
        self.ids, self.size, self.seed = tokenizer.ids, tokenizer.vocab_size, seed
        self.limit = np.uint64(probability * 2.0**64)
        pairs = {
            self.ids[left] * self.size + self.ids[right]: (rank, self.ids[left + right])
            for rank, (left, right) in enumerate(tokenizer.merges)
        }
        self.keys = np.array(sorted(pairs), np.int64)
        self.ranks = np.array([pairs[key][0] for key in sorted(pairs)], np.int64)
        self.joined = np.zeros(len(tokenizer.merges), np.int64)  # by rank
        for rank, joined in pairs.values():
            self.joined[rank] = joined

    def cells(self, word: str) -> int:
        return len(word)

    def draw(self, words: list[str], count: int) -> tuple[Ids, Ids]:
        letters = [_letters(word, self.ids) for word in words]
        width = max(map(len, letters))
        symbols = np.full((len(words), width), -1, np.int64)
        for row, ids in enumerate(letters):
            symbols[row, : len(ids)] = ids
        ranks = np.repeat(self._rank(symbols[:, :-1], symbols[:, 1:]), count, axis=0)
        symbols = np.repeat(symbols, count, axis=0)
        result = np.full_like(symbols, -1)
        rows = np.arange(len(symbols))
        word, copy = np.repeat(_hashes(words), count), np.tile(np.arange(count), len(words))
        # A step takes one pair from every row still here, so all rows lose one column together.
        for step in range(width):
            columns = np.arange(width - step)
            if len(columns) < 2 or not len(rows):
                break
            chance = draws(self.seed, word[rows, None], copy[rows, None], step, columns[:-1])
            possible = np.where(chance < self.limit, NONE, ranks)
            at = possible.argmin(axis=1)
            best = possible[np.arange(len(rows)), at]
            done = best == NONE
            result[rows[done], : len(columns)] = symbols[done]
            rows, at, best, symbols, ranks = rows[~done], at[~done], best[~done], symbols[~done], ranks[~done]
            symbols, ranks = self._merge(symbols, ranks, at, self.joined[best])
        result[rows, : symbols.shape[1]] = symbols
        return result[result >= 0], (result >= 0).sum(axis=1)

    def _merge(self, symbols: Ids, ranks: Ids, at: Ids, joined: Ids) -> tuple[Ids, Ids]:
        """The rows with symbols `at` and `at + 1` replaced by `joined`, and their pairs' ranks."""
        rows, width = np.arange(len(symbols)), symbols.shape[1] - 1
        columns = np.arange(width)
        symbols = np.take_along_axis(symbols, columns + (columns > at[:, None]), axis=1)
        symbols[rows, at] = joined
        if width < 2:
            return symbols, ranks[:, :0]
        ranks = np.take_along_axis(ranks, columns[:-1] + (columns[:-1] >= at[:, None]), axis=1)
        left, right = at > 0, at < width - 1
        ranks[rows[left], at[left] - 1] = self._rank(symbols[rows[left], at[left] - 1], joined[left])
        ranks[rows[right], at[right]] = self._rank(joined[right], symbols[rows[right], at[right] + 1])
        return symbols, ranks

    def _rank(self, left: Ids, right: Ids) -> Ids:
        if not len(self.keys):
            return np.full_like(left, NONE)
        key = np.where((left < 0) | (right < 0), -1, left * self.size + right)
        place = np.minimum(np.searchsorted(self.keys, key), len(self.keys) - 1)
        return np.where(self.keys[place] == key, self.ranks[place], NONE)


class _Lattice:
    """Best paths through the unigram lattices of many words at once, position by position."""

    def __init__(self, tokenizer: Tokenizer, probability: float, seed: int) -> None:
        self.ids, self.size, self.seed = tokenizer.ids, tokenizer.vocab_size, seed
        self.limit = np.uint64(probability * 2.0**64)
        self.scores = {piece: score for piece, score in tokenizer.scores.items() if " " not in piece}
        for byte in BYTES:
            self.scores.pop(byte, None)
        self.longest = max(map(len, self.scores))
        # As in the library: worse than any piece by 10.
        self.unknown = min([*self.scores.values(), 0.0]) - 10.0

    def cells(self, word: str) -> int:
        return len(word) * self.longest

    def draw(self, words: list[str], count: int) -> tuple[Ids, Ids]:
        """As `_Merges.draw`."""
        width, rows = max(map(len, words)), len(words) * count
        scores, pieces, spelt = self._table(words, width)
        word, copy = np.repeat(_hashes(words), count), np.tile(np.arange(count), len(words))
        best = np.full((rows, width + 1), -np.inf)
        best[:, 0] = 0.0
        taken = np.zeros((rows, width + 1), np.int64)
        for end in range(1, width + 1):
            # Longest piece first, so that of equal paths the library's is taken.
            lengths = np.arange(min(end, self.longest), 0, -1)
            paths = best[:, end - lengths] + np.repeat(scores[:, end - lengths, lengths - 1], count, axis=0)
            chance = draws(self.seed, word[:, None], copy[:, None], end, lengths)
            paths[(chance < self.limit) & (lengths > 1)] = -np.inf
            choice = paths.argmax(axis=1)
            best[:, end], taken[:, end] = paths[np.arange(rows), choice], lengths[choice]
        result = np.full((rows, width), -1, np.int64)
        position = np.repeat([len(one) for one in words], count)
        for column in range(width - 1, -1, -1):
            here = np.flatnonzero(position)
            length = taken[here, position[here]]
            position[here] -= length
            result[here, column] = pieces[here // count, position[here], length - 1]
        return self._spell(result[result >= 0], (result >= 0).sum(axis=1), spelt)

    def _table(self, words: list[str], width: int) -> tuple[Floats, Ids, list[str]]:
        """Score and id of each piece by (word, start, length - 1); an unknown character has an id past the last."""
        scores = np.full((len(words), width, self.longest), -np.inf)
        pieces = np.full((len(words), width, self.longest), -1, np.int64)
        spelt: dict[str, int] = {}
        for row, word in enumerate(words):
            for start in range(len(word)):
                for length in range(1, min(self.longest, len(word) - start) + 1):
                    piece = word[start : start + length]
                    score = self.scores.get(piece)
                    if score is not None:
                        scores[row, start, length - 1], pieces[row, start, length - 1] = score, self.ids[piece]
                    elif length == 1:
                        scores[row, start, 0] = self.unknown
                        pieces[row, start, 0] = self.size + spelt.setdefault(piece, len(spelt))
        return scores, pieces, list(spelt)

    def _spell(self, tokens: Ids, lengths: Ids, spelt: list[str]) -> tuple[Ids, Ids]:
        """Replaces unknown characters by their byte tokens."""
        if not spelt:
            return tokens, lengths
        spellings = [[self.ids[BYTES[byte]] for byte in character.encode()] for character in spelt]
        flat = np.array([*range(self.size), *(number for ids in spellings for number in ids)], np.int64)
        sizes = np.array([1] * self.size + [len(ids) for ids in spellings], np.int64)
        return flat[spans(offsets(sizes)[tokens], sizes[tokens])], sums(sizes[tokens], lengths)


def _letters(word: str, ids: dict[str, int]) -> list[int]:
    """What merging starts from: a token for each character, or its byte tokens."""
    letters: list[int] = []
    for character in word:
        number = ids.get(character)
        letters += [number] if number is not None else [ids[BYTES[byte]] for byte in character.encode()]
    return letters


def _hashes(words: list[str]) -> npt.NDArray[np.uint64]:
    return np.array([xxhash.xxh3_64_intdigest(word.encode()) for word in words], np.uint64)
