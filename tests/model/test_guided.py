"""R-drop and distillation in the chunked head against plain implementations on all the logits, in fp64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from heedful.model import guided, heads
from heedful.model.guided import Teacher
from heedful.model.heads import Labels
from heedful.model.plan import Head

WIDTH, VOCAB = 5, 11


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guided, "CHUNK", 3)
    torch.manual_seed(1)


def head(bias: bool = True, dtype: torch.dtype = torch.float32) -> heads.Head:
    return heads.Head(Head(name="x", streams=("s",), outputs=VOCAB, bias=bias), WIDTH).to(dtype)


def teacher(count: int, share: float, temperature: float = 1.0, bias: bool = True) -> Teacher:
    """One of another width."""
    tensors = torch.randn(count, 7), torch.randn(VOCAB, 7), torch.randn(VOCAB) if bias else None
    return Teacher(*tensors, share=share, temperature=temperature)


def plainly(parts: list[Tensor], labels: Labels, smoothing: float) -> Tensor:
    """The same loss from the papers' formulas, on all the logits at once, by torch's own functions and autograd."""
    logits, ids = functional.linear(*parts), labels.ids
    passes = logits.chunk(2) if labels.r_drop else [logits]
    loss = torch.zeros((), dtype=logits.dtype)
    for one in passes:
        cost = functional.cross_entropy(one, ids, reduction="sum", label_smoothing=smoothing)
        if (given := labels.teacher) is not None:
            bias = None if given.bias is None else given.bias.double()
            told = functional.linear(given.states.double(), given.weight.double(), bias) / given.temperature
            student = (one / given.temperature).log_softmax(-1)
            learned = functional.kl_div(student, told.log_softmax(-1), reduction="sum", log_target=True)
            cost = (1 - given.share) * cost + given.share * given.temperature**2 * learned
        loss = loss + cost / len(passes)
    if labels.r_drop:
        p, q = (one.log_softmax(-1) for one in passes)
        both = [functional.kl_div(b, a, reduction="sum", log_target=True) for a, b in ((p, q), (q, p))]
        loss = loss + labels.r_drop / 4 * sum(both)
    return loss


@pytest.mark.parametrize("count", [1, 3, 7, 12])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("r_drop", "share", "temperature"),
    [(0.0, 0.5, 1.0), (0.0, 1.0, 2.0), (5.0, 0.0, 1.0), (0.7, 0.3, 1.5)],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loss_and_gradients_are_those_of_the_formulas(
    count: int, smoothing: float, bias: bool, r_drop: float, share: float, temperature: float, dtype: torch.dtype
) -> None:
    made, rows = head(bias, dtype), count * (2 if r_drop else 1)
    states, ids = torch.randn(rows, WIDTH).to(dtype).requires_grad_(), torch.randint(VOCAB, (count,))
    labels = Labels(ids, r_drop=r_drop, teacher=teacher(count, share, temperature, bias) if share else None)
    sums = made.loss(states, labels, smoothing)
    (sums.loss * 0.25).backward()
    exact = [part.detach().double().requires_grad_() for part in (states, *made.parameters())]
    expected = plainly(exact, labels, smoothing)
    (expected * 0.25).backward()
    limit = 1e-5 if dtype == torch.float32 else 3e-2
    assert float(sums.loss.detach()) == pytest.approx(float(expected.detach()), rel=limit, abs=limit)
    for part, other in zip((states, *made.parameters()), exact, strict=True):
        assert part.grad is not None
        assert other.grad is not None
        worst = float((part.grad.double() - other.grad).abs().max())
        assert worst <= limit * max(1.0, float(other.grad.abs().max())), worst


def test_what_is_counted_is_the_first_pass() -> None:
    made, ids = head(), torch.randint(VOCAB, (7,))
    states = torch.randn(14, WIDTH)
    sums, once = made.loss(states, Labels(ids, r_drop=1.0)), made.loss(states[:7], Labels(ids))
    assert sums.count == once.count == 7
    assert float(sums.nll) == pytest.approx(float(once.nll), rel=1e-6)
    assert int(sums.correct) == int(once.correct)
    assert not sums.nll.requires_grad


def test_passes_that_agree_cost_what_one_does() -> None:
    made, ids, states = head(), torch.randint(VOCAB, (7,)), torch.randn(7, WIDTH)
    twice = made.loss(torch.cat([states, states]), Labels(ids, r_drop=3.0), 0.1).loss
    assert float(twice.detach()) == pytest.approx(float(made.loss(states, Labels(ids), 0.1).loss.detach()), rel=1e-6)


def test_a_teacher_that_is_the_student_leaves_the_plain_loss_its_share() -> None:
    made, ids, states = head(), torch.randint(VOCAB, (7,)), torch.randn(7, WIDTH)
    itself = Teacher(states, made.output.weight.detach(), made.output.bias.detach(), share=0.25)
    sums, plain = made.loss(states, Labels(ids, teacher=itself)), made.loss(states, Labels(ids))
    assert float(sums.loss.detach()) == pytest.approx(0.75 * float(plain.loss.detach()), rel=1e-6)


def test_selected_rows_are_selected_in_both_passes() -> None:
    made, ids, picked = head(), torch.randint(VOCAB, (4,)), torch.tensor([0, 2, 5, 6])
    states = torch.randn(14, WIDTH)
    both = torch.cat([picked, picked + 7])
    chosen = made.loss(states, Labels(ids, both, r_drop=2.0)).loss
    assert float(chosen.detach()) == pytest.approx(
        float(made.loss(states[both], Labels(ids, r_drop=2.0)).loss.detach()), rel=1e-6
    )


def test_nothing_scored_costs_nothing() -> None:
    made, states = head(), torch.randn(0, WIDTH, requires_grad=True)
    labels = Labels(torch.zeros(0, dtype=torch.long), r_drop=1.0, teacher=teacher(0, 0.5))
    sums = made.loss(states, labels, 0.1)
    sums.loss.backward()
    assert float(sums.loss.detach()) == float(sums.nll) == int(sums.correct) == sums.count == 0
    assert all(float(part.grad.abs().sum()) == 0.0 for part in made.parameters() if part.grad is not None)


def test_labels_of_one_pass_for_two() -> None:
    with pytest.raises(ValueError, match="7 labels for 7 states"):
        head().loss(torch.randn(7, WIDTH), Labels(torch.randint(VOCAB, (7,)), r_drop=1.0))
