"""Which source words a translation was read from: cross-attention, one probed pass over a finished translation, and the
heads whose attention aligns words.

The weights with which a translation was written are those of a forward pass over it (house rule: cached == full), so
nothing has to be recorded while decoding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..model.embeddings import TokenInput
from ..model.layout import Layout
from ..model.model import Model
from ..text.tokenizer import Tokenizer
from .probing import capture
from .record import Ids, Kind, Layer, Line, Reals, View, by_words, layer_number, mean_of, merged

Link = tuple[int, int]  # a source word and a target word, numbered as in their lines, controls included
Heads = list[tuple[int, int]]  # (layer, head)


def cross_attention(model: Model, source: Sequence[int], target: Sequence[int]) -> dict[str, Tensor]:
    """Weights [heads, target tokens, source tokens] by address, while `target` (start token first) is written.

    Query i is the step at which token i is read and token i + 1 is written.
    """
    device = next(model.parameters()).device
    inputs = {
        name: TokenInput(torch.tensor(ids, device=device), Layout.packed(np.array([len(ids)]), device))
        for name, ids in (("source", source), ("target", target))
    }
    seen = capture(model, inputs, ["target.*.source.weights"])
    return {address: seen.row(address).float() for address in seen.addresses}


@dataclass(frozen=True)
class Words:
    """The words that tokens make, as spaces separate them: their texts, which word [tokens] each token is in, and the
    first token of each. A control token or a placeholder is a word of its own, called as it is written."""

    texts: list[str]
    index: np.ndarray
    first: list[int]


def words_of(tokenizer: Tokenizer, ids: Sequence[int]) -> Words:
    """The words of some tokens."""
    words: list[list[int]] = []
    index = []
    alone = True
    for token in ids:
        if alone or tokenizer.begins_word(token):
            words.append([])
        alone = not tokenizer.is_text(token)
        words[-1].append(token)
        index.append(len(words) - 1)
    called = lambda word: tokenizer.decode(word) if tokenizer.is_text(word[0]) else tokenizer.pieces(word)[0]
    return Words([called(word) for word in words], np.array(index, dtype=np.int64), [word[0] for word in words])


def align(weights: Tensor, target: Words, source: Words) -> np.ndarray:
    """Token weights [target tokens, source tokens] by words [target words, source words], each row summing to 1 (see
    `record.merged`). `target` are the words written."""
    shape = len(target.texts), len(source.texts)
    return merged(weights.cpu().numpy(), target.index, source.index, shape)


# ---- the heads that align --------------------------------------------------------------------------------------------


def best_heads(
    kinds: Sequence[tuple[Kind, Mapping[str, Line]]], count: int = 2, gold: Sequence[Set[Link]] | None = None
) -> Heads:
    """The `count` heads of a kind whose attention aligns words best, over the same kind of some sentences; the best
    first.

    With `gold`, the true links of each sentence, or some of them: by the alignment error rate of each head's `links`
    over all sentences. Without: by how much a head gives to the words that all heads together attend to most. Heads err
    each in its own way, so their mean is right more often than most of them. On the demo's translator this finds heads
    that are right, where how sure a head is (Voita et al. 2019, section 4), how many words it covers, whether it aligns
    both ways, and products of those prefer heads that follow the order of words; it takes some twenty sentences.
    """
    scores: dict[tuple[int, int], npt.NDArray[np.float64]] = {}
    for number, (kind, lines) in enumerate(kinds):
        queries, keys = lines[kind.queries], lines[kind.keys]
        heads = {(at, head): own for at, layer in enumerate(kind.layers) for head, own in enumerate(layer.weights)}
        if gold is None:
            given = _agreement({head: _text(own, queries, keys)[0] for head, own in heads.items()})
            found = {head: (score, 1.0) for head, score in given.items()}
        else:
            made = {head: set(links(own, queries, keys)) for head, own in heads.items()}
            sure = gold[number]
            found = {head: (2.0 * len(own & sure), float(len(own) + len(sure))) for head, own in made.items()}
        for head, score in found.items():
            scores[head] = scores.get(head, np.zeros(2)) + score
    return sorted(scores, key=lambda head: (-scores[head][0] / max(1.0, scores[head][1]), head))[:count]


def telling(kinds: Sequence[tuple[Kind, Mapping[str, Line]]]) -> dict[tuple[int, int], float]:
    """For each (layer, head) of a kind between a text and a picture, how many bits it says of which words and regions
    belong together: the mean `information` over the same kind of some examples."""
    bits: dict[tuple[int, int], float] = {}
    for kind, lines in kinds:
        queries, keys = lines[kind.queries], lines[kind.keys]
        for at, layer in enumerate(kind.layers):
            for head, own in enumerate(layer.weights):
                tied = _text(own, queries, keys)[0]
                told = information(tied if queries.picture is None else tied.T)
                bits[at, head] = bits.get((at, head), 0.0) + told / len(kinds)
    return bits


def information(weights: Reals) -> float:
    """How many bits it tells of the region to know the word: the mutual information of weights [words, regions], all
    words being equally likely. 0 where every word has the same regions; a head that always looks at the same place, or
    everywhere, tells nothing, however sure it is."""
    totals = weights.sum(-1, keepdims=True, dtype=np.float64)
    shares = (weights / np.where(totals > 0, totals, 1.0))[totals[:, 0] > 0]
    if not shares.size:
        return 0.0
    bits = lambda rows: -(rows * np.log2(np.where(rows > 0, rows, 1.0))).sum(-1)
    return float(bits(shares.mean(0)) - bits(shares).mean())


def best_view(kind: Kind, lines: Mapping[str, Line], heads: Sequence[tuple[int, int]], examples: int = 1) -> View:
    """The mean of some heads, at least one, as the view "best"; chosen over so many `examples`."""
    mean = mean_of([Layer("", kind.layers[layer].weights[[head]]) for layer, head in heads])
    named = ", ".join(f"layer {layer_number(kind.layers[layer].address)} head {head + 1}" for layer, head in heads)
    over = "on this one alone" if examples == 1 else f"over {examples} examples"
    if all(lines[name].picture is None for name in (kind.queries, kind.keys)):
        note = f"The mean of the heads that align words best, chosen {over}: {named}."
        return View(kind.name, "best", "best heads", note, mean)
    note = f"What tells most about which words and regions belong together, chosen {over}: {named}."
    return View(kind.name, "best", "most telling head", note, mean)


def links(weights: Reals, queries: Line, keys: Line) -> list[Link]:
    """(source word, target word) for each word of the queries' line: the word of the keys' line that it attends to
    most, controls apart; none for a word that attends to none. `weights` are by tokens [queries, keys]."""
    text, rows, columns = _text(weights, queries, keys)
    if not text.size:
        return []
    best = zip(rows, text.argmax(1), text.max(1), strict=True)
    return [(int(columns[key]), int(row)) for row, key, most in best if most > 0]


def alignment_error(found: Sequence[Link], sure: Set[Link], possible: Set[Link] = frozenset()) -> float:
    """The alignment error rate, 0 to 1 (Och and Ney 2003, section 5): sure links that are missed count, and found ones
    that are not even possible. What is sure is possible. 0 where there is nothing to find and nothing found."""
    made = set(found)
    total = len(made) + len(sure)
    return 1 - (len(made & sure) + len(made & (possible | sure))) / total if total else 0.0


def _agreement(heads: Mapping[tuple[int, int], Reals]) -> dict[tuple[int, int], float]:
    """By head, the mean over words of what it gives to each word attended to times what the mean of all heads gives,
    as a part of the most that it gives to any: 1 for all on that one."""
    mean = np.mean(list(heads.values()), axis=0) if heads else np.zeros((0, 0))
    if not mean.size:
        return dict.fromkeys(heads, 0.0)
    most = mean.max(1, keepdims=True)
    parts = mean / np.where(most > 0, most, 1.0)
    return {head: float((own * parts).sum(1).mean()) for head, own in heads.items()}


def _text(weights: Reals, queries: Line, keys: Line) -> tuple[Reals, Ids, Ids]:
    """Weights by words that are no controls, and the numbers of the rows' and the columns' words."""
    rows, columns = (np.flatnonzero(~np.array(line.control, np.bool_)) for line in (queries, keys))
    return by_words(weights, queries, keys)[np.ix_(rows, columns)], rows, columns
