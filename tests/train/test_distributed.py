"""Processes that train together: equal to one that accumulates, ended together, never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import standin
import torch
from safetensors.torch import load_file, save_file
from standin import FORKS, finished, step_loop

from heedful.train import checkpoint, distributed
from heedful.train.journal import exact, read
from heedful.train.loop import train

COMMAND = [sys.executable, standin.__file__]


def rank(number: int, port: int, folder: Path, options: dict[str, object]) -> None:
    """One of two ranks, in a forked process."""
    join(number, port)
    standin.child(folder, 0.0, options)


def join(number: int, port: int) -> None:
    """The environment that torchrun would set."""
    os.environ |= {
        "RANK": str(number), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
    }  # fmt: skip


def two_ranks(folder: Path, target: Callable[..., None] = rank, **options: object) -> list[int | None]:
    port = distributed._free_port()
    both = [FORKS.Process(target=target, args=(n, port, folder, {**options, "processes": 2})) for n in (0, 1)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    return [process.exitcode for process in both]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_processes_are_one_that_accumulates(tmp_path: Path, accumulate: int) -> None:
    """With dropout on: the same masks are drawn. Weights within 1e-6, losses too; the same data in the same steps."""
    assert two_ranks(tmp_path / "two", steps=20, accumulate=accumulate) == [0, 0]
    step_loop(tmp_path / "one", steps=20, accumulate=2 * accumulate)
    ours, theirs = (exact(read(tmp_path / name / "journal.jsonl")) for name in ("two", "one"))
    assert len(ours) == len(theirs) > 20
    for one, other in zip(ours, theirs, strict=True):
        assert set(one) == set(other)
        for key, value in one.items():
            if isinstance(value, str):
                assert value == other[key]
                continue
            assert value == pytest.approx(other[key], rel=1e-5, abs=1e-6), (key, one, other)
    for name, tensor in finished(tmp_path / "two").items():
        torch.testing.assert_close(tensor, finished(tmp_path / "one")[name], rtol=1e-5, atol=1e-6)


def test_two_processes_resume_to_the_same_bits(tmp_path: Path) -> None:
    assert two_ranks(tmp_path / "whole", steps=25) == [0, 0]
    assert two_ranks(tmp_path / "stopped", steps=12) == [0, 0]
    recipe = tmp_path / "stopped" / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("steps = 12", "steps = 25"))
    for step in (12, 10):  # what only the earlier end has made
        checkpoint._remove(tmp_path / "stopped" / "checkpoints" / f"step-{step:08d}")
    assert two_ranks(tmp_path / "stopped") == [0, 0]
    one, other = (tmp_path / name for name in ("whole", "stopped"))
    assert exact(read(one / "journal.jsonl")) == exact(read(other / "journal.jsonl"))
    assert all(torch.equal(tensor, finished(other)[name]) for name, tensor in finished(one).items())


def timed_rank(number: int, port: int, folder: Path, options: dict[str, object]) -> None:
    """A rank of a run that time ends, whose own clock is seconds ahead of the leader's."""
    join(number, port)
    world = distributed.connect("cpu", 1)
    run = standin.begin(folder, **options) if world.leader else None
    world.barrier()
    task = standin.StandIn(pause=0.01)
    train(task, run or standin.begin(folder), world, spent=1.5 * number, silent=True)
    save_file(
        {name: p.detach().clone() for name, p in task.model.state_dict().items() if name != "output.weight"},
        folder / f"rank-{number}.safetensors",
    )
    world.leave()


def test_processes_keep_the_same_weights_under_a_time_limit(tmp_path: Path) -> None:
    """A rate that follows the clock follows one clock."""
    options = {"steps": None, "limit": "3s", "schedule": "cosine", "final": "last"}
    assert two_ranks(tmp_path, timed_rank, **options) == [0, 0]
    one, other = (load_file(tmp_path / f"rank-{number}.safetensors") for number in (0, 1))
    assert sum(line["kind"] == "saved" for line in read(tmp_path / "journal.jsonl")) > 5  # so often a pace was drawn
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def ranks_of(parent: int) -> list[int]:
    """Process ids of the children of a process."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1]) == parent:
                    found.append(int(entry.name))
            except (OSError, IndexError):
                continue
    return found


def started(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """The command with two processes, once it has saved."""
    process = subprocess.Popen([*COMMAND, str(folder), "processes=2", "steps=100000", "pause=0.01", *options])
    deadline = time.monotonic() + 60
    while not checkpoint.published(folder):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def gone(pids: list[int], within: float) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_signal_to_the_parent_saves_and_a_kill_leaves_no_orphans(tmp_path: Path) -> None:
    process = started(tmp_path / "run")
    ranks = ranks_of(process.pid)
    assert len(ranks) == 2
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143
    assert gone(ranks, 1)
    found = checkpoint.newest(tmp_path / "run")
    assert found
    last = [line for line in read(tmp_path / "run" / "journal.jsonl") if line["kind"] == "step"][-1]
    assert found.step == last["step"]
    process = started(tmp_path / "run")
    deadline = time.monotonic() + 60
    while len(checkpoint.published(tmp_path / "run")) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    ranks = ranks_of(process.pid)
    process.kill()
    process.wait()
    assert gone(ranks, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_rank_that_dies_ends_the_others(tmp_path: Path) -> None:
    process = started(tmp_path / "run")
    ranks = ranks_of(process.pid)
    os.kill(ranks[1], signal.SIGKILL)
    assert process.wait(10) not in (0, None)
    assert gone(ranks, 1)


def test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    world = distributed.connect("cpu", 1)
    assert (world.rank, world.size, world.leader, world.device.type) == (0, 1, True, "cpu")
    tensor = torch.ones(3)
    world.add_up(tensor)
    world.barrier()
    world.leave()
    assert tensor.sum() == 3
    assert not distributed.inside_group()
    assert 1 <= distributed.cores() <= (os.cpu_count() or 1)
