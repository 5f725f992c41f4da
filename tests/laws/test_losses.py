"""The chunked head is torch's cross-entropy, the two kernels are one attention, and bf16 is fp32 but for rounding."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from heedful.model import heads
from heedful.model.heads import Labels
from heedful.model.plan import Head

from . import cases
from .closeness import assert_all_close, assert_close, assert_same_bits, gradients

NAMES = pytest.mark.parametrize("name", cases.names())


@NAMES
def test_explicit_is_fused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """States and gradients."""
    made = cases.PLANS[name]
    rows = cases.draw(made)
    wanted, found = cases.labels(made, rows), {}
    for which in ("explicit", "fused"):
        cases.kernel(monkeypatch, which)
        model = cases.model_of(name)
        states, _ = model.encode(cases.packed(rows))
        cases.total_loss(model, cases.packed(rows), wanted).backward()
        found[which] = states, gradients(model)
    assert_all_close("explicit == fused: states", found["fused"][0], found["explicit"][0])
    assert_all_close("explicit == fused: gradients", found["fused"][1], found["explicit"][1])


@NAMES
def test_explicit_is_fused_in_bf16(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As near as bf16 is to fp32: see the next."""
    rows, found = cases.draw(cases.PLANS[name]), {}
    model = cases.model_of(name, torch.bfloat16)
    for which in ("explicit", "fused"):
        cases.kernel(monkeypatch, which)
        with torch.no_grad():
            found[which] = model.encode(cases.packed(rows, torch.bfloat16))[0]
    for stream, states in found["fused"].items():
        mean = (states.float() - found["explicit"][stream].float()).abs().mean()
        assert_close("explicit == fused, bf16: mean", mean, torch.zeros(()), 2e-2)
        assert_close("explicit == fused, bf16: worst", states, found["explicit"][stream], 6e-2)


@NAMES
@pytest.mark.parametrize("which", ["explicit", "fused"])
def test_bf16_is_fp32_but_for_rounding(name: str, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cases.kernel(monkeypatch, which)
    model, rows = cases.fresh_model(name, torch.bfloat16), cases.draw(cases.PLANS[name])
    with torch.no_grad():
        rounded = model.encode(cases.packed(rows, torch.bfloat16))[0]
        exact = model.float().encode(cases.packed(rows))[0]
    for stream, states in rounded.items():
        assert states.dtype == torch.bfloat16
        # Over a whole network, roundings add up: the mean is held to the law, the worst number to three times it.
        assert_close("bf16: mean error", (states.float() - exact[stream]).abs().mean(), torch.zeros(()), 2e-2)
        assert_close("bf16: worst error", states, exact[stream], 6e-2)


@NAMES
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("chunk", [heads.CHUNK, 3])
def test_losses_are_those_of_torch(name: str, smoothing: float, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums and gradients of every head, whole and in chunks, against torch on all the logits."""
    monkeypatch.setattr(heads, "CHUNK", chunk)
    made, rows = cases.PLANS[name], cases.draw(cases.PLANS[name])
    given, labels = cases.packed(rows), cases.labels(made, rows)
    model, peer = cases.model_of(name), cases.fresh_model(name)
    states, layouts = peer.encode(given)
    total = torch.zeros(())
    for head, sums in model(given, labels, smoothing).items():
        logits, ids = peer.logits(head, states, layouts), labels[head].ids
        if ids.ndim == 2:
            wanted = plain = functional.kl_div(logits.log_softmax(-1), ids, reduction="sum")
            right = (logits.argmax(-1) == ids.argmax(-1)).sum()
        else:
            wanted = functional.cross_entropy(logits, ids, label_smoothing=smoothing, reduction="sum")
            plain = functional.cross_entropy(logits, ids, reduction="sum")
            right = (logits.argmax(-1) == ids).sum()
        assert_close("loss == torch's", sums.loss, wanted)
        assert_close("loss == torch's", sums.nll, plain)
        assert int(sums.correct) == int(right)
        assert sums.count == len(ids)
        assert not sums.nll.requires_grad
        sums.loss.backward(retain_graph=True)
        total = total + wanted
    total.backward()
    assert_all_close("loss == torch's: gradients", gradients(model), gradients(peer))


@NAMES
def test_selected_rows(name: str) -> None:
    """Scoring some tokens is scoring a part of the sum; scoring none costs 0, and no gradient is NaN."""
    made, rows = cases.PLANS[name], cases.draw(cases.PLANS[name])
    given, labels = cases.packed(rows), cases.labels(made, rows)
    model = cases.model_of(name)
    with torch.no_grad():
        states, layouts = model.encode(given)
        for head, every in labels.items():
            count = len(every.ids)
            picks = torch.randperm(count)[: count // 2]
            rest = torch.tensor(sorted(set(range(count)) - set(picks.tolist())))
            parts = [model.head_loss(head, states, layouts, Labels(every.ids[p], p), 0.1) for p in (picks, rest)]
            whole = model.head_loss(head, states, layouts, every, 0.1)
            assert_close("parts of a loss == the whole", parts[0].loss + parts[1].loss, whole.loss)
            assert int(parts[0].correct + parts[1].correct) == int(whole.correct)

    nothing = torch.zeros(0, dtype=torch.long)
    none = {head: Labels(every.ids[:0], nothing) for head, every in labels.items()}
    for sums in model(given, none, 0.1).values():
        assert float(sums.loss.detach()) == float(sums.nll) == int(sums.correct) == sums.count == 0
        sums.loss.backward(retain_graph=True)
    for address, gradient in gradients(model).items():
        assert float(gradient.abs().sum()) == 0.0, address


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7, 12, 13])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_count_of_chunks_and_blocks(
    count: int, smoothing: float, with_bias: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks of 3 rows, in bf16 blocks of two chunks: none, a part of one, exactly one, several and a rest."""
    monkeypatch.setattr(heads, "CHUNK", 3)
    monkeypatch.setattr(heads, "BLOCK", 11 * 8)
    head = heads.Head(Head(name="x", streams=("s",), outputs=11, bias=with_bias), 5).to(dtype)
    states, ids = torch.randn(count, 5).to(dtype).requires_grad_(), torch.randint(11, (count,))
    sums = head.loss(states, Labels(ids), smoothing)
    sums.loss.backward()
    exact = [part.detach().double().requires_grad_() for part in (states, *head.parameters())]
    logits = functional.linear(*exact)
    loss = functional.cross_entropy(logits, ids, reduction="sum", label_smoothing=smoothing)
    loss.backward()
    limit = 1e-5 if dtype == torch.float32 else 2e-2
    assert_close("loss", sums.loss, loss.float(), limit)
    for part, other in zip((states, *head.parameters()), exact, strict=True):
        assert part.grad is not None
        assert other.grad is not None
        assert_close("gradients", part.grad.float(), other.grad.float(), limit)


def test_a_bias_can_be_trained_alone() -> None:
    head = heads.Head(Head(name="x", streams=("s",), outputs=11, bias=True), 5)
    head.output.weight.requires_grad_(False)
    head.loss(torch.randn(4, 5), Labels(torch.arange(4))).loss.backward()
    assert head.output.bias.grad is not None
    assert float(head.output.bias.grad.abs().sum()) > 0.0


@NAMES
def test_losses_of_bf16(name: str) -> None:
    """Losses are summed in fp32 whatever the weights are, and gradients have the weights' precision."""
    made, rows = cases.PLANS[name], cases.draw(cases.PLANS[name])
    labels = cases.labels(made, rows)
    model = cases.model_of(name, torch.bfloat16)
    exact = cases.fresh_model(name, torch.bfloat16).float()
    rounded_sums, exact_sums = model(cases.packed(rows, torch.bfloat16), labels), exact(cases.packed(rows), labels)
    for head, sums in rounded_sums.items():
        assert sums.loss.dtype == torch.float32
        assert_close("bf16: losses", sums.loss, exact_sums[head].loss, 2e-2)
        sums.loss.backward(retain_graph=True)
    for parameter in model.parameters():
        assert parameter.grad is None or (parameter.grad.dtype == torch.bfloat16 and parameter.grad.isfinite().all())


@NAMES
def test_looking_at_a_loss_needs_no_gradients(name: str) -> None:
    """The same bits without gradients (validation) as with them."""
    made, rows = cases.PLANS[name], cases.draw(cases.PLANS[name])
    labels, model = cases.labels(made, rows), cases.model_of(name)
    with_gradients = {head: sums.loss.detach() for head, sums in model(cases.packed(rows), labels, 0.1).items()}
    with torch.inference_mode():
        without = {head: sums.loss for head, sums in model(cases.packed(rows), labels, 0.1).items()}
    assert_same_bits(without, with_gradients)
