"""Integrated gradients against differences along the path; occlusion against inputs without the word."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from laws import cases

from heedful.inside.attribution import blank, integrated_gradients, occlusion
from heedful.inside.scores import token_scores
from heedful.model.embeddings import PatchInput, RegionInput, TokenInput
from heedful.model.model import Model

NAMES = [name for name in cases.PLANS if name.endswith(("-post", "hand-made", "post-patches"))]
TOLERANCE = 0.05  # of the change, or of a nat where it is smaller, at the usual number of steps


def asked(name: str, dtype: torch.dtype = torch.float32) -> tuple[Model, dict, object, list[int], list[int]]:
    """A model, one row, and a score of some tokens."""
    made, model = cases.PLANS[name], cases.model_of(name, dtype)
    head = next(head for head in made.heads if head.reads == "tokens")
    tokens, ids = [0, 2, 4], [1, 2, 0]
    return model, cases.packed(cases.draw(made, [5]), dtype), token_scores(model, head.name, tokens, ids), tokens, ids


@pytest.mark.parametrize("name", NAMES)
def test_attributions_add_up_to_the_change(name: str) -> None:
    """Sundararajan et al. 2017, proposition 1 (completeness): of every score, for every stream."""
    model, inputs, score, *_ = asked(name)
    for stream, given in inputs.items():
        baseline = blank(given, 3)
        found = integrated_gradients(model, inputs, score, stream, baseline=baseline)
        with torch.no_grad():
            here, there = (score(*model.encode(one))[0].numpy() for one in (inputs, {**inputs, stream: baseline}))
        assert found.values.shape == (3, 5)
        np.testing.assert_allclose(found.change, here - there, atol=1e-5)
        np.testing.assert_allclose(found.gap, found.change - found.values.sum(-1), atol=1e-5)
        assert (np.abs(found.gap) <= TOLERANCE * np.maximum(1, np.abs(found.change))).all()
        assert np.abs(found.values).max() > 10 * np.abs(found.gap).max() or np.abs(found.change).max() < 1e-3
        assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("name", ["encoder-decoder-sinusoidal-post", "decoder-rotary-post", "two-streams-post"])
def test_attributions_are_integrals_along_the_path(name: str) -> None:
    """Of differences in fp64, token by token, at many points evenly apart."""
    model, inputs, score, tokens, ids = asked(name, torch.float64)
    stream, points, nudge = next(iter(inputs)), 12, 1e-5
    baseline = blank(inputs[stream], 3)
    layouts = {one: given.layout for one, given in inputs.items()}

    def value(begin: torch.Tensor) -> np.ndarray:
        states = {one: begin if one == stream else model.embedded(one, given) for one, given in inputs.items()}
        head = next(head for head in model.plan.heads if head.reads == "tokens")
        chances = model.logits(head.name, model.run(states, layouts), layouts).log_softmax(-1)
        return chances[tokens, ids].numpy()

    expected = np.zeros((3, 5))
    with torch.no_grad():
        there, begin = model.embedded(stream, inputs[stream]), model.embedded(stream, baseline)
        for share in (np.arange(points) + 0.5) / points:
            at = begin + share * (there - begin)
            for token in range(5):
                way = torch.zeros_like(at)
                way[token] = nudge * (there - begin)[token]
                expected[:, token] += (value(at + way) - value(at - way)) / (2 * nudge * points)
    found = integrated_gradients(model, inputs, score, stream, baseline=baseline, steps=64)
    np.testing.assert_allclose(found.values, expected, atol=0.005)
    assert np.abs(expected).max() > 0.1


def test_passes_of_any_size_are_alike() -> None:
    model, inputs, score, *_ = asked("encoder-decoder-learned-post")
    baseline = blank(inputs["source"], 3)
    whole, parts = (
        integrated_gradients(model, inputs, score, "source", baseline=baseline, steps=7, room=room).values
        for room in (4096, 25)
    )
    np.testing.assert_allclose(parts, whole, atol=1e-5)


def test_what_cannot_be_seen_or_does_not_differ_gets_nothing() -> None:
    """Later tokens, and tokens that are those of the baseline."""
    model, inputs, score, tokens, _ = asked("decoder-learned-post")
    kept = [1, 3]
    found = integrated_gradients(model, inputs, score, "text", baseline=blank(inputs["text"], 3, kept)).values
    for own, token in zip(found, tokens, strict=True):
        assert (own[token + 1 :] == 0).all()
        assert (own[kept] == 0).all()
        assert own[0] != 0
    elsewhere = integrated_gradients(
        *asked("encoder-decoder-learned-post")[:3],
        "source",
        baseline=asked("encoder-decoder-learned-post")[1]["source"],
    )
    assert (elsewhere.values == 0).all()


def test_a_model_in_training_is_asked_without_dropout() -> None:
    made = cases.small_plan("decoder", dropout=0.5, attention_dropout=0.5)
    model, inputs = cases.noisy_model(made).train(), cases.packed(cases.draw(made, [5]))
    score, baseline = token_scores(model, "next_token", [1, 3], [3, 4]), blank(inputs["text"], 3)
    one, same = (integrated_gradients(model, inputs, score, "text", baseline=baseline).values for _ in range(2))
    assert model.training
    assert np.array_equal(one, same)


def test_a_blank_is_laid_out_alike() -> None:
    made = cases.small_plan("two-streams")
    rows = cases.packed(cases.draw(made, [6]))
    text, picture = blank(rows["text"], 9, [0, 5]), blank(rows["picture"], 9)
    assert isinstance(text, TokenInput)
    assert isinstance(picture, RegionInput)
    first, *_, last = rows["text"].ids.tolist()
    assert text.ids.tolist() == [first, 9, 9, 9, 9, last]
    assert torch.equal(text.segments, rows["text"].segments)
    assert not picture.features.any()
    assert torch.equal(picture.boxes, rows["picture"].boxes)
    patches = blank(cases.packed(cases.draw(cases.PLANS["two-streams-post-patches"], [6]))["picture"], 0)
    assert isinstance(patches, PatchInput)
    assert not patches.pixels.any()
    assert patches.boxes.any()


@pytest.mark.parametrize("name", ["encoder-decoder-none-post", "decoder-none-post", "encoder-none-post"])
def test_a_hidden_word_is_one_that_is_not_given(name: str) -> None:
    """Without positions, tokens that are left out anywhere leave the others where they were."""
    made, model = cases.PLANS[name], cases.model_of(name)
    rows = cases.draw(made, [6])
    stream, head = made.streams[0].name, made.heads[0].name
    token = 5 if head == "next_token" and stream == "text" else 0  # what is not hidden
    groups = [[1], [2, 3], [4]]
    found = occlusion(model, cases.packed(rows), token_scores(model, head, [token], [7]), stream, groups)
    assert found.shape == (1, 3)
    assert found.dtype == np.float32

    def plainly(left: list[int]) -> float:
        fewer = {**rows, stream: [{key: value[left] for key, value in rows[stream][0].items()}]}
        place = left.index(token) if made.heads[0].streams[0] == stream else token
        with torch.no_grad():
            logits = model.logits(head, *model.encode(cases.packed(fewer))).double()
        return float(logits[place].log_softmax(-1)[7])

    whole = plainly(list(range(6)))
    for group, value in zip(groups, found[0], strict=True):
        assert value == pytest.approx(whole - plainly([at for at in range(6) if at not in group]), abs=1e-5)
        assert value != 0
