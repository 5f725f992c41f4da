"""Scores of given answers are what decoding says of its own."""

from __future__ import annotations

import math
from typing import Any

import pytest

from heedful.decode import Options, decode, score, scoring
from heedful.errors import UserError

from .peers import continuer, sources, translator

SEARCHES: list[dict[str, Any]] = [
    {"beam": 4, "best": 4, "alpha": 0.7},
    {"beam": 4, "best": 2, "length_penalty": "gnmt"},
    {"beam": 3, "length_penalty": "hf", "forced_last": 2},
    {},
    {"beam": 3, "logit_bias": {7: 1.5, 2: -0.5}, "banned": (8,), "forced_first": 9},
    {"beam": 2, "start": 4},
]


@pytest.mark.parametrize("search", SEARCHES, ids=str)
def test_scores_are_decodings(search: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "BATCH_TOKENS", 60)  # several batches
    monkeypatch.setattr(scoring, "CHUNK", 7)
    options = Options(max_extra=6, logprobs=True, **search)
    given = sources(15, seed=2)
    learned = translator(seed=5, spread=2.0, positions="learned", capacity=64)
    for model in (translator(seed=5, spread=2.0), continuer(seed=5, spread=2.0), learned):
        answers = [(ids, answer) for ids, found in zip(given, decode(model, given, options)) for answer in found]
        for finished in (True, False):
            some = [(ids, answer) for ids, answer in answers if answer.finished == finished]
            told = score(model, [(ids, answer.ids) for ids, answer in some], options, finished)
            for (_, answer), own in zip(some, told, strict=True):
                assert own.logprobs == pytest.approx(answer.logprobs, abs=1e-4)
                assert own.total == pytest.approx(sum(own.logprobs))
                assert own.score == pytest.approx(answer.score, abs=1e-4)


def test_order_batch_and_mode() -> None:
    model = translator(seed=1, spread=2.0, dropout=0.5).train()
    pairs = list(zip(sources(20, seed=1), sources(20, seed=2), strict=True))
    together = score(model, pairs)
    assert model.training
    for pair, told in zip(pairs, together, strict=True):
        assert score(model, [pair])[0].logprobs == pytest.approx(told.logprobs, abs=1e-4)
        assert len(told.logprobs) == len(pair[1]) + 1
    assert score(model, []) == []
    assert score(model, [([5], [])], finished=False)[0].score == 0.0
    assert len(score(model, [([5], [])])[0].logprobs) == 1


def test_a_continuation_without_a_start_token() -> None:
    model = continuer(seed=2)
    options = Options(start=None, max_ratio=0.0, max_extra=5)
    ((answer,),) = decode(model, [[5, 6]], options)
    (told,) = score(model, [([5, 6], answer.ids)], options, answer.finished)
    assert told.score == pytest.approx(answer.score, abs=1e-4)
    with pytest.raises(UserError, match="pair 1: nothing comes before its answer"):
        score(model, [([5], [6]), ([], [6])], options)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (([5, 99], [6]), "input 1 holds a token id outside"),
        (([5], [6, 23]), "pair 1: its answer holds a token id outside 0 to 22"),
        (([5], [-1]), "pair 1: its answer holds"),
        (([5] * 30, [6] * 40), "pair 1 has 71 tokens to read; this model has 64 positions"),
    ],
)
def test_mistakes_name_the_pair(pair: tuple[list[int], list[int]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        score(continuer(positions="learned"), [([5], [6]), pair])


def test_what_cannot_be_is_minus_infinity() -> None:
    (told,) = score(translator(), [([5], [6, 7])], Options(logit_bias={6: -math.inf}))
    assert told.total == told.score == -math.inf
