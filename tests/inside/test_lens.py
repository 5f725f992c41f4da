"""The logit lens: each layer says what a model of so many layers says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from laws import cases

from heedful.inside.lens import lens
from heedful.model.model import Model

LAYERS = 3
FAMILIES = {
    "decoder": ("text", "next_token"),
    "encoder": ("text", "masked_token"),
    "encoder-decoder": ("target", "next_token"),
}


def shorter(family: str, whole: Model, layers: int, place: str) -> Model:
    """A model of the first layers of another, whose norm and head it has."""
    sizes = {"layers": LAYERS, "decoder_layers": layers} if family == "encoder-decoder" else {"layers": layers}
    made = cases.small_plan(family, place=place, **sizes)
    tensors = whole.tensors()
    return cases.noisy_model(made, {name: tensors[name] for name in made.shapes()})


def best(model: Model, inputs: dict, head: str, top: int) -> list[list[tuple[int, float]]]:
    """The likeliest outputs of row 0, by NumPy."""
    with torch.no_grad():
        states, layouts = model.encode(inputs)
        logits = model.logits(head, states, layouts).double().numpy()
    stream = next(one.streams[0] for one in model.plan.heads if one.name == head)
    chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    order = np.argsort(-chances, -1)[:, :top]
    return [[(int(n), float(chances[at, n])) for n in order[at]] for at in range(inputs[stream].layout.lengths[0])]


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("place", ["pre", "post"])
def test_each_layer_says_what_a_model_that_ends_there_says(family: str, place: str) -> None:
    stream, head = FAMILIES[family]
    whole = cases.noisy_model(cases.small_plan(family, place=place, layers=LAYERS))
    inputs = cases.packed(cases.draw(whole.plan, [5, 3]))
    found = lens(whole, inputs, head, str, stream, "x", top=4)
    assert (found.line, found.label, found.positions) == (stream, "x", (0, 1, 2, 3, 4))
    assert found.layers == ("embedding", "layer 1", "layer 2", "layer 3")
    for layers in range(1, LAYERS + 1):
        expected = best(shorter(family, whole, layers, place), inputs, head, 4)
        for guesses, wanted in zip(found.guesses[layers], expected, strict=True):
            assert [guess.text for guess in guesses] == [str(n) for n, _ in wanted]
            np.testing.assert_allclose([guess.probability for guess in guesses], [c for _, c in wanted], atol=1e-5)


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("place", ["pre", "post"])
def test_the_last_layer_says_exactly_what_the_model_says(family: str, place: str) -> None:
    stream, head = FAMILIES[family]
    model = cases.noisy_model(cases.small_plan(family, place=place))
    inputs = cases.packed(cases.draw(model.plan, [6]))
    with torch.no_grad():
        chances = model.logits(head, *model.encode(inputs)).softmax(-1)
    names = [f"<{n}>" for n in range(chances.shape[1])]
    found = lens(model, inputs, head, names, stream, "", top=chances.shape[1])
    for own, guesses in zip(chances.tolist(), found.guesses[-1], strict=True):
        assert {guess.text: guess.probability for guess in guesses} == dict(zip(names, own, strict=True))


def test_before_any_layer_only_the_token_speaks() -> None:
    """Without positions the embedding says the same wherever a token stands."""
    model = cases.model_of("decoder-none-pre")
    rows = {"text": [{"ids": torch.tensor([5, 8, 5])}]}
    first, _, third = lens(model, cases.packed(rows), "next_token", str, "text", "").guesses[0]
    assert first == third
    with torch.no_grad():
        state = model.streams["text"].norm(model.streams["text"].embedding.tokens.weight[[5]])
        chances = model.logits("next_token", {"text": state}, {})[0].softmax(-1).topk(5)
    assert [guess.text for guess in first] == [str(n) for n in chances.indices.tolist()]
    np.testing.assert_allclose([guess.probability for guess in first], chances.values, atol=1e-6)


def test_some_positions_and_fewer_outputs_than_asked_for() -> None:
    made = cases.small_plan("encoder", vocab=7, segments=0)
    model = cases.noisy_model(made)
    inputs = cases.packed(cases.draw(made, [6, 2]))
    every, some = (lens(model, inputs, "masked_token", str, "text", "", at, 20) for at in (None, [4, 1]))
    assert some.positions == (4, 1)
    assert [len(guesses) for guesses in some.guesses[0]] == [7, 7]
    for layer, own in zip(every.guesses, some.guesses, strict=True):
        for guesses, wanted in zip(own, (layer[4], layer[1]), strict=True):
            assert [guess.text for guess in guesses] == [guess.text for guess in wanted]


def test_a_head_of_rows_has_no_lens() -> None:
    made = cases.small_plan("two-streams")
    model, inputs = cases.noisy_model(made), cases.packed(cases.draw(made, [4]))
    head = next(head for head in made.heads if head.reads != "tokens")
    with pytest.raises(ValueError, match=f"{head.name}.*reads rows"):
        lens(model, inputs, head.name, str, "text", "")
