"""The likeliest labels of a sentence under a rule of which may follow which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]
Allowed = npt.NDArray[np.bool_]


def bio_rule(labels: Sequence[str]) -> Allowed:
    """[1 + labels, labels]: whether a label may follow another, or (first row) begin: I-X only after B-X or I-X."""
    before = ["O", *labels]
    rule = [
        [not label.startswith("I-") or (one[:1] in "BI" and one[2:] == label[2:]) for label in labels] for one in before
    ]
    return np.array(rule, np.bool_)


def viterbi(scores: Floats, allowed: Allowed) -> Ids:
    """The sequence [words] of the largest summed score [words, labels] among those that are allowed."""
    if not len(scores):
        return np.zeros(0, np.int64)
    cost = np.where(allowed, 0.0, -np.inf)
    best, back = scores[0] + cost[0], []
    for row in scores[1:]:
        paths = best[:, None] + cost[1:]
        back.append(paths.argmax(0))
        best = paths.max(0) + row
    found = [int(best.argmax())]
    for came in reversed(back):
        found.append(int(came[found[-1]]))
    return np.array(found[::-1], np.int64)
