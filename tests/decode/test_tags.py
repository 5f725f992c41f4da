"""Labels under a rule: the best allowed sequence, against trying all of them."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np

from heedful.decode.tags import bio_rule, viterbi

LABELS = ["O", "B-X", "I-X", "B-Y", "I-Y"]


def test_the_rule() -> None:
    rule = bio_rule(LABELS)
    assert rule[0].tolist() == [True, True, False, True, False]  # at the beginning
    assert rule[1].tolist() == [True, True, False, True, False]  # after O
    assert rule[2].tolist() == [True, True, True, True, False]  # after B-X
    assert rule[3].tolist() == [True, True, True, True, False]  # after I-X
    assert rule[4].tolist() == [True, True, False, True, True]


def test_it_is_the_best_of_all_that_are_allowed() -> None:
    generator, rule = np.random.default_rng(0), bio_rule(LABELS)
    for length in (1, 2, 3, 4) * 5:
        scores = generator.normal(size=(length, len(LABELS)))
        allowed = [
            path for path in product(range(len(LABELS)), repeat=length)
            if rule[0, path[0]] and all(rule[1 + one, other] for one, other in pairwise(path))
        ]  # fmt: skip
        best = max(allowed, key=lambda path: sum(scores[place, label] for place, label in enumerate(path)))
        assert viterbi(scores, rule).tolist() == list(best)


def test_no_words_no_labels() -> None:
    assert viterbi(np.zeros((0, 5)), bio_rule(LABELS)).tolist() == []
