"""Learning a vocabulary from counted words, the same on every run.

Merges are learnt by the `tokenizers` library. Unigram models are learnt here: the library's trainer gives other scores
on every run (it sums in the order of a randomly seeded hash table) and prunes frequent words, which costs 16 % more
pieces on Multi30k.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, trainers

from .pipeline import BYTES, CONTROLS, SPACE, control, placeholder

LONGEST_PIECE = 24
LONGEST_UNIGRAM = 16  # a lattice has so many edges at each character
# Beyond so many distinct words the rarest are forgotten: the count stays within about a gigabyte for any corpus.
MOST_WORDS = 4_000_000


def count_words(
    lines: Iterable[str], normaliser: normalizers.Normalizer, splitter: pre_tokenizers.PreTokenizer
) -> Counter[str]:
    """How often each word occurs, as the model will see it: normalised, escaped and cut."""
    words: Counter[str] = Counter()
    for line in lines:
        words.update([word for word, _ in splitter.pre_tokenize_str(normaliser.normalize_str(line))])
        if len(words) > MOST_WORDS:
            words = Counter({word: count for word, count in words.items() if count > 1})
    return words


def alphabet(words: Counter[str], most: int) -> list[str]:
    """The `most` frequent characters, sorted; a character that is left out is spelt with byte tokens."""
    counts: Counter[str] = Counter({SPACE: 1})
    for word, count in words.items():
        for character in word:
            counts[character] += count
    counts[SPACE] += sum(counts.values())  # never left out: every word may begin with it
    return sorted(sorted(counts, key=lambda character: (-counts[character], character))[:most])


def reserved(tags: Sequence[str], placeholders: int, byte_tokens: bool) -> list[str]:
    """The entries before all text pieces: controls, tags, placeholders, byte tokens; their positions are their ids."""
    marks = [*map(control, CONTROLS), *map(control, tags), *map(placeholder, range(1, placeholders + 1))]
    return [*marks, *(BYTES if byte_tokens else ())]


def bpe(words: Counter[str], size: int, first: list[str], letters: list[str], byte_level: bool) -> models.BPE:
    """Byte-pair encoding (Sennrich et al. 2016): entries `first`, then `letters`, then merges up to `size`."""
    scratch = tokenizers.Tokenizer(models.BPE())
    scratch.pre_tokenizer = pre_tokenizers.CharDelimiterSplit(" ")
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=first,
        initial_alphabet=letters,
        max_token_length=LONGEST_PIECE,
        show_progress=False,
    )
    scratch.train_from_iterator(_repeated(words, set(letters)), trainer)
    vocabulary, merges = _bpe_parts(scratch)
    return bpe_model(vocabulary, merges, byte_level)


def characters(first: list[str], letters: list[str]) -> models.BPE:
    """Every character of `letters` a token: byte-pair encoding without merges."""
    return bpe_model({piece: number for number, piece in enumerate([*first, *letters])}, [], byte_level=False)


def bpe_model(vocabulary: dict[str, int], merges: list[tuple[str, str]], byte_level: bool) -> models.BPE:
    """The model as we store it; without byte level an unknown character is spelt with byte tokens."""
    unknown = None if byte_level else control("<unk>")
    return models.BPE(vocab=vocabulary, merges=merges, unk_token=unknown, byte_fallback=not byte_level)


def unigram(words: Counter[str], size: int, first: list[str], letters: list[str]) -> models.Unigram:
    """A unigram language model (Kudo 2018, section 3.2): entries `first`, then pieces from the likeliest to the least.

    From four times as many substrings as are wanted, the half whose loss would cost the corpus least is dropped, again
    and again, with two steps of expectation and maximisation in between. The letters always stay.
    """
    room = size - len(first)
    scores = _substrings(words, letters, 4 * room)
    while True:
        for _ in range(2):
            scores = _estimate(words, scores)
        if len(scores) <= room:
            break
        losses = {p: math.exp(s) * (s - _without(p, scores)) for p, s in scores.items() if len(p) > 1}
        ranked = sorted(losses, key=lambda piece: (-losses[piece], piece))
        kept = set(letters).union(ranked[: max(room, len(scores) // 2) - len(letters)])
        scores = {piece: score for piece, score in scores.items() if piece in kept}
    pieces = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return unigram_model([*((piece, 0.0) for piece in first), *pieces])


def unigram_model(entries: list[tuple[str, float]]) -> models.Unigram:
    """The model as we store it: the unknown token is CONTROLS' own, an unknown character is spelt with byte tokens."""
    return models.Unigram(vocab=entries, unk_id=CONTROLS.index("<unk>"), byte_fallback=True)


def _repeated(words: Counter[str], letters: set[str]) -> Iterator[str]:
    """Lines in which every word occurs as often as it was counted, cut where a character is not in `letters`."""
    for word, count in sorted(words.items()):
        known = word if letters.issuperset(word) else "".join(c if c in letters else " " for c in word)
        per_line = max(1, 8192 // (len(known) + 1))
        for start in range(0, count, per_line):
            yield " ".join([known] * min(per_line, count - start))


def _bpe_parts(trained: tokenizers.Tokenizer) -> tuple[dict[str, int], list[tuple[str, str]]]:
    model = json.loads(trained.to_str())["model"]
    return model["vocab"], [(left, right) for left, right in model["merges"]]


def _ranked(words: Counter[str], most: int) -> list[tuple[str, int]]:
    return sorted(words.items(), key=lambda item: (-item[1], item[0]))[:most]


def _substrings(words: Counter[str], letters: list[str], most: int) -> dict[str, float]:
    """The letters and the substrings of most characters in the corpus, at first as likely as they are frequent."""
    counts: Counter[str] = Counter()
    known = set(letters)
    for word, count in _ranked(words, 100_000):
        for start in range(len(word)):
            for end in range(start + 1, min(len(word), start + LONGEST_UNIGRAM) + 1):
                counts[word[start:end]] += count
    longer = {p: float(len(p) * n) for p, n in counts.items() if len(p) > 1 and n > 1 and known.issuperset(p)}
    weights = {letter: float(max(1, counts[letter])) for letter in letters}
    for piece in sorted(longer, key=lambda piece: (-longer[piece], piece))[: max(0, most - len(letters))]:
        weights[piece] = longer[piece]
    total = math.fsum(weights.values())
    return {piece: math.log(weight / total) for piece, weight in sorted(weights.items())}


def _without(piece: str, scores: dict[str, float]) -> float:
    """The log-probability of the best way to write a piece with shorter ones."""
    best = [0.0] + [-math.inf] * len(piece)
    for start in range(len(piece)):
        for end in range(start + 1, len(piece) + (start > 0)):
            score = scores.get(piece[start:end], -math.inf) + best[start]
            if score > best[end]:
                best[end] = score
    return best[-1]


def _estimate(words: Counter[str], scores: dict[str, float], most: int = 30_000) -> dict[str, float]:
    """One step of expectation and maximisation over the `most` frequent words, summed in a fixed order."""
    # Every path over a word of n characters is scaled by the same 1000^n, which keeps products inside a float's range.
    weights = {piece: math.exp(score) * 1000.0 ** len(piece) for piece, score in scores.items()}
    longest = max(map(len, weights))
    expected = dict.fromkeys(scores, 0.0)
    for word, count in _ranked(words, most):
        length = len(word)
        edges = [
            (start, end, word[start:end])
            for start in range(length)
            for end in range(start + 1, min(length, start + longest) + 1)
            if word[start:end] in weights
        ]
        forward = [1.0] + [0.0] * length
        for start, end, piece in edges:
            forward[end] += forward[start] * weights[piece]
        if not 0.0 < forward[length] < math.inf:
            continue  # a character outside the alphabet, or a word too improbable for a float
        backward = [0.0] * length + [1.0]
        for start, end, piece in reversed(edges):
            backward[start] += weights[piece] * backward[end]
        share = count / forward[length]
        for start, end, piece in edges:
            expected[piece] += forward[start] * weights[piece] * backward[end] * share
    total = math.fsum(expected.values()) or 1.0
    return {piece: round(math.log(max(value, 1e-3) / total), 6) for piece, value in expected.items()}
