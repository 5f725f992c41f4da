"""What must and must not be said: against exhaustive search, and over many random sets of constraints."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from heedful.decode import Options, Wanted, decode
from heedful.errors import UserError
from heedful.model.embeddings import TokenInput
from heedful.model.layout import Layout
from heedful.model.model import Model

from .peers import END, START, translator

Scored = list[tuple[float, list[int]]]


def says(ids: list[int], phrase: tuple[int, ...]) -> bool:
    return any(tuple(ids[at : at + len(phrase)]) == phrase for at in range(len(ids) - len(phrase) + 1))


def obeys(ids: list[int], options: Options, wanted: Wanted) -> bool:
    """Whether an answer holds what it must and nothing that it must not; without any automaton."""
    listed = [token for token in ids if token in options.restricted or token in wanted.once]
    return (
        tuple(ids[: len(wanted.prefix)]) == wanted.prefix
        and all(any(says(ids, tuple(phrase)) for phrase in phrases) for phrases in wanted.required)
        and not any(says(ids, tuple(phrase)) for phrase in options.banned_phrases)
        and sorted(listed) == sorted(set(wanted.once))
    )


@torch.no_grad()
def everything(model: Model, source: list[int], vocab: int, longest: int) -> Iterator[tuple[float, list[int]]]:
    """Every answer of at most `longest` tokens, the end included, with its log-probability: one forward pass."""
    words = [token for token in range(vocab) if token != END]
    rows = [[START, *ids] for ids in itertools.product(words, repeat=longest - 1)]
    given = lambda rows: TokenInput(torch.tensor(sum(rows, [])), Layout.packed(np.array([len(row) for row in rows])))
    states, layouts = model.encode({"source": given([source] * len(rows)), "target": given(rows)})
    logprobs = model.logits("next_token", states, layouts).log_softmax(-1).view(len(rows), longest, vocab)
    told = set()
    for row, numbers in zip(rows, logprobs.tolist(), strict=True):
        total = 0.0
        for length in range(longest):
            if (ids := tuple(row[1 : length + 1])) not in told:
                told.add(ids)
                yield total + numbers[length][END], list(ids)
            if length < longest - 1:
                total += numbers[length][row[length + 1]]


def drawn(random_: random.Random, vocab: int, most: int, phrases: int) -> tuple[dict[str, Any], Wanted]:
    """Random constraints: options, and what is wanted. They may contradict one another."""
    words = [token for token in range(vocab) if token != END]
    restricted = tuple(random_.sample(words, random_.randint(1, 2))) if random_.random() < 0.4 else ()
    once = tuple(token for token in restricted if random_.random() < 0.6)
    others = [token for token in words if token not in restricted]  # restricted ids are no part of phrases
    phrase = lambda longest: tuple(random_.choice(others) for _ in range(random_.randint(1, longest)))
    required = tuple(
        tuple(phrase(most) for _ in range(random_.randint(1, 2))) for _ in range(random_.randint(0, phrases))
    )
    banned = tuple(phrase(3) for _ in range(random_.randint(0, 2)))
    prefix = phrase(2) if random_.random() < 0.3 else ()
    return {"banned_phrases": banned, "restricted": restricted}, Wanted(prefix, required, once)


@pytest.mark.parametrize("seed", range(200))
def test_a_wide_beam_is_exhaustive(seed: int) -> None:
    """The best of all answers that hold what they must; and UserError where there is none."""
    random_ = random.Random(seed)
    vocab, longest = 6, 5
    model = translator(seed=seed, spread=3.0, vocab=vocab)
    given, wanted = drawn(random_, vocab, 2 if seed % 2 else 3, 2)
    options = Options(beam=700, best=6, patience=math.inf, max_ratio=0.0, max_extra=longest, **given)
    source = [3, 4, 3]
    expected = sorted(
        ((options.normalized(total, len(ids) + 1), ids) for total, ids in everything(model, source, vocab, longest)
         if obeys(ids, options, wanted)),
        key=lambda scored: -scored[0],
    )[:6]  # fmt: skip
    if not expected:
        with pytest.raises(UserError, match="input 0"):
            decode(model, [source], options, wanted=[wanted])
        return
    ((*found,),) = decode(model, [source], options, wanted=[wanted])
    assert [answer.ids for answer in found] == [ids for _, ids in expected], (expected, found)
    assert [answer.score for answer in found] == pytest.approx([score for score, _ in expected], abs=1e-4)
