"""Signals: the first saves, the second ends at once, and neither costs a bit."""

from __future__ import annotations

import os
import random
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import standin
import torch
from standin import FORKS, finished, step_loop

from heedful.train import checkpoint
from heedful.train.interrupts import Interrupts
from heedful.train.journal import exact, read

SLOW = 0.002  # seconds added to a micro-batch, so that a run lasts


def run_in_child(folder: Path, pause: float = SLOW, **options: object) -> BaseProcess:
    process = FORKS.Process(target=standin.child, args=(folder, pause, options))
    process.start()
    return process


def wait_for_step(folder: Path, step: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        lines = read(folder / "journal.jsonl")
        if lines and lines[-1]["step"] >= step:
            return
        time.sleep(0.005)
    raise AssertionError("the run did not get there")


def same_bits(one: Path, other: Path) -> None:
    assert exact(read(one / "journal.jsonl")) == exact(read(other / "journal.jsonl"))
    assert all(torch.equal(tensor, finished(other)[name]) for name, tensor in finished(one).items())
    last = [checkpoint.newest(run) for run in (one, other)]
    assert last[0]
    assert last[1]
    for stem in ("model", "optimizer"):
        files = [(found.folder / f"{stem}.safetensors").read_bytes() for found in last]
        assert files[0] == files[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_finishes_the_step_and_saves(tmp_path: Path, number: signal.Signals) -> None:
    step_loop(tmp_path / "whole", steps=60, save_every=1000)
    process = run_in_child(tmp_path / "run", steps=60, save_every=1000)
    wait_for_step(tmp_path / "run", 13)
    assert process.pid
    os.kill(process.pid, number)
    process.join(10)
    assert process.exitcode == 128 + number
    found = checkpoint.newest(tmp_path / "run")
    assert found
    steps = [line["step"] for line in read(tmp_path / "run" / "journal.jsonl") if line["kind"] == "step"]
    assert found.step == steps[-1] >= 13
    step_loop(tmp_path / "run")
    same_bits(tmp_path / "whole", tmp_path / "run")


def test_the_second_signal_ends_at_once(tmp_path: Path) -> None:
    process = run_in_child(tmp_path / "run", pause=3.0)
    assert process.pid
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "journal.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.5)  # inside the first micro-batch by now
    began = time.monotonic()
    os.kill(process.pid, signal.SIGTERM)
    time.sleep(0.2)
    assert process.is_alive()
    os.kill(process.pid, signal.SIGTERM)
    process.join(10)
    assert process.exitcode == 143
    assert time.monotonic() - began < 2.5
    assert checkpoint.published(tmp_path / "run") == []


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts() as interrupts:
        assert signal.getsignal(signal.SIGTERM) != before
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupts.received == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before


def test_what_was_ignored_stays_ignored() -> None:
    """nohup: the terminal may close."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert interrupts.received == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def killed_and_resumed(folder: Path, kills: int, steps: int, draw: random.Random) -> int:
    """Train in children killed at random moments, half of them in a save; how many died with a save half done."""
    inside = 0
    for number in range(kills):
        process = run_in_child(folder, steps=steps, keep=2)
        reached = max(checkpoint.published(folder), default=0)
        deadline = time.monotonic() + 60
        while max(checkpoint.published(folder), default=0) <= reached:
            assert process.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.001)
        if number % 2:
            while not list((folder / "checkpoints").glob(".tmp-*")) and process.is_alive():
                time.sleep(0.0002)
        else:
            time.sleep(draw.uniform(0, 0.1))
        process.kill()
        process.join()
        inside += bool(list((folder / "checkpoints").glob(".tmp-*")))
    return inside


@pytest.mark.parametrize(
    ("kills", "steps"), [(5, 400), pytest.param(60, 4000, marks=pytest.mark.slow)], ids=["5 kills", "60 kills"]
)
def test_kill_at_any_moment(tmp_path: Path, kills: int, steps: int) -> None:
    inside = killed_and_resumed(tmp_path / "run", kills, steps, random.Random(kills))
    step_loop(tmp_path / "run")
    step_loop(tmp_path / "whole", steps=steps, keep=2)
    assert inside > 0
    assert sum(line["kind"] == "resume" for line in read(tmp_path / "run" / "journal.jsonl")) >= kills - 1
    same_bits(tmp_path / "whole", tmp_path / "run")
