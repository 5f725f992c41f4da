"""Heads of every objective: losses against torch's own, every way to read a row, forms of layout, nothing to score."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from heedful.model.embeddings import TokenInput
from heedful.model.families import encoder
from heedful.model.heads import Head as Module
from heedful.model.heads import Labels, LossSums
from heedful.model.layout import Layout
from heedful.model.model import Model
from heedful.model.plan import Head

LENGTHS = [3, 1, 5, 2]
WIDTH = 6


def sums(head: Head, states: Tensor, ids: Tensor, layout: Layout | None = None, weight: float = 1.0) -> LossSums:
    torch.manual_seed(3)
    return Module(head, WIDTH).loss(states, Labels(ids, weight=weight), layout=layout)


def logits(head: Head, states: Tensor) -> Tensor:
    torch.manual_seed(3)
    return Module(head, WIDTH)(states)  # type: ignore[no-any-return]


def head(objective: str, outputs: int, **more: object) -> Head:
    return Head(name="x", streams=("text",), outputs=outputs, bias=True, objective=objective, **more)  # type: ignore[arg-type]


def states(rows: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(seed), requires_grad=True)


def test_several_labels_are_binary_cross_entropies() -> None:
    given, wanted = states(5), torch.tensor([[1, 0, 1.0], [0, 0, 0], [1, 1, 1], [0, 0.3, 1], [1, 0, 0]])
    one = head("several", 3)
    found, said = sums(one, given, wanted), logits(one, given)
    expected = -(wanted * said.sigmoid().log() + (1 - wanted) * (1 - said.sigmoid()).log()).sum()
    assert torch.allclose(found.loss, expected, rtol=1e-6)
    assert int(found.correct) == sum(((said[i] > 0) == (wanted[i] > 0.5)).all().item() for i in range(5))


def test_values_are_half_squared_errors_and_never_right() -> None:
    given, wanted = states(4), torch.randn(4, 2)
    one = head("values", 2)
    found = sums(one, given, wanted)
    assert torch.allclose(found.loss, 0.5 * functional.mse_loss(logits(one, given), wanted, reduction="sum"))
    assert (int(found.correct), found.count) == (0, 4)


def test_a_span_is_two_cross_entropies_over_the_tokens_of_its_row() -> None:
    layout = Layout.packed(np.array(LENGTHS))
    given, starts = states(sum(LENGTHS)), torch.from_numpy(layout.starts)
    inside = torch.tensor([[0, 2], [0, 0], [3, 1], [1, 1]])
    one = head("span", 2)
    found, said = sums(one, given, starts[:, None] + inside, layout), logits(one, given)
    expected, right = torch.zeros(()), 0
    for row, part in enumerate(said.split(LENGTHS)):
        for side in (0, 1):
            expected = expected + 0.5 * functional.cross_entropy(part[:, side][None], inside[row, side][None])
        right += int((part.argmax(0) == inside[row]).all())
    assert torch.allclose(found.loss, expected, rtol=1e-5)
    assert (int(found.correct), found.count) == (right, 4)
    (gradient,) = torch.autograd.grad(found.loss, given)
    (wanted,) = torch.autograd.grad(expected, given)
    assert torch.allclose(gradient, wanted, atol=1e-6)


def test_contrast_is_cross_entropy_both_ways_without_pairs_that_say_the_same() -> None:
    given, one = states(8), head("contrast", 4, sharpness=7.0)
    groups = torch.tensor([0, 1, 0, 2])  # the first and the third are the same
    found, vectors = sums(one, given, groups), functional.normalize(logits(one, given), dim=-1)
    alike = 7.0 * vectors[:4] @ vectors[4:].T
    expected = torch.zeros(())
    for row in range(4):
        others = [column for column in range(4) if column == row or groups[column] != groups[row]]
        for way in (alike, alike.T):
            expected = expected + 0.5 * (way[row, others].logsumexp(0) - way[row, row])
    assert torch.allclose(found.loss, expected, rtol=1e-5)
    assert found.count == 4


def test_a_distribution_is_a_divergence() -> None:
    given, wanted = states(3), torch.randn(3, 4).softmax(-1)
    one = head("distribution", 4)
    expected = (wanted * (wanted.log() - logits(one, given).log_softmax(-1))).sum()
    assert torch.allclose(sums(one, given, wanted).loss, expected, rtol=1e-5)


@pytest.mark.parametrize("objective", ["classes", "distribution", "several", "values", "contrast", "span"])
def test_nothing_scored_costs_nothing(objective: str) -> None:
    """The official ViLBERT divides by the number of masked regions and gives NaN."""
    ids = {"classes": torch.zeros(0, dtype=torch.long), "contrast": torch.zeros(0, dtype=torch.long)}
    given, empty = states(0), Layout.packed(np.zeros(0, np.int64))
    wanted = torch.zeros(0, 2, dtype=torch.long) if objective == "span" else ids.get(objective, torch.zeros(0, 2))
    found = sums(head(objective, 2), given, wanted, empty)
    found.loss.backward()
    assert (float(found.loss.detach()), float(found.nll), int(found.correct), found.count) == (0.0, 0.0, 0, 0)


@pytest.mark.parametrize("objective", ["classes", "several"])
def test_a_weight_multiplies_the_loss_and_nothing_else(objective: str) -> None:
    ids = torch.tensor([0, 1, 1]) if objective == "classes" else torch.ones(3, 2)
    plain = sums(head(objective, 2), states(3), ids)
    heavy = sums(head(objective, 2), states(3), ids, weight=2.5)
    assert torch.allclose(heavy.loss, 2.5 * plain.loss)
    assert float(heavy.nll) == float(plain.nll)


def small(*heads: Head) -> Model:
    plan = encoder(vocab=11, width=8, layers=1, heads=2, feedforward=8, capacity=9, dropout=0.0, attention_dropout=0.0)
    return Model(plan.with_heads(*heads), seed=1).eval()


def test_a_row_is_read_by_its_first_token_its_mean_or_its_pool() -> None:
    heads = [Head(name=how, streams=("text",), outputs=3, reads=how) for how in ("first", "mean", "pooled")]  # type: ignore[arg-type]
    model, ids = small(*heads), torch.arange(sum(LENGTHS)) % 11
    given = {"text": TokenInput(ids, Layout.packed(np.array(LENGTHS)))}
    states, layouts = model.encode(given)
    parts = states["text"].split(LENGTHS)
    for how, vectors in (("first", [part[0] for part in parts]), ("mean", [part.mean(0) for part in parts])):
        expected = model.heads[how](torch.stack(vectors))
        assert torch.allclose(model.logits(how, states, layouts), expected, atol=1e-6)
    assert model.logits("pooled", states, layouts).shape == (4, 3)


def test_padding_changes_neither_means_nor_spans() -> None:
    model = small(
        Head(name="mean", streams=("text",), outputs=3, reads="mean"),
        Head(name="span", streams=("text",), outputs=2, objective="span"),
    )
    ids = torch.arange(sum(LENGTHS)) % 11
    keep = torch.tensor([[place < length for place in range(7)] for length in LENGTHS])
    spread = torch.full((4, 7), 5)
    spread[keep] = ids
    forms = [TokenInput(ids, Layout.packed(np.array(LENGTHS))), TokenInput(spread.view(-1), Layout.padded(keep))]
    losses, inside = [], torch.tensor([[0, 1], [0, 0], [2, 4], [1, 1]])
    for form in forms:
        starts = torch.from_numpy(form.layout.starts)[:, None]
        labels = {"mean": Labels(torch.tensor([0, 1, 2, 0])), "span": Labels(starts + inside)}
        losses.append({name: float(sums.loss.detach()) for name, sums in model({"text": form}, labels).items()})
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_with_other_heads_the_trunk_stays_and_ties_of_heads_that_are_gone_go() -> None:
    plan = encoder(vocab=11, width=8, layers=1, heads=2, feedforward=8, capacity=9)
    other = plan.with_heads(head("several", 3))
    assert (other.streams, other.steps, other.ties) == (plan.streams, plan.steps, ())
    same = plan.with_heads(*plan.heads)
    assert same == plan
    trunk = {name for name in plan.shapes() if not name.startswith("heads.")}
    assert trunk == {name for name in other.shapes() if not name.startswith("heads.")}
