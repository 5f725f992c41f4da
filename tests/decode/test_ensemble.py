"""Several models as one: the mean of their probabilities, under every search."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from heedful.decode import Options, Sampling, Wanted, decode, score, watch
from heedful.decode.ensemble import mixture
from heedful.errors import UserError

from .peers import END, START, continuer, sources, translator
from .test_search import full_logprobs

SEARCHES: list[dict[str, Any]] = [{}, {"beam": 4, "best": 2}, {"beam": 3, "length_penalty": "hf"},
                                  {"sampling": Sampling(seed=1), "best": 2}]  # fmt: skip


@pytest.mark.parametrize("search", SEARCHES, ids=str)
def test_twice_the_same_is_once(search: dict[str, Any]) -> None:
    options = Options(max_extra=6, logprobs=True, batch=4, **search)
    for model in (translator(seed=3), continuer(seed=3)):
        once, twice = (decode(models, sources(12, seed=1), options) for models in (model, [model, model]))
        for one, other in zip(once, twice, strict=True):
            assert [answer.ids for answer in one] == [answer.ids for answer in other]
            assert [answer.score for answer in one] == pytest.approx([answer.score for answer in other], abs=1e-4)


@torch.no_grad()
def test_greedy_is_an_argmax_of_the_mean() -> None:
    """Models of unlike plans, one of them on the general path."""
    models = [translator(seed=1), translator(seed=2, layers=1, width=16, positions="rotary"), translator(seed=3)]
    models[2].double()
    for source in sources(8, seed=4):
        target: list[int] = []
        while len(target) < 2 * len(source) + 5 and END not in target:
            each = [full_logprobs(model, source, [START, *target])[-1].double().exp() for model in models]
            target.append(int(torch.stack(each).mean(0).argmax()))
        ((answer,),) = decode(models, [source], Options(max_extra=5))
        assert answer.ids == [token for token in target if token != END]
        (told,) = score(models, [(source, answer.ids)], finished=answer.finished)
        assert told.score == pytest.approx(answer.score, abs=1e-4)


def test_constraints_and_watching() -> None:
    models = [translator(seed=1), translator(seed=2)]
    wanted = Wanted(prefix=(5,), required=(((6, 7),),))
    for options in (Options(), Options(beam=3)):
        ((answer, *_),) = decode(models, [[8, 9]], options, wanted=[wanted])
        assert answer.ids[0] == 5
        assert (6, 7) in zip(answer.ids, answer.ids[1:], strict=False)
        assert list(watch(models, [8, 9], options, wanted=wanted))[-1] == answer


def test_the_mean_is_of_probabilities() -> None:
    logits = torch.randn(2, 3, 7)
    assert torch.allclose(mixture(list(logits)).exp(), logits.softmax(-1).mean(0), atol=1e-6)
    certain = torch.tensor([[0.0, -torch.inf]])
    assert torch.allclose(mixture([certain, certain.flip(1)]).exp(), torch.tensor([[0.5, 0.5]]))


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match="models 0 and 1 differ in vocabulary"):
        decode([translator(), translator(vocab=24)], [[5]])
    with pytest.raises(UserError, match="with or without a source"):
        decode([translator(), continuer()], [[5]])
    with pytest.raises(UserError, match="no model"):
        decode([], [[5]])
    with pytest.raises(UserError, match="input 0 has 9 tokens; this model has 8 positions"):
        decode([continuer(), continuer(positions="learned", capacity=8)], [[5] * 8 + [6]], Options(start=None))


def test_training_modes_come_back() -> None:
    models = [translator(seed=1, dropout=0.5).train(), translator(seed=2)]
    expected = decode([translator(seed=1), translator(seed=2)], sources(3))
    assert [len(found) for found in decode(models, sources(3))] == [len(found) for found in expected]
    assert [model.training for model in models] == [True, False]
