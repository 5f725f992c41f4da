"""The smaller model: its numbers are those of the larger one with heads silenced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from laws.cases import PLANS, draw, model_of, packed, small_plan
from laws.looking import Scaled

from heedful.model.model import Model, load
from heedful.model.plan import Plan
from heedful.model.pruning import attentions, without_heads

ALL = sorted(PLANS)


def prunable(plan: Plan) -> list[str]:
    """Attentions that may lose heads: not ALiBi's, and not tied ones."""
    tied = [name for tie in plan.ties for name in (tie.keep, tie.share)]
    return [
        address
        for address, attend in attentions(plan)
        if attend.positions != "alibi"
        and not any(f"{name}.".startswith(f"{address}.") or f"{address}.".startswith(f"{name}.") for name in tied)
    ]


@pytest.mark.parametrize("name", ALL)
def test_the_smaller_model_is_the_larger_one_with_heads_silenced(name: str) -> None:
    model, made = model_of(name), PLANS[name]
    drawn = np.random.default_rng(len(name))
    keep, factors = {}, {}
    for address in prunable(made):
        units = dict(attentions(made))[address].kv_heads
        keep[address] = sorted(drawn.choice(units, drawn.integers(1, units + 1), replace=False).tolist())
        factors[address] = torch.tensor([float(unit in keep[address]) for unit in range(units)])
    smaller, inputs = without_heads(model, keep), packed(draw(made))
    with torch.no_grad():
        wanted, found = model.encode(inputs, probe=Scaled(factors))[0], smaller.encode(inputs)[0]
    for stream in wanted:
        torch.testing.assert_close(found[stream], wanted[stream], rtol=1e-5, atol=1e-5)
    sizes = [sum(parameter.numel() for parameter in one.parameters()) for one in (model, smaller)]
    whole = all(factor.all() for factor in factors.values())
    assert sizes[1] < sizes[0] or whole


def test_a_pruned_model_is_saved_and_loaded_like_any_other(tmp_path: Path) -> None:
    model = Model(small_plan("encoder-decoder"))
    smaller = without_heads(model, {"target.1.source": [0, 2]})
    smaller.save(tmp_path)
    again, _ = load(tmp_path)
    assert again.plan == smaller.plan
    assert dict(attentions(again.plan))["target.1.source"].heads == 2
    for name, tensor in smaller.tensors().items():
        assert torch.equal(again.tensors()[name], tensor)


@pytest.mark.parametrize(
    ("options", "keep", "message"),
    [
        ({}, {"target.9.source": [0]}, "no attention 'target.9.source'; it has source.0.source, "),
        ({}, {"target.0.source": []}, r"keep \[\] is no rising choice, at least one, of 0 to 3"),
        ({}, {"target.0.source": [1, 0]}, "no rising choice"),
        ({}, {"target.0.source": [0, 0]}, "no rising choice"),
        ({}, {"target.0.source": [4]}, "no rising choice"),
        ({}, {"target.0.source": [-1, 2]}, "no rising choice"),
        ({"positions": "alibi"}, {"source.0.source": [0]}, "ALiBi's slopes"),
    ],
)
def test_what_cannot_be_pruned_is_told(options: dict[str, Any], keep: dict[str, list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        without_heads(Model(small_plan("encoder-decoder", **options)), keep)


def test_tied_attentions_keep_their_heads() -> None:
    for address in ("text.0.picture", "picture.0.text", "text.0.text"):
        with pytest.raises(ValueError, match="is tied"):
            without_heads(model_of("hand-made"), {address: [0]})
