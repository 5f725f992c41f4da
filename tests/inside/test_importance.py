"""How much heads matter: gradients of gates, held to differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from laws.cases import PLANS, Rows, draw, fresh_model, labels, length, packed
from laws.looking import Scaled
from torch.nn import functional

from heedful.inside.importance import importance, least_important
from heedful.model.heads import Labels
from heedful.model.model import Model
from heedful.model.plan import Plan
from heedful.model.pruning import attentions


# Row by row, as the differences are taken, nothing can be read off two rows together, as "borrowed" does.
@pytest.mark.parametrize("name", sorted(PLANS.keys() - {"borrowed"}))
def test_importance_is_the_gradient_of_a_gate(name: str) -> None:
    """Against central differences in fp64, row by row; and the model is left as it was."""
    made = PLANS[name]
    model = fresh_model(name, torch.float64).train()
    rows = draw(made)
    found = importance(model, [(packed(rows, torch.float64), labels(made, rows))])
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    model.eval()
    count, step = len(next(iter(rows.values()))), 1e-5
    singles = [{stream: [some[number]] for stream, some in rows.items()} for number in range(count)]
    given = [(packed(single, torch.float64), _labels_of(made, rows, number)) for number, single in enumerate(singles)]
    for address, attend in attentions(made):
        slopes = np.zeros(attend.kv_heads)
        for unit in range(attend.kv_heads):
            for inputs, wanted in given:
                one = [_loss(model, inputs, wanted, address, unit, attend.kv_heads, sign * step) for sign in (1, -1)]
                slopes[unit] += abs(one[0] - one[1]) / (2 * step)
        np.testing.assert_allclose(found[address], slopes / (np.linalg.norm(slopes) or 1.0), rtol=1e-4, atol=1e-6)


def _loss(model: Model, inputs: Any, wanted: Any, address: str, unit: int, units: int, more: float) -> float:
    """In fp64, which the model's own loss is not."""
    factors = torch.ones(units, dtype=torch.float64)
    factors[unit] += more
    with torch.no_grad():
        states, layouts = model.encode(inputs, probe=Scaled({address: factors}))
        total = 0.0
        for name, one in wanted.items():
            chances = model.logits(name, states, layouts).log_softmax(-1)
            if one.ids.is_floating_point():
                total += float(functional.kl_div(chances, one.ids.double(), reduction="sum"))
            else:
                total += float(functional.nll_loss(chances, one.ids, reduction="sum"))
    return total


def _labels_of(made: Plan, rows: Rows, number: int) -> dict[str, Labels]:
    """One row's labels out of those of all rows."""
    found = {}
    for head in made.heads:
        some = [1 if head.reads == "pooled" else length(row) for row in rows[head.streams[0]]]
        first = sum(some[:number])
        found[head.name] = Labels(labels(made, rows)[head.name].ids[first : first + some[number]])
    return found


def test_the_least_important_go_and_one_stays() -> None:
    scores = {"a": np.array([0.9, 0.1, 0.4]), "b": np.array([0.05, 0.02]), "c": np.array([0.8, 0.6])}
    assert least_important(scores, 0.0) == {"a": [0, 1, 2], "b": [0, 1], "c": [0, 1]}
    assert least_important(scores, 2 / 7) == {"a": [0, 2], "b": [0], "c": [0, 1]}
    assert least_important(scores, 1.0) == {"a": [0], "b": [0], "c": [0]}
