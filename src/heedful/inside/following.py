"""Which heads follow a feature of words that somebody names: gender, number, part of speech, any column of labels.

A head that attends to adjectives may do so because it always looks one word back. So what a head gives to some words is
set against what it would give them if it knew places and no words: its own mean weights at each distance, over all
texts, shared out anew for each query. (Clark et al. 2019, section 5, and Voita et al. 2019, section 5.2, hold syntactic
heads against the best fixed distance; that is the same for a head that has one.) The baseline is made of the weights
that it judges: of few texts it knows too much, and what is found is too little rather than too much.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import UserError
from .measures import visible
from .record import Kind, Line, by_words

Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Features = Sequence[str | None]
Pair = tuple[str, str]  # values of the query's word and of the word attended to
SAME, VALUE = "same", "value"


@dataclass(frozen=True)
class Example:
    """One text: a kind, its lines, and the feature of each word of the line attended to and of the line that attends
    (None: of no word). A word without the feature has None. Features are of all words, or of those that are no
    controls.
    """

    kind: Kind
    lines: Mapping[str, Line]
    keys: Features | None
    queries: Features | None = None


@dataclass(frozen=True)
class Share:
    """What of a query's attention goes to some words: the mean over `queries` words of `texts` texts that had a choice,
    that is, might see such words and others.

    `even` is what it would be if the attention that goes to words of the text were spread evenly over the tokens that
    the query may see; `placed` if it were spread by distance, as the head spreads it on average. `error` is the
    standard error of `excess`, texts being the sample.
    """

    share: float
    even: float
    placed: float
    error: float
    queries: int
    texts: int

    @property
    def excess(self) -> float:
        """How much more than places explain, as a part of all attention: -1 to 1."""
        return self.share - self.placed

    @property
    def lift(self) -> float:
        """How many times what places explain; 1 where there is nothing to compare."""
        return self.share / self.placed if self.placed > 0 else 1.0


@dataclass(frozen=True)
class Following:
    """What one head makes of a feature. `values`: what goes to words of each value. With features of both lines, `same`
    is what goes to words of the same value as the query's own, and `pairs` what goes from each value to each. `words`
    is the share of attention that goes to words of the text at all. What goes to controls, or within one word, is in
    none of the others."""

    layer: int
    head: int
    words: float
    values: dict[str, Share]
    same: Share | None
    pairs: dict[Pair, Share]


def following(examples: Sequence[Example]) -> list[Following]:
    """What every head makes of a feature over some texts of one kind and model. Values that no query had a choice about
    are left out. UserError where features are not as many as words."""
    texts = [_Text(example, number) for number, example in enumerate(examples, 1)]
    found = []
    for layer in range(len(examples[0].kind.layers)) if examples else ():
        weights = [text.weights(layer) for text in texts]
        by_distance = _by_distance(texts, weights)
        sums: dict[tuple[str, ...], list[Doubles]] = {}
        for text, own in zip(texts, weights, strict=True):
            alike = _shared_out(own, by_distance[:, text.distance - _least(texts)] * text.seen)
            even = _shared_out(own, np.broadcast_to(text.even, own.shape))
            for name, (rows, words) in text.choices.items():
                some = [(matrix * words).sum(2)[:, rows].sum(1) for matrix in (own, even, alike)]
                sums.setdefault(name, []).append(np.stack([*some, np.full(len(own), rows.sum())], 1))
        attended = np.concatenate([own.sum(2)[:, text.asks] for own, text in zip(weights, texts, strict=True)], 1)
        words = attended.sum(1) / max(1, attended.shape[1])
        found += [_following(layer, head, float(words[head]), sums) for head in range(len(words))]
    return found


def ranked(found: Sequence[Following], value: str | None = None) -> list[Following]:
    """Heads by how much more they give to words of a value than places explain (`Share.excess`), the most first; None:
    to words of the same value as the query's."""
    shares = [(head.same if value is None else head.values.get(value), head) for head in found]
    having = [(share.excess, head) for share, head in shares if share is not None]
    return [head for _, head in sorted(having, key=lambda pair: (-pair[0], pair[1].layer, pair[1].head))]


class _Text:
    """An example by words: what may be seen, how far it is, and which questions are asked of it.

    `seen` [query words, key words] marks words of the text that a word of the text may see, itself apart; `even` what
    even attention gives them; `choices` by question the queries that have a choice and the words it is about.
    """

    def __init__(self, example: Example, number: int) -> None:
        self.kind, lines = example.kind, example.lines
        self.queries, self.keys = lines[self.kind.queries], lines[self.kind.keys]
        even = visible(self.kind.causal, len(self.queries), len(self.keys)).astype(np.float64)
        even /= np.maximum(even.sum(1, keepdims=True), 1)
        spread = by_words(even.astype(np.float32), self.queries, self.keys).astype(np.float64)
        texts = [~np.array(line.control, np.bool_) for line in (self.queries, self.keys)]
        self.seen = (spread > 0) & texts[0][:, None] & texts[1] & ~self._itself()
        self.even: Doubles = spread * self.seen
        self.asks: Flags = np.any(self.seen, axis=1)
        self.distance = self._distance()
        keys = _of_words(example.keys, self.keys, number)
        queries = _of_words(example.queries, self.queries, number)
        self.choices = dict(self._choices(queries, keys))

    def weights(self, layer: int) -> Doubles:
        """[heads, query words, key words], 0 where nothing counts."""
        heads = [by_words(head, self.queries, self.keys) for head in self.kind.layers[layer].weights]
        shape = (len(heads), *self.seen.shape)
        return np.array(heads, np.float64).reshape(shape) * self.seen

    def _itself(self) -> Flags:
        """Which word of the keys each word of the queries is. A decoder's queries are written one token ahead of what
        is read, so that the same word begins one token later there."""
        same = np.zeros((len(self.queries.words), len(self.keys.words)), np.bool_)
        if self.kind.own:
            ahead = int(self.kind.queries != self.kind.keys)
            count = len(self.keys) - ahead
            same[self.queries.word[:count], self.keys.word[ahead:]] = True
        return same

    def _distance(self) -> npt.NDArray[np.int64]:
        """How many words each word attended to is after the query's place; between two streams that is its number,
        stretched to the other's length."""
        queries, keys = self.seen.shape
        place = np.arange(queries) * (1.0 if self.kind.own else (keys - 1) / max(1, queries - 1))
        found: npt.NDArray[np.int64] = np.arange(keys)[None, :] - np.round(place).astype(np.int64)[:, None]
        return found

    def _choices(self, queries: Features, keys: Features) -> Iterator[tuple[tuple[str, ...], tuple[Flags, Flags]]]:
        asked = {value: np.array([own == value for own in queries]) for value in queries if value is not None}
        for value in dict.fromkeys(own for own in keys if own is not None):
            words = self.seen & np.array([own == value for own in keys])
            rows = words.any(1) & (self.seen & ~words).any(1)
            yield (VALUE, value), (rows, words)
            yield from ((("pair", own, value), (rows & having, words)) for own, having in asked.items())
        same = self.seen & np.array([[own is not None and own == other for other in keys] for own in queries])
        yield (SAME,), (same.any(1) & (self.seen & ~same).any(1), same)


def _of_words(features: Features | None, line: Line, number: int) -> Features:
    """A feature for every word of a line, None for controls."""
    texts = [at for at, control in enumerate(line.control) if not control]
    if features is None or len(features) == len(line.words):
        return [None] * len(line.words) if features is None else features
    if len(features) != len(texts):
        raise UserError(f"text {number}: {len(features)} features for {len(texts)} words: {' '.join(line.words)!r}")
    by_word = dict(zip(texts, features, strict=True))
    return [by_word.get(at) for at in range(len(line.words))]


def _least(texts: Sequence[_Text]) -> int:
    return min(int(text.distance.min(initial=0)) for text in texts)


def _by_distance(texts: Sequence[_Text], weights: Sequence[Doubles]) -> Doubles:
    """The mean weight [heads, distances] at each distance, from the least one on."""
    least = _least(texts)
    size = 1 + max(int(text.distance.max(initial=0)) for text in texts) - least
    sums, counts = np.zeros((len(weights[0]), size)), np.zeros(size)
    for text, own in zip(texts, weights, strict=True):
        np.add.at(counts, (text.distance - least)[text.seen], 1)
        for head, matrix in enumerate(own):
            np.add.at(sums[head], (text.distance - least)[text.seen], matrix[text.seen])
    found: Doubles = sums / np.maximum(counts, 1)
    return found


def _shared_out(weights: Doubles, shares: Doubles) -> Doubles:
    """As much as each query gives [heads, queries, keys], shared out in other proportions."""
    sums = shares.sum(2, keepdims=True)
    found: Doubles = weights.sum(2, keepdims=True) * shares / np.where(sums > 0, sums, 1.0)
    return found


def _following(layer: int, head: int, words: float, sums: Mapping[tuple[str, ...], Sequence[Doubles]]) -> Following:
    shares = {name: share for name, texts in sums.items() if (share := _share(np.stack(texts)[:, head]))}
    values = {name[1]: share for name, share in shares.items() if name[0] == VALUE}
    pairs = {(name[1], name[2]): share for name, share in shares.items() if len(name) == 3}
    return Following(layer, head, words, values, shares.get((SAME,)), pairs)


def _share(sums: Doubles) -> Share | None:
    """From sums [texts, (share, even, placed, queries)]; None where there was no query."""
    asked = sums[sums[:, 3] > 0]
    if not len(asked):
        return None
    share, even, placed, queries = asked.sum(0).tolist()
    left = asked[:, 0] - asked[:, 2] - (share - placed) / queries * asked[:, 3]
    error = np.sqrt((left**2).sum() * len(asked) / max(1, len(asked) - 1)) / queries
    return Share(share / queries, even / queries, placed / queries, float(error), int(queries), len(asked))
