"""Which of many answers to give: the one most like all the others (minimum Bayes risk), by chrF.

The likeliest answer is often a poor one (Eikema and Aziz 2020). Drawn from the model, answers say by their number what
it believes; the candidate with the highest mean likeness to them is chosen, as in Freitag et al. 2022 with another
measure. Likeness is chrF (Popović 2015), which is cheap. Its weight on recall favours longer answers: samples of a
weak model gain in chrF and lose in BLEU.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

ORDER, BETA = 6, 2.0  # as in sacreBLEU: character n-grams up to 6, recall twice as important
LEVELS = 8  # n-grams that several texts hold more often are few, and counted one text after another
Scores = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


def least_risk(candidates: Sequence[str], weights: Sequence[float] | None = None) -> list[int]:
    """Numbers of the candidates, the one with the highest mean chrF against all of them first.

    Candidates are samples, repeats included, each one like itself. `weights` are for a list that is not drawn by
    chance: probabilities up to a factor. Equals keep their order.
    """
    utilities = chrf(candidates, candidates) @ (np.ones(len(candidates)) if weights is None else np.asarray(weights))
    return [int(number) for number in np.argsort(-utilities, kind="stable")]


def chrf(candidates: Sequence[str], references: Sequence[str]) -> Scores:
    """Sentence chrF, 0 to 100, of every candidate against every reference, as sacreBLEU's `sentence_chrf` counts it."""
    places = {text: number for number, text in enumerate(dict.fromkeys([*candidates, *references]))}
    rows, columns = ([places[text] for text in texts] for texts in (candidates, references))
    precision, recall, orders = (np.zeros((len(places), len(places))) for _ in range(3))
    for totals, matches in _matches(list(places)):
        both = (totals[:, None] > 0) & (totals > 0)
        precision += np.divide(matches, totals[:, None], out=np.zeros_like(matches), where=both)
        recall += np.divide(matches, totals, out=np.zeros_like(matches), where=both)
        orders += both
    below = BETA**2 * precision + recall  # that both are sums over the same number of orders changes no ratio
    score = np.divide((1 + BETA**2) * precision * recall, below * orders, out=np.zeros_like(below), where=below > 0)
    return 100.0 * score[np.ix_(rows, columns)]


def _matches(texts: Sequence[str]) -> Iterator[tuple[Scores, Scores]]:
    """For each order: the number of n-grams of every text [texts], and how many any two share [texts, texts]."""
    codes = [np.frombuffer("".join(text.split()).encode("utf-32-le", "surrogatepass"), "<u4") for text in texts]
    lengths = np.array([len(code) for code in codes], np.int64)
    owner = np.repeat(np.arange(len(texts)), lengths)
    left = np.repeat(lengths.cumsum(), lengths) - np.arange(len(owner))  # characters to the end of the text
    single = np.unique(np.concatenate([*codes, []]), return_inverse=True)[1].astype(np.int64)
    gram, at = single, np.arange(len(owner))  # the n-gram that begins at each place with room for one
    for order in range(1, ORDER + 1):
        if order > 1:
            room = left[at] >= order
            at = at[room]
            gram = np.unique(gram[room] * len(owner) + single[at + order - 1], return_inverse=True)[1]
        totals = np.maximum(lengths - order + 1, 0).astype(np.float64)
        shared = _shared(owner[at], gram, len(texts))
        np.fill_diagonal(shared, totals)
        yield totals, shared


def _shared(owner: Numbers, gram: Numbers, texts: int) -> Scores:
    """How many n-grams any two texts share: sums of the smaller counts, as products of tables "at least k times"."""
    pairs, times = np.unique(gram * texts + owner, return_counts=True)
    kind, text = np.divmod(pairs, max(texts, 1))
    common = np.bincount(kind) > 1  # what one text alone holds is never shared
    inside = common[kind]
    counts = np.zeros((texts, int(common.sum())), np.int64)
    counts[text[inside], (common.cumsum() - 1)[kind[inside]]] = times[inside]
    shared = np.zeros((texts, texts))
    for _ in range(LEVELS):
        table = (counts > 0).astype(np.float32)
        shared += table @ table.T
        counts = np.maximum(counts - 1, 0)
        counts = counts[:, (counts > 0).sum(0) > 1]
        if not counts.shape[1]:
            return shared
    shared += np.stack([np.minimum(counts, own).sum(1) for own in counts])
    return shared
