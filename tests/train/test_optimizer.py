"""AdamW against torch's own, its master weights in bf16, and what it must not import."""

from __future__ import annotations

import pytest
import torch
from standin import FORKS, StandIn
from torch import nn

from heedful.config import Training
from heedful.errors import UserError
from heedful.train.distributed import World
from heedful.train.optimizer import Optimizer, adamw

ALONE = World(rank=0, size=1, device=torch.device("cpu"))


@pytest.mark.parametrize("fused", [True, False])
def test_adamw_is_torchs(monkeypatch: pytest.MonkeyPatch, fused: bool) -> None:
    training = Training(betas=(0.8, 0.97), eps=1e-6)
    if not fused:
        monkeypatch.delattr(torch, "_fused_adamw_")
    draw = torch.Generator().manual_seed(0)
    ours = [torch.randn(5, 3, generator=draw), torch.randn(4, generator=draw)]
    theirs = [nn.Parameter(weight.clone()) for weight in ours]
    adam = torch.optim.AdamW(theirs, lr=1.0, betas=(0.8, 0.97), eps=1e-6, weight_decay=0.1, foreach=False)
    means, squares = ([torch.zeros_like(weight) for weight in ours] for _ in range(2))
    for update in range(1, 20):
        rate = 0.1 / update
        gradients = [torch.randn(weight.shape, generator=draw) for weight in ours]
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = gradient.clone()
        adam.param_groups[0]["lr"] = rate
        adam.step()
        adamw(ours, gradients, means, squares, update, rate, training, 0.1)
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other.detach(), rtol=1e-6, atol=1e-6)


def gradients_of(model: nn.Module, optimizer: Optimizer, factor: float = 1.0, times: int = 1) -> float:
    """Backward of a loss whose gradient is `factor` x weight, so many times; the norm."""
    for _ in range(times):
        (0.5 * factor * sum((p.float() ** 2).sum() for p in model.parameters())).backward()
    return optimizer.total(ALONE)


def test_the_mean_gradient_is_clipped() -> None:
    """With beta 0 and a large eps an update is rate x gradient / eps: its size tells the gradient's."""
    model = nn.Linear(3, 2)
    optimizer = Optimizer(model, Training(betas=(0.0, 0.0), eps=1e6, clip=0.25))
    before = torch.cat([p.detach().reshape(-1).clone() for p in model.parameters()])
    norm = gradients_of(model, optimizer, factor=10.0)
    assert norm == pytest.approx(10 * before.norm().item(), rel=1e-5)
    optimizer.update(1e6, 5, norm / 5)
    change = before - torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    assert change.norm().item() == pytest.approx(0.25, rel=1e-4)
    assert all(p.grad is None for p in model.parameters())


def test_vectors_do_not_decay() -> None:
    model = nn.LayerNorm(4)
    matrix = nn.Linear(4, 4)
    both = nn.ModuleList([model, matrix])
    optimizer = Optimizer(both, Training(weight_decay=0.5))
    before = {name: p.detach().clone() for name, p in both.named_parameters()}
    optimizer.update(0.1, 1, optimizer.total(ALONE))  # no gradient at all: only decay acts
    for name, parameter in both.named_parameters():
        factor = 0.95 if parameter.dim() > 1 else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * factor)


def test_bf16_gradients_add_up_in_fp32() -> None:
    """256 + 1 is 256 in bf16: a sum kept in bf16 would lose the small micro-batches."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    optimizer = Optimizer(model, Training(), "bf16")
    assert model.weight.dtype == torch.bfloat16
    gradients_of(model, optimizer, factor=256.0)
    assert gradients_of(model, optimizer, times=3) == 259.0
    assert model.weight.grad is None


def test_bf16_master_moves_by_less_than_bf16_can() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    optimizer = Optimizer(model, Training(), "bf16")
    for _ in range(20):
        optimizer.update(1e-3, 1, gradients_of(model, optimizer))
    assert optimizer.weights["weight"].item() == pytest.approx(0.98, abs=1e-3)
    assert model.weight.item() == pytest.approx(0.98, abs=4e-3)
    optimizer.release()
    assert model.weight.dtype == torch.float32
    model.weight.sum().backward()
    assert model.weight.grad is not None  # hooks are gone


def test_bf16_tables_of_the_model_come_back_whole() -> None:
    model = nn.Linear(2, 2)
    model.register_buffer("table", torch.full((3,), 1 / 3), persistent=False)
    optimizer = Optimizer(model, Training(), "bf16")
    assert model.table.dtype == torch.bfloat16
    optimizer.release()
    assert torch.equal(model.table, torch.full((3,), 1 / 3))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_restore(precision: str) -> None:
    def made(seed: int) -> tuple[nn.Module, Optimizer]:
        torch.manual_seed(seed)
        model = nn.Linear(4, 3)
        return model, Optimizer(model, Training(), precision)

    model, optimizer = made(0)
    for _ in range(3):
        optimizer.update(0.1, 1, gradients_of(model, optimizer))
    saved = {stem: {n: t.clone() for n, t in named.items()} for stem, named in optimizer.tensors().items()}
    other_model, other = made(1)
    other.restore(saved["model"], saved["optimizer"], 3)
    for m, o in ((model, optimizer), (other_model, other)):
        o.update(0.1, 1, gradients_of(m, o))
    for name, weight in optimizer.weights.items():
        assert torch.equal(weight, other.weights[name])
    for one, two in zip(model.parameters(), other_model.parameters(), strict=True):
        assert torch.equal(one, two)
    with pytest.raises(UserError, match=r"'weight' is \[4, 4\] in the checkpoint, \[3, 4\] in the model"):
        other.set_weights({**saved["model"], "weight": torch.zeros(4, 4)})


def imports() -> None:
    import sys
    import tempfile
    from pathlib import Path

    import standin

    with tempfile.TemporaryDirectory() as folder:
        standin.step_loop(Path(folder) / "run", StandIn(), steps=3)
    sys.exit(len({"torch._dynamo", "sympy", "rich", "transformers"} & set(sys.modules)))


def test_training_imports_no_compiler() -> None:
    process = FORKS.Process(target=imports)
    process.start()
    process.join(60)
    assert process.exitcode == 0
