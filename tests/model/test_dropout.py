"""Dropout keeps the mean, drops the share it says, and sends gradients back through what it kept."""

from __future__ import annotations

import pytest
import torch

from heedful.model import kernels
from heedful.model.dropout import dropout

COUNT = 400_000


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.05, 0.1, 0.3, 0.5, 0.9])
def test_mean_and_rate(p: float, dtype: torch.dtype) -> None:
    """Within five standard deviations of the rounded rate, which is within 1/512 of p."""
    kept = dropout(torch.ones(COUNT, dtype=dtype), p, True)
    rate = round(p * 256) / 256
    assert abs(rate - p) <= 1 / 512
    share = float((kept == 0).double().mean())
    assert abs(share - rate) < 5 * (rate * (1 - rate) / COUNT) ** 0.5
    assert kept.unique().numel() == 2
    rounding = 4e-3 if dtype == torch.bfloat16 else 0.0
    assert abs(float(kept.double().mean()) - 1.0) < 5 * (rate / (1 - rate) / COUNT) ** 0.5 + rounding


def test_neighbours_are_dropped_independently() -> None:
    kept = (dropout(torch.ones(COUNT // 8, 8), 0.5, True) > 0).double()
    together = torch.corrcoef(kept.T) - torch.eye(8)
    assert float(together.abs().max()) < 5 / (COUNT / 8) ** 0.5


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (0, 4), (2, 3, 17)])
def test_gradient_passes_where_states_did(shape: tuple[int, ...]) -> None:
    states = torch.rand(shape).add(0.5).requires_grad_()
    kept = dropout(states, 0.4, True)
    kept.sum().backward()
    assert kept.shape == states.shape
    torch.testing.assert_close(states.grad, torch.where(kept == 0, 0.0, 256 / (256 - 102)) * torch.ones(shape))


@pytest.mark.parametrize(("p", "training"), [(0.3, False), (0.0, True), (0.001, True)])
def test_nothing_is_dropped(p: float, training: bool) -> None:
    """Outside training, at p = 0, and below half of 1/256."""
    states = torch.randn(50)
    assert dropout(states, p, training) is states


def test_the_next_call_draws_anew_and_a_seed_repeats_it() -> None:
    torch.manual_seed(3)
    first, second = (dropout(torch.ones(1000), 0.5, True) for _ in range(2))
    torch.manual_seed(3)
    assert torch.equal(dropout(torch.ones(1000), 0.5, True), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("which", [kernels.explicit, kernels.fused])
def test_attention_dropout_keeps_the_mean(which: object) -> None:
    query, key, value = torch.randn(3, 1, 2, 4, 8).unbind()
    plain = which(query, key, value, None, None, 0.3, 0.0)  # type: ignore[operator]
    many = [part.expand(20_000, -1, -1, -1) for part in (query, key, value)]
    dropped = which(*many, None, None, 0.3, 0.25)  # type: ignore[operator]
    assert float((dropped.mean(0) - plain[0]).abs().max()) < 0.03
    assert float((dropped[0] - plain[0]).abs().max()) > 0.05
