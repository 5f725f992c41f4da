"""What can be said of a head in one number, from its weights alone; and weights by what the attended values add.

Means go over the queries that see something. A head whose queries see nothing gets 0. Numbers say how a head looks, not
what it is for: judge that by what the model does without it (`importance.ablation`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from .record import Kind, Line

if TYPE_CHECKING:
    from torch import Tensor

    from ..model.attention import Attention

Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Table = dict[str, list[list[float]]]  # [measure][layer][head]


@dataclass(frozen=True)
class Measure:
    """A measure for a page: `note` is one sentence; `telling` says which end of it makes a head worth a look."""

    label: str
    note: str
    telling: Literal["high", "low"]
    citation: str


MEASURES: dict[str, Measure] = {
    "entropy": Measure(
        "entropy",
        "How spread out the weights of a query are, in bits: 0 on a single key, log2 of the keys if all get the same.",
        "low",
        "Clark et al. 2019, section 3.3",
    ),
    "diagonality": Measure(
        "diagonal",
        "How near to the query's own place the weights are: 1 all on the diagonal, 0 all as far from it as can be.",
        "high",
        "Zhang et al. 2021, On the usefulness of self-attention for automatic speech recognition with Transformers",
    ),
    "previous": Measure(
        "token before",
        "The share of a query's attention that goes to the token before it.",
        "high",
        "Voita et al. 2019, section 5.1; Clark et al. 2019, section 3.1",
    ),
    "first": Measure(
        "first token",
        "The share that goes to the first token, where heads often leave what they have no use for.",
        "high",
        "Vig and Belinkov 2019; Xiao et al. 2024",
    ),
    "coverage": Measure(
        "coverage",
        "How much of what even attention would give each key it gets: 1 all keys alike, near 0 all on one of many.",
        "high",
        "Tu et al. 2016; Wu et al. 2016, equation 14",
    ),
}


def measure(kind: Kind, lines: Mapping[str, Line]) -> Table:
    """All measures [measure][layer][head] of a kind that mean something there.

    `previous` is of a stream that attends to itself, and it and `diagonality` of texts only: regions of a picture come
    in no order. Not what the papers do: places are scaled to 0..1, so that queries and keys of different numbers have a
    diagonal, too; distances are by the furthest key that a query may see; and coverage is by what even attention over
    the keys that may be seen gives, in place of 1 a key. Of causal kinds the first query, which sees one key, counts
    for neither `first` nor `diagonality`. That a window may hide more is not known here.
    """
    text = lines[kind.queries].picture is None and lines[kind.keys].picture is None
    fits = {"previous": kind.own and text, "diagonality": text}
    functions = {
        "entropy": entropy,
        "diagonality": diagonality,
        "previous": previous,
        "first": first,
        "coverage": coverage,
    }
    found: Table = {name: [] for name in MEASURES if fits.get(name, True)}
    for layer in kind.layers:
        weights = np.asarray(layer.weights, np.float64)
        may_see = visible(kind.causal, *weights.shape[1:])
        for name, heads in found.items():
            heads.append(functions[name](weights, may_see).tolist())
    return found


def averaged(many: Sequence[Table]) -> Table:
    """The mean of the measures of many texts, all of one model and kind; a measure that some lack is of the others."""
    found: Table = {}
    for name in dict.fromkeys(name for one in many for name in one):
        texts = [one[name] for one in many if name in one]
        found[name] = [np.mean(layers, axis=0).tolist() for layers in zip(*texts, strict=True)]
    return found


def visible(causal: bool, queries: int, keys: int) -> Flags:
    """What may be seen [queries, keys]."""
    every = np.ones((queries, keys), np.bool_)
    return np.tril(every) if causal else every


# ---- each of weights [heads, queries, keys] and what may be seen [queries, keys]: [heads] ----------------------------


def entropy(weights: Doubles, may_see: Flags) -> Doubles:
    """In bits, of each query's weights, whatever they sum to, as shares."""
    sums = weights.sum(2, keepdims=True)
    shares = np.divide(weights, sums, out=np.zeros_like(weights), where=sums > 0)
    bits = -(shares * np.log2(shares, out=np.zeros_like(shares), where=shares > 0)).sum(2)
    return _mean(bits, _sees(weights))


def diagonality(weights: Doubles, may_see: Flags) -> Doubles:
    """1 less the mean distance from a query's place, as a part of the distance to the furthest key that it may see."""
    queries, keys = may_see.shape
    distance = np.abs(np.linspace(0, 1, queries)[:, None] - np.linspace(0, 1, keys)[None, :])
    furthest = np.max(distance * may_see, axis=1, initial=0.0)
    mean = (weights * distance).sum(2) / np.where(furthest > 0, furthest, 1.0)
    return _mean(1 - mean, _sees(weights) & (furthest > 0))


def previous(weights: Doubles, may_see: Flags) -> Doubles:
    """The mean weight of the key before the query's own; the first query has none."""
    before = np.diagonal(weights, -1, axis1=1, axis2=2)
    return _mean(before, _sees(weights)[:, 1 : 1 + before.shape[1]])


def first(weights: Doubles, may_see: Flags) -> Doubles:
    """The mean weight of key 0 among queries that have a choice."""
    return _mean(weights[:, :, :1].sum(2), _sees(weights) & (may_see.sum(1) > 1))


def coverage(weights: Doubles, may_see: Flags) -> Doubles:
    """The sum over keys of what each gets, at most its even share, as a part of all even shares."""
    even = may_see / np.maximum(may_see.sum(1, keepdims=True), 1)
    due = _sees(weights).astype(np.float64) @ even
    total = due.sum(1)
    found: Doubles = np.minimum(weights.sum(1), due).sum(1) / np.where(total > 0, total, 1.0)
    return found


def _sees(weights: Doubles) -> Flags:
    found: Flags = weights.sum(2) > 0
    return found


def _mean(values: Doubles, counted: Flags) -> Doubles:
    """The mean [heads] of values [heads, queries] over the queries that are counted; 0 where none is."""
    found: Doubles = (values * counted).sum(1) / np.maximum(counted.sum(1), 1)
    return found


# ---- weights by what values add --------------------------------------------------------------------------------------


def value_weighted(attention: Attention, value: Tensor, weights: Tensor) -> Tensor:
    """Weights [heads, queries, keys] by what they add to the output: the norm of weight x value x the head's part of
    the output matrix, as shares that sum to 1 for each query ("Attention is not only a weight", Kobayashi et al. 2020).
    Exact zeros for a query that sees nothing.

    `value` [key heads, keys, head width] is that of the probe's point, bias included; the output's own bias, which
    belongs to no key, is left out, as there.
    """
    attend = attention.attend
    shared = attend.heads // attend.kv_heads
    parts = attention.output.weight.detach().to(value).view(-1, attend.heads, attend.head_width)
    added = value.repeat_interleave(shared, 0) @ parts.permute(1, 2, 0)  # [heads, keys, width]
    norms = weights * added.norm(dim=-1)[:, None, :]
    sums = norms.sum(-1, keepdim=True)
    found: Tensor = norms / sums.masked_fill(sums == 0, 1.0)
    return found
