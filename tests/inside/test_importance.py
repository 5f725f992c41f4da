"""How much heads matter: gradients of gates, held to differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from laws.cases import PLANS, Rows, draw, fresh_model, labels, length, noisy_model, packed, small_plan
from laws.looking import Scaled, unread
from torch.nn import functional

from heedful.inside.importance import ablation, importance, least_important
from heedful.model.heads import Labels
from heedful.model.model import Model
from heedful.model.plan import Head, Plan
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


@pytest.mark.parametrize("name", [name for name in sorted(PLANS) if not name.endswith(("-post", "-window"))])
def test_ablation_is_what_the_loss_grows_by_where_a_unit_is_not_read(name: str) -> None:
    """Its columns of the output matrix at 0; over two batches."""
    made = PLANS[name]
    model = fresh_model(name).train()
    batches = [(packed(rows), labels(made, rows)) for rows in (draw(made, [4, 6]), draw(made, [3, 2, 5, 4]))]
    found = ablation(model, batches)
    assert model.training
    model.eval()
    plain, shared = mean_loss(model, batches), {tie.keep for tie in made.ties} | {tie.share for tie in made.ties}
    for address, attend in attentions(made):
        if address in shared:  # both would lose the unit
            continue
        width = attend.inner // attend.kv_heads
        for unit in range(attend.kv_heads):
            with unread(model, address, slice(unit * width, (unit + 1) * width)):
                without = mean_loss(model, batches)
            assert found[address][unit] == pytest.approx(without - plain, abs=2e-5)


def mean_loss(model: Model, batches: list[Any]) -> float:
    """In nats per label, by the model's own forward pass."""
    with torch.no_grad():
        sums = [one for inputs, wanted in batches for one in model(inputs, wanted).values()]
    return sum(float(one.loss) for one in sums) / sum(one.count for one in sums)


def test_ablation_of_heads_that_read_early() -> None:
    """What comes after they have read changes nothing for them."""
    made = small_plan("two-streams", picture_width=24)
    likeness = Head(
        name="likeness", streams=("text", "picture"), outputs=6, reads="mean", objective="contrast", before=made.apart
    )
    model, rows = noisy_model(made.with_heads(likeness)), draw(made, [4, 6, 3])
    batches = [(packed(rows), {"likeness": Labels(torch.arange(3))})]
    found, plain = ablation(model, batches), mean_loss(model, batches)
    early = {f"{where}.{block.stream}" for step, where, block in made.blocks() if step < made.apart}
    assert early
    for address, attend in attentions(made):
        if address not in early:
            assert (found[address] == 0).all()
            continue
        with unread(model, address, slice(attend.inner // attend.kv_heads)):
            without = mean_loss(model, batches)
        assert found[address][0] == pytest.approx(without - plain, abs=2e-5)
        assert found[address].any()
