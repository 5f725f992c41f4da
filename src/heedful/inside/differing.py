"""Two models, or one at two times, on the same text: which heads look elsewhere, and what is found likelier."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import numpy.typing as npt

from .record import Kind, Layer, Line, Reals, Record, View, by_words, layer_number, mean_of

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """What is different in `b`, seen from `a`.

    `distances` [kind][layer of a][head]: the Jensen-Shannon divergence of a head's weights from those of the head
    of the same number at the same address, in bits, 0 (same) to 1 (nothing in common), the mean over queries; a layer
    without one to compare with has no numbers. `views`, on the lines of `a`: by how much more the mean of the heads
    gives in `b`, over all layers ("difference") and layer by layer ("difference 1", by `layer_number`). `said`: by
    token, as far as both answers begin alike, by how many nats `b` finds it likelier; `total` the same of the whole
    answer where it is the same text. `notes` say what could not be compared.
    """

    distances: dict[str, list[list[float]]]
    views: tuple[View, ...]
    said: tuple[tuple[str, float], ...]
    total: float | None
    notes: tuple[str, ...]


def compare(a: Record, b: Record) -> Difference:
    """How two records differ. Kinds are compared by tokens where both have the same, else by words where those are the
    same, else not; layers by address. Of another number of heads the means are compared."""
    notes = []
    if a.text != b.text:
        notes.append("the two were given different texts")
    theirs = {kind.name: kind for kind in b.kinds}
    distances: dict[str, list[list[float]]] = {}
    views: list[View] = []
    for kind in a.kinds:
        if kind.name not in theirs:
            notes.append(f"{kind.label}: only {a.model} has it")
            continue
        pair = _Pair(kind, theirs[kind.name], a, b)
        notes += pair.notes
        if pair.by is not None:
            distances[kind.name] = pair.distances()
            views += pair.views()
    own = {kind.name for kind in a.kinds}
    notes += [f"{kind.label}: only {b.model} has it" for kind in b.kinds if kind.name not in own]
    said, total, about = _said(a, b)
    return Difference(distances, tuple(views), said, total, (*notes, *about))


def divergence(one: Reals, other: Reals) -> float:
    """The Jensen-Shannon divergence of the rows of two matrices [queries, keys], in bits, the mean over rows that have
    something in either (Clark et al. 2019, section 6, have the sum over tokens). A row that is empty in one only counts
    as 1."""
    some, more = (np.asarray(weights, np.float64) for weights in (one, other))
    sums = some.sum(1, keepdims=True), more.sum(1, keepdims=True)
    p, q = (weights / np.where(total > 0, total, 1.0) for weights, total in zip((some, more), sums, strict=True))
    apart = (_relative(p, (p + q) / 2) + _relative(q, (p + q) / 2)) / 2
    empty = (sums[0][:, 0] > 0).astype(int) + (sums[1][:, 0] > 0)
    apart = np.where(empty == 1, 1.0, apart)[empty > 0]
    return float(np.clip(apart.mean(), 0.0, 1.0)) if len(apart) else 0.0


def _relative(p: Doubles, q: Doubles) -> Doubles:
    """The Kullback-Leibler divergence of each row in bits."""
    ratio = np.divide(p, q, out=np.ones_like(p), where=p > 0)
    found: Doubles = (p * np.log2(ratio)).sum(1)
    return found


class _Pair:
    """A kind in both records. `by` is "tokens" or "words", None where neither is the same."""

    def __init__(self, kind: Kind, other: Kind, a: Record, b: Record) -> None:
        self.kind, self.models = kind, (a.model, b.model)
        self.lines = [(record.lines[one.queries], record.lines[one.keys]) for record, one in ((a, kind), (b, other))]
        self.notes: list[str] = []
        self.by = self._by()
        found = {layer.address: layer for layer in other.layers}
        self.layers = [(layer, found.get(layer.address)) for layer in kind.layers]
        if self.by is not None:
            self.notes += self._about_layers(other)

    def _by(self) -> str | None:
        (queries, keys), (other_queries, other_keys) = self.lines
        pairs = ((queries, other_queries), (keys, other_keys))
        if all(one.pieces == other.pieces and (one.word == other.word).all() for one, other in pairs):
            return "tokens"
        if all(one.words == other.words for one, other in pairs):
            self.notes.append(f"{self.kind.label}: the tokens differ, so words are compared")
            return "words"
        self.notes.append(f"{self.kind.label}: not compared, for the words differ")
        return None

    def _about_layers(self, other: Kind) -> Iterator[str]:
        missing = sum(found is None for _, found in self.layers)
        more = len(other.layers) - (len(self.layers) - missing)
        for count, model in ((missing, self.models[0]), (more, self.models[1])):
            if count:
                yield f"{self.kind.label}: {count} layer{'s' * (count > 1)} that only {model} has"
        unlike = [one.address for one, two in self.layers if two is not None and len(one.weights) != len(two.weights)]
        if unlike:
            yield f"{self.kind.label}: other numbers of heads, so only their means are compared: {', '.join(unlike)}"

    def distances(self) -> list[list[float]]:
        found = []
        for one, two in self.layers:
            alike = two is not None and len(one.weights) == len(two.weights)
            heads = zip(one.weights, two.weights, strict=True) if two is not None and alike else ()
            found.append([divergence(self._merged(head, 0), self._merged(other, 1)) for head, other in heads])
        return found

    def views(self) -> Iterator[View]:
        both = [(one, two) for one, two in self.layers if two is not None and len(one.weights) and len(two.weights)]
        note = f"What a head gives on average in {self.models[1]}, less what it gives in {self.models[0]}."
        if both:
            yield self._view("difference", "difference", note, *map(list, zip(*both, strict=True)))
        for one, two in both:
            number = layer_number(one.address)
            yield self._view(f"difference {number}", f"difference, layer {number}", note, [one], [two])

    def _view(self, name: str, label: str, note: str, ours: list[Layer], theirs: list[Layer]) -> View:
        """Means over layers of the means over their heads, so that one with more heads counts no more."""
        means = [
            np.mean([self._merged(mean_of([layer]), side) for layer in layers], axis=0, dtype=np.float64)
            for side, layers in enumerate((ours, theirs))
        ]
        changed: Reals = np.asarray(means[1] - means[0], np.float32)
        if self.by == "words":
            changed = spread(changed, *self.lines[0])
        return View(self.kind.name, name, label, note, changed, signed=True)

    def _merged(self, weights: Reals, side: int) -> Reals:
        return weights if self.by == "tokens" else by_words(weights, *self.lines[side])


def spread(words: Reals, queries: Line, keys: Line) -> Reals:
    """Numbers by words [query words, key words] by tokens [queries, keys], so that `by_words` gives them back: each
    token of a word asks alike, and the tokens of a word share evenly what it gets."""
    counts = np.bincount(keys.word, minlength=len(keys.words))
    return (words / np.maximum(counts, 1))[np.ix_(queries.word, keys.word)].astype(np.float32)


def _said(a: Record, b: Record) -> tuple[tuple[tuple[str, float], ...], float | None, list[str]]:
    """The changes of what was said, of all of it, and what there is to say of it."""
    pairs = list(zip(a.said, b.said, strict=False))
    alike = list(takewhile(lambda pair: pair[0].text == pair[1].text, pairs))
    changes = tuple((one.text, other.logprob - one.logprob) for one, other in alike)
    total = None
    if a.said and b.said and a.answer == b.answer:
        total = sum(one.logprob for one in b.said) - sum(one.logprob for one in a.said)
    if len(alike) == len(a.said) == len(b.said):
        return changes, total, []
    if a.answer == b.answer:
        return changes, total, ["the answer is the same, but not its tokens"]
    return changes, total, [f"the answers differ after {len(alike)} token{'s' * (len(alike) != 1)}"]
