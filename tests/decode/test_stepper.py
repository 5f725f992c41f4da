"""The lowered step equals `Model.step`, and both equal the uncached model, for every kind of plan and cache event."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor

from heedful.decode.lowered import LoweredStepper
from heedful.decode.lowering import lowered
from heedful.decode.stepper import ModelStepper
from heedful.model import products
from heedful.model.embeddings import TokenInput
from heedful.model.layout import Layout
from heedful.model.model import Model
from heedful.model.pruning import attentions, without_heads

from .peers import continuer, sources, translator

CASES: list[dict[str, Any]] = [
    {"positions": positions, "place": place, "key_heads": key_heads, "norm": norm, **more}
    for positions, place, key_heads, norm, more in [
        ("sinusoidal", "post", None, "layer", {}),
        ("learned", "pre", 2, "rms", {"gated": True, "activation": "silu"}),
        ("rotary", "pre", 1, "layer", {"bias": False}),
        ("rotary", "post", None, "layer", {"head_width": 10}),
        ("alibi", "pre", 2, "layer", {"activation": "gelu_tanh"}),
        ("buckets", "post", None, "rms", {}),
        ("buckets", "pre", 2, "layer", {}),
        ("none", "pre", None, "layer", {"activation": "gelu"}),
    ]
]
TRANSLATORS = [{"embedding_norm": True, "output_bias": True, **case} for case in CASES]
CONTINUERS = [{"window": 3 if index % 2 else None, **case} for index, case in enumerate(CASES)]


def packed(rows: list[list[int]]) -> TokenInput:
    ids = torch.tensor([token for row in rows for token in row])
    return TokenInput(ids, Layout.packed(np.array([len(row) for row in rows], np.int64)))


def name(case: dict[str, Any]) -> str:
    return "-".join(str(value) for value in case.values())


def both(model: Model, rows: list[list[int]]) -> tuple[ModelStepper, LoweredStepper]:
    head = model.plan.heads[0]
    weights = lowered(model, head, None)
    assert weights is not None
    states, layouts = model.encode({"source": packed(rows)}) if "source" in model.streams else ({}, {})
    return (
        ModelStepper(model, head, len(rows), states, layouts),
        LoweredStepper(model, head, weights, len(rows), states, layouts),
    )


def close(one: Tensor, other: Tensor) -> None:
    assert torch.allclose(one, other, rtol=1e-4, atol=1e-4), float((one - other).abs().max())


def walk(steppers: tuple[ModelStepper, LoweredStepper], rows: int, slots: int, vocab: int) -> None:
    """Steps, a fork, parents that change, and rows that leave."""
    random = torch.Generator().manual_seed(0)
    draw = lambda below, *shape: torch.randint(below, shape, generator=random)
    for _ in range(2):
        tokens = draw(vocab, rows)
        close(*(steps.step(tokens) for steps in steppers))
    if slots > 1:
        for steps in steppers:
            steps.fork(slots)
    parents = None
    for turn in range(12):
        tokens = draw(vocab, rows * slots)
        close(*(steps.step(tokens, parents) for steps in steppers))
        parents = draw(slots, rows, slots) if slots > 1 else None
        if turn in (4, 7) and rows > 1:
            stay = torch.tensor([row for row in range(rows) if row != 1])
            for steps in steppers:
                steps.keep(stay)
            rows -= 1
            parents = parents[stay] if parents is not None else None


@pytest.mark.parametrize("case", TRANSLATORS, ids=name)
@pytest.mark.parametrize(("rows", "slots"), [(1, 1), (1, 3), (3, 1), (3, 3)])
@torch.inference_mode()
def test_translation(case: dict[str, Any], rows: int, slots: int) -> None:
    model = translator(seed=1, spread=2.0, **case)
    walk(both(model, sources(rows, longest=5)), rows, slots, 23)


@pytest.mark.parametrize("case", CONTINUERS, ids=name)
@pytest.mark.parametrize(("rows", "slots"), [(1, 1), (1, 3), (3, 1), (3, 3)])
@torch.inference_mode()
def test_continuation_after_a_prompt(case: dict[str, Any], rows: int, slots: int) -> None:
    model = continuer(seed=1, spread=2.0, **case)
    given = sources(rows, longest=7)
    steppers = both(model, given)
    close(*(steps.prefill(packed(given)) for steps in steppers))
    walk(steppers, rows, slots, 23)


@pytest.mark.parametrize("case", CONTINUERS, ids=name)
@torch.inference_mode()
def test_steps_equal_the_uncached_model(case: dict[str, Any]) -> None:
    """Two hypotheses of each of two prompts of unlike lengths, which swap parents, against one pass over each text."""
    model = continuer(seed=2, spread=2.0, **case)
    prompts = [[4, 5, 6, 7, 8], [9, 10]]
    for steps in both(model, prompts):
        steps.prefill(packed(prompts))
        steps.fork(2)
        texts = [[*prompt] for prompt in prompts for _ in range(2)]
        parents = None
        random = torch.Generator().manual_seed(3)
        for _ in range(7):
            tokens = torch.randint(23, (4,), generator=random)
            if parents is not None:
                texts = [texts[2 * row + parent] for row in range(2) for parent in parents[row].tolist()]
            texts = [[*text, token] for text, token in zip(texts, tokens.tolist(), strict=True)]
            logits = steps.step(tokens, parents)
            for text, said in zip(texts, logits, strict=True):
                states, layouts = model.encode({"text": packed([text])})
                close(model.logits("next_token", states, layouts)[-1], said)
            parents = torch.randint(2, (2, 2), generator=random)


@pytest.mark.parametrize("case", [case for case in TRANSLATORS if case["positions"] != "alibi"], ids=name)
@pytest.mark.parametrize(("rows", "slots"), [(1, 1), (1, 3), (3, 1), (3, 3)])
@torch.inference_mode()
def test_layers_that_differ_in_heads(case: dict[str, Any], rows: int, slots: int) -> None:
    """A pruned model goes the same way."""
    model = translator(seed=1, spread=2.0, **case)
    own, other = (dict(attentions(model.plan))[f"target.{block}"] for block in ("1.target", "0.source"))
    keep = {"target.1.target": [own.kv_heads - 1], "target.0.source": [*range(max(1, other.kv_heads - 1))]}
    tied = case["positions"] == "buckets"  # layers that share their table keep the same heads
    smaller = without_heads(model, {"target.0.source": keep["target.0.source"]} if tied else keep)
    assert tied or other.kv_heads == 1 or smaller.plan != model.plan
    walk(both(smaller, sources(rows, longest=5)), rows, slots, 23)


@torch.inference_mode()
def test_other_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kernel a probe may choose; and torch's where NumPy's products cannot be used."""
    from heedful.model.hardware import Choices

    monkeypatch.setattr(products, "SMALL", 0)
    model = translator(seed=1, spread=2.0)
    given = sources(3)
    states, layouts = model.encode({"source": packed(given)})
    head = model.plan.heads[0]
    reference = ModelStepper(model, head, 3, states, layouts)
    expected = [reference.step(torch.tensor([1, 2, 3])), reference.step(torch.tensor([4, 5, 6]))]
    for kind, ours in (("torch", True), ("numpy", True), ("packed", True), ("numpy", False)):
        choices = Choices(row=kind, step=kind)
        monkeypatch.setattr(products, "numpy_is_ours", lambda ours=ours: ours)
        weights = lowered(model, head, choices)
        assert weights is not None
        steps = LoweredStepper(model, head, weights, 3, states, layouts)
        close(steps.step(torch.tensor([1, 2, 3])), expected[0])
        close(steps.step(torch.tensor([4, 5, 6])), expected[1])


def test_a_changed_weight_is_seen() -> None:
    model = translator()
    head = model.plan.heads[0]
    first = lowered(model, head, None)
    assert lowered(model, head, None) is first
    with torch.no_grad():
        next(model.parameters()).mul_(2)
    second = lowered(model, head, None)
    assert second is not first
    model.heads["next_token"].output.weight = torch.nn.Parameter(torch.zeros(23, 24))  # another one in its place
    assert lowered(model, head, None) is not second


def test_a_norm_that_is_not_the_last_step_takes_the_general_path() -> None:
    made = continuer(layers=2).plan
    first, second, norm = made.steps
    assert lowered(Model(made, 0).eval(), made.heads[0], None) is not None
    other = msgspec.structs.replace(made, steps=(first, norm, second))
    assert lowered(Model(other, 0).eval(), made.heads[0], None) is None


def test_other_precisions_take_the_general_path() -> None:
    model = translator().double()
    assert lowered(model, model.plan.heads[0], None) is None
