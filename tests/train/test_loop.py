"""The loop: resumed == uninterrupted, processes == accumulation, and nothing that is not finite gets in."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import standin
import torch
from standin import StandIn, begin, finished, step_loop

from heedful.errors import UserError
from heedful.train import checkpoint
from heedful.train import loop as loop_module
from heedful.train.distributed import connect
from heedful.train.journal import exact, read
from heedful.train.loop import train
from heedful.train.optimizer import Optimizer
from heedful.train.validation import Validation


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Stop(Exception):
    """What interrupts a run in these tests, at a place of our choosing."""


class Stopping(StandIn):
    """Raises before the micro-batch with this number is collated, or in a validation."""

    def __init__(self, at: int = -1, in_validation: int = -1) -> None:
        super().__init__()
        self.left, self.validations = at, in_validation

    def collate(self, micro_batch: object, epoch: int) -> standin.Batch:
        if epoch >= 0 and epoch != -1 % 1000:
            self.left -= 1
            if self.left == -1:
                raise Stop
        return super().collate(micro_batch, epoch)

    def validate(self, model: torch.nn.Module) -> Validation:
        self.validations -= 1
        if self.validations == -1:
            raise Stop
        return super().validate(model)


def same_run(one: Path, other: Path) -> None:
    """Bit-equal: the finished weights, every file of the last checkpoint but the clock in its state, every line."""
    assert exact(read(one / "journal.jsonl")) == exact(read(other / "journal.jsonl"))
    assert all(torch.equal(a, b) for a, b in zip(finished(one).values(), finished(other).values(), strict=True))
    last = [checkpoint.newest(run) for run in (one, other)]
    assert last[0]
    assert last[1]
    for stem in ("model", "optimizer"):
        files = [(found.folder / f"{stem}.safetensors").read_bytes() for found in last]
        assert files[0] == files[1]
    states = [{k: v for k, v in found.state.items() if k not in ("elapsed", "pace")} for found in last]
    assert states[0] == states[1]


# 7 micro-batches an epoch; a checkpoint every 5 steps, a validation every 10.
STOPS = {"in step 1": 0, "mid-epoch": 17, "epoch end": 14, "at a checkpoint": 15, "in accumulation": 16}


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resumed_is_uninterrupted(tmp_path: Path, stop: str, accumulate: int, precision: str) -> None:
    options = {"steps": 25, "accumulate": accumulate, "precision": precision, "schedule": "cosine", "average": 3}
    step_loop(tmp_path / "whole", **options)
    with pytest.raises(Stop):
        step_loop(tmp_path / "stopped", Stopping(at=STOPS[stop]), **options)
    step_loop(tmp_path / "stopped")
    same_run(tmp_path / "whole", tmp_path / "stopped")


def test_stopped_again_and_again(tmp_path: Path) -> None:
    step_loop(tmp_path / "whole", steps=40)
    begin(tmp_path / "stopped", steps=40)
    for at in (3, 12, 0, 9, 11, 13):
        with pytest.raises(Stop):
            step_loop(tmp_path / "stopped", Stopping(at=at))
    with pytest.raises(Stop):
        step_loop(tmp_path / "stopped", Stopping(in_validation=0))
    step_loop(tmp_path / "stopped")
    same_run(tmp_path / "whole", tmp_path / "stopped")


def test_stopped_while_finishing_and_after(tmp_path: Path) -> None:
    """A finished run that is resumed finishes again, to the same bits."""
    step_loop(tmp_path / "run", steps=20, average=2)
    before = finished(tmp_path / "run")
    step_loop(tmp_path / "run")
    assert all(torch.equal(tensor, before[name]) for name, tensor in finished(tmp_path / "run").items())


def test_the_same_seed_gives_the_same_bits_and_another_another(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        step_loop(tmp_path / name, StandIn(seed=seed), steps=10)
    same_run(tmp_path / "a", tmp_path / "b")
    assert exact(read(tmp_path / "a" / "journal.jsonl")) != exact(read(tmp_path / "c" / "journal.jsonl"))


def test_accumulation_is_one_large_batch(tmp_path: Path) -> None:
    """Two micro-batches of unequal token counts give the gradient of their union."""
    step_loop(tmp_path / "run", StandIn(dropout=0.0), steps=1, accumulate=2, clip=0.0, label_smoothing=0.0)
    task = StandIn(dropout=0.0)
    batches = [task.collate(m, 0) for m in task.micro_batches(0)[:2]]
    assert batches[0].tokens != batches[1].tokens
    total = sum(b.tokens for b in batches)
    loss = sum(task.model(b.inputs, b.labels, 0.0)["next_token"].loss for b in batches) / total
    loss.backward()
    norm = torch.nn.utils.get_total_norm([p.grad for p in task.model.parameters()])
    line = exact(read(tmp_path / "run" / "journal.jsonl"))[0]
    assert line["loss"] == pytest.approx(loss.item(), rel=1e-6)
    assert line["norm"] == pytest.approx(norm.item(), rel=1e-6)
    assert line["tokens"] == total


def test_a_step_is_adamw_on_the_mean_gradient(tmp_path: Path) -> None:
    """Ten steps against torch's own, unfused AdamW, clipped by its own function."""
    options = {"steps": 10, "clip": 0.5, "weight_decay": 0.1, "label_smoothing": 0.0, "schedule": "constant"}
    step_loop(tmp_path / "run", StandIn(dropout=0.0), **options, warmup=0, rate=0.01)
    task = StandIn(dropout=0.0)
    named = dict(task.model.named_parameters())
    groups = [
        {"params": [p for p in named.values() if p.dim() > 1], "weight_decay": 0.1},
        {"params": [p for p in named.values() if p.dim() == 1], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.98), eps=1e-9, foreach=False)
    stream = [(e, m) for e in (0, 1) for m in task.micro_batches(e)]
    for epoch, micro_batch in stream[:10]:
        batch = task.collate(micro_batch, epoch)
        adam.zero_grad()
        (task.model(batch.inputs, batch.labels, 0.0)["next_token"].loss / batch.tokens).backward()
        torch.nn.utils.clip_grad_norm_(task.model.parameters(), 0.5)
        adam.step()
    found = checkpoint.newest(tmp_path / "run")
    assert found
    for name, weight in found.tensors("model").items():
        torch.testing.assert_close(weight, named[name].detach(), rtol=1e-5, atol=1e-6)


def test_it_learns(tmp_path: Path) -> None:
    step_loop(tmp_path / "run", StandIn(dropout=0.0), steps=150, validate_every=50)
    losses = [line["loss"] for line in read(tmp_path / "run" / "journal.jsonl") if line["kind"] == "validation"]
    assert losses[-1] < 0.6 * losses[0]


# -- what is kept ----------------------------------------------------------------------------------------------------


def test_keeps_the_last_and_the_best(tmp_path: Path) -> None:
    class Scripted(StandIn):
        losses = iter([3.0, 1.0, 2.0, 4.0, 5.0, 1.0])

        def validate(self, model: torch.nn.Module) -> Validation:
            return Validation({"loss": next(self.losses)})

    step_loop(tmp_path / "run", Scripted(), steps=50, keep=2, save_every=5)
    assert checkpoint.published(tmp_path / "run") == [20, 45, 50]
    best = checkpoint.load(tmp_path / "run", 20).tensors("model")
    assert all(torch.equal(best[name], tensor) for name, tensor in finished(tmp_path / "run").items())
    assert read(tmp_path / "run" / "journal.jsonl")[-1]["weights"] == [20]


def test_averages_the_last_validated(tmp_path: Path) -> None:
    step_loop(tmp_path / "run", steps=44, keep=1, average=3)
    assert checkpoint.published(tmp_path / "run")[-3:] == [30, 40, 44]
    parts = [checkpoint.load(tmp_path / "run", step).tensors("model") for step in (30, 40, 44)]
    for name, tensor in finished(tmp_path / "run").items():
        torch.testing.assert_close(tensor, sum(part[name] for part in parts) / 3)
    assert read(tmp_path / "run" / "journal.jsonl")[-1]["weights"] == [30, 40, 44]


def test_a_damaged_checkpoint_is_left_out_of_the_average(tmp_path: Path) -> None:
    step_loop(tmp_path / "run", steps=30, average=3)
    (tmp_path / "run" / "checkpoints" / "step-00000010" / "model.safetensors").write_bytes(b"x")
    step_loop(tmp_path / "run")
    parts = [checkpoint.load(tmp_path / "run", step).tensors("model") for step in (20, 30)]
    for name, tensor in finished(tmp_path / "run").items():
        torch.testing.assert_close(tensor, sum(part[name] for part in parts) / 2)


def test_bf16_saves_fp32_and_finishes_in_fp32(tmp_path: Path) -> None:
    task = step_loop(tmp_path / "run", steps=20, precision="bf16")
    assert all(p.dtype == torch.float32 for p in task.model.parameters())
    found = checkpoint.newest(tmp_path / "run")
    assert found
    weights = found.tensors("model")
    assert all(w.dtype == torch.float32 for w in weights.values())
    assert any(not torch.equal(w, w.bfloat16().float()) for w in weights.values())
    step_loop(tmp_path / "fp32", steps=20)
    ends = [read(tmp_path / run / "journal.jsonl")[-1]["loss"] for run in ("run", "fp32")]
    assert ends[0] == pytest.approx(ends[1], rel=0.02)


# -- bounded by time -------------------------------------------------------------------------------------------------


def test_a_time_limit_counts_what_came_before(tmp_path: Path) -> None:
    run = begin(tmp_path / "run", steps=None, limit="1.5s", schedule="linear", save_every=20, rate=0.02)
    outcome = train(StandIn(pause=0.005), run, connect("cpu", 1), spent=1.0, silent=True)
    lines = [line for line in read(run.journal) if line["kind"] == "step"]
    assert outcome.step == len(lines) < 95
    assert lines[-1]["elapsed"] < 1.5
    assert lines[-1]["rate"] < 0.02 * 0.4  # it came down with the time
    again = train(StandIn(), standin.Run.open(run.folder), connect("cpu", 1), silent=True)
    assert again.step == outcome.step


def test_rates_bounded_by_time_are_exact_after_a_checkpoint(tmp_path: Path) -> None:
    """What follows a checkpoint is decided by it: two resumes from one folder agree up to their next checkpoint."""
    options = {"steps": None, "limit": "60s", "schedule": "cosine", "save_every": 50, "validate_every": 50}
    with pytest.raises(Stop):
        step_loop(tmp_path / "run", Stopping(at=120), **options)
    first = exact(read(tmp_path / "run" / "journal.jsonl"))
    with pytest.raises(Stop):
        step_loop(tmp_path / "run", Stopping(at=20))
    again = exact(read(tmp_path / "run" / "journal.jsonl"))
    assert again[-1]["step"] == 120
    assert again == first
    assert len({line["rate"] for line in again[-20:]}) == 20


def test_no_end_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training\.steps or training\.limit"):
        step_loop(tmp_path / "run", steps=None)


# -- what is not finite ----------------------------------------------------------------------------------------------


def test_a_step_that_is_not_finite_changes_nothing(tmp_path: Path) -> None:
    task = step_loop(tmp_path / "run", StandIn(poisoned={(0, 2)}), steps=3, validate_every=1, save_every=1, keep=9)
    lines = read(tmp_path / "run" / "journal.jsonl")
    (skipped,) = [line for line in lines if line["kind"] == "skipped"]
    assert skipped["step"] == 3
    assert skipped["batches"] == [[0, 2]]
    assert skipped["loss"] is None
    found = checkpoint.newest(tmp_path / "run")
    assert found
    assert (found.step, found.state["updates"], found.state["skipped"]) == (3, 2, 1)
    two = checkpoint.load(tmp_path / "run", 2)
    for stem in ("model", "optimizer"):
        assert (found.folder / f"{stem}.safetensors").read_bytes() == (two.folder / f"{stem}.safetensors").read_bytes()
    assert all(torch.isfinite(p).all() for p in task.model.parameters())


def test_five_in_a_row_go_back_to_the_checkpoint_and_on_with_the_data(tmp_path: Path) -> None:
    """Steps 12 to 16 fail; the weights of step 10 go on with the data of step 17."""
    poisoned = {(1, 4), (1, 5), (1, 6), (2, 0), (2, 1)}
    step_loop(tmp_path / "run", StandIn(poisoned=poisoned), steps=25, keep=99)
    lines = exact(read(tmp_path / "run" / "journal.jsonl"))
    assert [line["step"] for line in lines if line["kind"] == "skipped"] == [12, 13, 14, 15, 16]
    (back,) = [line for line in lines if line["kind"] == "rollback"]
    assert (back["step"], back["to"]) == (16, 10)
    assert [line["step"] for line in lines if line["kind"] == "step"] == [*range(1, 12), *range(17, 26)]
    found = checkpoint.newest(tmp_path / "run")
    assert found
    assert found.state["updates"] == 10 + 9
    # and the same bits when it is stopped after going back, before a new checkpoint
    stopping = Stopping(at=18)
    stopping.poisoned = poisoned
    with pytest.raises(Stop):
        step_loop(tmp_path / "stopped", stopping, steps=25, keep=99)
    step_loop(tmp_path / "stopped", StandIn(poisoned=poisoned))
    same_run(tmp_path / "run", tmp_path / "stopped")


class Signalled(StandIn):
    """Sends its process a SIGTERM while the micro-batch with this number is collated."""

    left = -1

    def collate(self, micro_batch: object, epoch: int) -> standin.Batch:
        if epoch != -1 % 1000:
            self.left -= 1
            if self.left == -1:
                os.kill(os.getpid(), signal.SIGTERM)
        return super().collate(micro_batch, epoch)


@pytest.mark.parametrize("stop", [10, 12, 14, 16])
def test_a_signal_changes_nothing_even_where_steps_fail(tmp_path: Path, stop: int) -> None:
    """Steps 12 to 16 fail. What a signal saved just before, or among them, is not what the run goes back to."""
    poisoned = {(1, 4), (1, 5), (1, 6), (2, 0), (2, 1)}
    step_loop(tmp_path / "whole", StandIn(poisoned=poisoned), steps=25, keep=1)
    task = Signalled(poisoned=poisoned)
    task.left = stop
    outcome = train(task, begin(tmp_path / "run", steps=25, keep=1), connect("cpu", 1), silent=True)
    assert (outcome.step, outcome.exit_code) == (stop + 1, 143)
    step_loop(tmp_path / "run", StandIn(poisoned=poisoned))
    same_run(tmp_path / "whole", tmp_path / "run")


def test_a_state_of_another_version(tmp_path: Path) -> None:
    run = begin(tmp_path / "run", steps=5)
    checkpoint.publish(run.folder, 5, standin_tensors(), {"step": 5, "updates": "five"})
    with pytest.raises(UserError, match=r"state\.json: .*another version"):
        step_loop(run.folder)


def standin_tensors() -> dict[str, dict[str, torch.Tensor]]:
    return Optimizer(StandIn().model, standin.recipe().training).tensors()


def test_gives_up_after_three_times(tmp_path: Path) -> None:
    poisoned = {(e, p) for e in range(1, 9) for p in range(7)}
    with pytest.raises(UserError, match=r"going back 3 times did not help; lower training\.rate"):
        step_loop(tmp_path / "run", StandIn(poisoned=poisoned), steps=99)
    with pytest.raises(UserError, match="no checkpoint to go back to"):
        step_loop(tmp_path / "other", StandIn(poisoned={(0, p) for p in range(7)}), steps=99)


# -- a disk that refuses ---------------------------------------------------------------------------------------------


def test_training_goes_on_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Saves of steps 10 and 15 fail; the checkpoint of step 5 stays, and the run ends as if nothing had been."""
    step_loop(tmp_path / "whole", steps=25)
    real, full = os.write, [False]

    def write(handle: int, content: bytes) -> int:
        if full[0] and handle > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(handle, content)

    class Filling(StandIn):
        def collate(self, micro_batch: object, epoch: int) -> standin.Batch:
            full[0] = 7 <= loop.state.step < 17
            return super().collate(micro_batch, epoch)

    monkeypatch.setattr(os, "write", write)
    seen: list[loop_module.Loop] = []
    original = loop_module.Loop.begin
    monkeypatch.setattr(loop_module.Loop, "begin", lambda self, spent: (seen.append(self), original(self, spent))[1])

    class Lazy:
        def __getattr__(self, name: str) -> object:
            return getattr(seen[0], name)

    loop = Lazy()
    train(Filling(), begin(tmp_path / "run", steps=25), connect("cpu", 1))
    shown = [line for line in capfd.readouterr().err.split("\n") if "could not be saved" in line]
    assert len(shown) == 2
    assert "step 10 could not be saved: No space left on device" in shown[0]
    assert "the checkpoint of step 5 is intact; training goes on" in shown[0]
    same_run(tmp_path / "whole", tmp_path / "run")


def test_too_little_space_is_refused_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = checkpoint.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda path: usage._replace(free=10_000))
    with pytest.raises(UserError, match=r"two checkpoints of 0\.0 MB each need"):
        step_loop(tmp_path / "run", steps=5)


def test_a_damaged_newest_checkpoint_costs_steps_not_bits(tmp_path: Path) -> None:
    step_loop(tmp_path / "whole", steps=25)
    with pytest.raises(Stop):
        step_loop(tmp_path / "run", Stopping(at=18), steps=25)
    weights = tmp_path / "run" / "checkpoints" / "step-00000015" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x55")
    step_loop(tmp_path / "run")
    same_run(tmp_path / "whole", tmp_path / "run")


def test_a_checkpoint_of_another_model(tmp_path: Path) -> None:
    step_loop(tmp_path / "run", steps=5)

    class Wider(standin.Model):
        def __init__(self) -> None:
            super().__init__(1)
            self.hidden = torch.nn.Linear(standin.WIDTH, standin.WIDTH, bias=False)

    task = StandIn()
    task.model = Wider()
    with pytest.raises(UserError, match=r"'hidden\.bias' is only in the checkpoint"):
        step_loop(tmp_path / "run", task)
