"""Sampling: the distribution, its limits, and that a sentence's draws are its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from heedful.decode import Options, Sampling, decode
from heedful.decode.sampling import draw, uniforms
from heedful.errors import UserError

from .peers import sources, translator

LOGITS = torch.tensor([[2.0, 0.5, 1.0, -1.0, 0.0]])


def frequencies(sampling: Sampling, count: int = 20_000) -> torch.Tensor:
    chances = torch.from_numpy(uniforms(1, 0, 0, count))
    drawn = draw(LOGITS.expand(count, -1), chances, sampling)
    return torch.bincount(drawn, minlength=5) / count


def test_distribution() -> None:
    assert torch.allclose(frequencies(Sampling()), LOGITS[0].softmax(-1), atol=0.012)
    assert torch.allclose(frequencies(Sampling(temperature=2.0)), (LOGITS[0] / 2).softmax(-1), atol=0.012)


def kept(sampling: Sampling) -> list[int]:
    return (frequencies(sampling, 4000) > 0).nonzero()[:, 0].tolist()


def test_limits() -> None:
    # Chances: token 0 .563, 2 .207, 1 .126, 4 .076, 3 .028.
    assert kept(Sampling(top_k=2)) == [0, 2]
    assert kept(Sampling(top_p=0.57)) == [0, 2]  # the token that crosses p is in
    assert kept(Sampling(top_p=0.5)) == [0]
    assert kept(Sampling(top_p=1e-9)) == [0]
    assert kept(Sampling(min_p=0.3)) == [0, 2]
    assert kept(Sampling(min_p=1.0)) == [0]
    chances = LOGITS[0].softmax(-1)
    expected = chances[:3] / chances[:3].sum()
    assert torch.allclose(frequencies(Sampling(top_k=3))[:3], expected, atol=0.012)


def test_extreme_draws_stay_inside() -> None:
    ends = torch.tensor([0.0, 1.0 - 2**-53])
    drawn = draw(LOGITS.expand(2, -1), ends.double(), Sampling(top_k=3))
    assert drawn.tolist() == [0, 1]
    banned = LOGITS.clone()
    banned[0, 0] = -torch.inf
    assert draw(banned, torch.tensor([0.0]), Sampling()).tolist() == [2]


def test_same_limits_as_generate() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    logits = torch.randn(64, 50) * 2
    from transformers.generation.logits_process import (
        MinPLogitsWarper,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    assert transformers.__version__
    theirs = logits
    for warper in (TemperatureLogitsWarper(0.8), TopKLogitsWarper(20), TopPLogitsWarper(0.9), MinPLogitsWarper(0.05)):
        theirs = warper(None, theirs)
    sampling = Sampling(temperature=0.8, top_k=20, top_p=0.9, min_p=0.05)
    for row in range(64):
        chances = torch.from_numpy(np.linspace(0, 1, 3000, endpoint=False))
        drawn = set(draw(logits[row].expand(3000, -1), chances, sampling).tolist())
        assert drawn == set(theirs[row].isfinite().nonzero()[:, 0].tolist())


def test_draws_belong_to_the_sentence() -> None:
    model = translator(seed=4, spread=2.0)
    given = sources(12, seed=8)
    options = lambda **more: Options(sampling=Sampling(seed=5), best=3, max_extra=5, **more)
    answers = decode(model, given, options(batch=12))
    assert answers == decode(model, given, options(batch=12))
    alone = decode(model, given, options(batch=1))
    assert [[a.ids for a in found] for found in alone] == [[a.ids for a in found] for found in answers]
    other = decode(model, given, Options(sampling=Sampling(seed=6), best=3, max_extra=5))
    assert [[a.ids for a in found] for found in other] != [[a.ids for a in found] for found in answers]
    assert any(len({tuple(a.ids) for a in found}) > 1 for found in answers)


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"top_p": 0.0}, {"top_k": -1}, {"min_p": 2.0}])
def test_mistakes_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        Sampling(**wrong)  # type: ignore[arg-type]
