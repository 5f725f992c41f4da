"""Scores of answers: each row of a pass on its own, as NumPy works them out from logits, and as losses have them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from laws import cases
from msgspec.structs import replace

from heedful.inside.scores import head_of, label_scores, likeness, odds, span_scores, token_scores
from heedful.model.heads import Labels
from heedful.model.model import Model
from heedful.model.plan import Head

HEADS = (
    Head(name="token", streams=("text",), outputs=31, bias=True),
    Head(name="label", streams=("text",), outputs=4, reads="mean", bias=True),
    Head(name="several", streams=("text",), outputs=5, reads="first", bias=True, objective="several"),
    Head(name="span", streams=("text",), outputs=2, bias=True, objective="span"),
    Head(name="alignment", streams=("text", "picture"), outputs=2, reads="pooled", bias=True),
)
LIKENESS = Head(name="likeness", streams=("text", "picture"), outputs=6, reads="mean", objective="contrast")
LENGTHS = {"text": [5, 3, 7], "picture": [2, 4, 3]}


@pytest.fixture(scope="module")
def passed() -> tuple[Model, dict, dict]:
    """A model over text and pictures, and the states and layouts of three rows."""
    made = cases.small_plan("two-streams")
    rows = cases.draw(made, LENGTHS)
    model = cases.noisy_model(made.with_heads(*HEADS))
    with torch.no_grad():
        return model, *model.encode(cases.packed(rows))


def soft(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def logits_of(passed: tuple[Model, dict, dict], head: str) -> np.ndarray:
    model, states, layouts = passed
    with torch.no_grad():
        return model.logits(head, states, layouts).double().numpy()


def test_tokens(passed: tuple[Model, dict, dict]) -> None:
    model, states, layouts = passed
    found = token_scores(model, "token", [2, 0, 0], [7, 30, 1])(states, layouts).detach().numpy()
    logits = soft(logits_of(passed, "token"))
    begins = [0, 5, 8]
    expected = [[logits[b + 2, 7], logits[b, 30], logits[b, 1]] for b in begins]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_more_tokens_than_a_chunk(passed: tuple[Model, dict, dict]) -> None:
    model, states, layouts = passed
    found = token_scores(model, "token", [1] * 200, [5] * 200)(states, layouts).detach().numpy()
    assert found.shape == (3, 200)
    np.testing.assert_allclose(found[:, 77], soft(logits_of(passed, "token"))[[1, 6, 9], 5], atol=1e-5)


def test_labels(passed: tuple[Model, dict, dict]) -> None:
    model, states, layouts = passed
    found = label_scores(model, "label", [3, 0])(states, layouts).detach().numpy()
    np.testing.assert_allclose(found, soft(logits_of(passed, "label"))[:, [3, 0]], atol=1e-5)
    yes = label_scores(model, "several", [4])(states, layouts).detach().numpy()
    np.testing.assert_allclose(yes, -np.log1p(np.exp(-logits_of(passed, "several")[:, [4]])), atol=1e-5)


def test_odds(passed: tuple[Model, dict, dict]) -> None:
    model, states, layouts = passed
    chances = soft(logits_of(passed, "alignment"))
    found = odds(model, "alignment")(states, layouts).detach().numpy()
    np.testing.assert_allclose(found[:, 0], chances[:, 0] - chances[:, 1], atol=1e-5)
    assert np.array_equal(odds(model, "alignment", 1, 0)(states, layouts).detach().numpy(), -found)


def test_spans(passed: tuple[Model, dict, dict]) -> None:
    """Among the tokens of the row, as the loss has them."""
    model, states, layouts = passed
    found = span_scores(model, "span", 1, 2)(states, layouts).detach().numpy()
    logits = np.split(logits_of(passed, "span"), [5, 8])
    expected = [[soft(own[:, 0])[1], soft(own[:, 1])[2]] for own in logits]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    wanted = Labels(torch.tensor([[1, 2], [6, 7], [9, 10]]))
    loss = model.head_loss("span", states, layouts, wanted, 0.0).loss
    assert float(loss.detach()) == pytest.approx(-found.mean(-1).sum(), abs=1e-5)


def test_likeness() -> None:
    """Cosines of what a head makes of two streams before they meet."""
    made = cases.small_plan("two-streams", picture_width=24)
    early = replace(LIKENESS, before=made.apart)
    model = cases.noisy_model(made.with_heads(early))
    assert head_of(model, "likeness").before == made.apart > 0
    with torch.no_grad():
        given = cases.packed(cases.draw(made, LENGTHS))
        states = {name: model.embedded(name, one) for name, one in given.items()}
        layouts = {name: one.layout for name, one in given.items()}
        states = model.run(states, layouts, last=made.apart)
        found = likeness(model)(states, layouts).numpy()
        means = {
            name: np.stack([part.double().mean(0).numpy() for part in states[name].split(LENGTHS[name])])
            for name in states
        }
    weight = model.tensors()["heads.likeness.output.weight"].double().numpy()
    one, other = (means[name] @ weight.T for name in ("text", "picture"))
    cosines = (one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)
    np.testing.assert_allclose(found[:, 0], cosines, atol=1e-5)


def test_a_head_that_is_not_there(passed: tuple[Model, dict, dict]) -> None:
    with pytest.raises(ValueError, match=r"no head 'tokens'; it has token, label"):
        token_scores(passed[0], "tokens", [0], [0])
