"""Checkpoints: published whole or not at all, and never loaded when damaged."""

from __future__ import annotations

import errno
import os
import random
import shutil
from pathlib import Path

import faulty
import pytest
import torch
from safetensors.torch import load_file

from heedful.errors import UserError
from heedful.train import checkpoint
from heedful.train.tensors import DTYPES, tensor_bytes


def tensors(value: float) -> dict[str, dict[str, torch.Tensor]]:
    return {
        "model": {"a.weight": torch.full((3, 5), value), "b": torch.arange(4.0) + value},
        "optimizer": {"a.weight.mean": torch.full((3, 5), -value)},
    }


def publish(run: Path, step: int) -> Path:
    return checkpoint.publish(run, step, tensors(step), {"step": step, "note": "é"})


def check(run: Path, allowed: tuple[int, ...], sweep: bool = True) -> int:
    """The newest checkpoint is one of those allowed, with that step's content; its step."""
    found = checkpoint.newest(run, warn=lambda line: None, sweep=sweep)
    assert found is not None
    assert found.step in allowed
    assert found.state == {"step": found.step, "note": "é"}
    for stem, named in tensors(found.step).items():
        loaded = found.tensors(stem)
        assert set(loaded) == set(named)
        assert all(torch.equal(loaded[name], named[name]) for name in named)
    return found.step


def test_round_trip(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path) is None
    folder = publish(tmp_path, 7)
    assert folder == tmp_path / "checkpoints" / "step-00000007"
    assert check(tmp_path, (7,)) == 7
    assert sorted(p.name for p in folder.iterdir()) == [
        "manifest.json", "model.safetensors", "optimizer.safetensors", "state.json"
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_shape_is_read_back_by_the_library(tmp_path: Path, dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(0)
    named = {
        "scalar": torch.ones((), dtype=dtype),
        "empty": torch.zeros((0, 3), dtype=dtype),
        "matrix": torch.randint(0, 2, (3, 5), generator=draw).to(dtype),
        "view": torch.randint(0, 2, (4, 6), generator=draw).to(dtype).T[1:4],
        "byte": torch.tensor([1, 2, 3], dtype=torch.uint8),
    }
    folder = checkpoint.publish(tmp_path, 1, {"mixed": named}, {})
    loaded = load_file(folder / "mixed.safetensors")
    assert all(torch.equal(loaded[name], named[name]) and loaded[name].dtype == named[name].dtype for name in named)


def test_same_content_same_bytes(tmp_path: Path) -> None:
    one, two = publish(tmp_path / "one", 3), publish(tmp_path / "two", 3)
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes()


def count_calls(folder: Path, patch: pytest.MonkeyPatch) -> int:
    """System calls of one save and prune."""
    publish(folder, 1)
    with patch.context() as scope:
        disk = faulty.Disk(folder, scope)
        publish(folder, 2)
        checkpoint.prune(folder, keep=1)
    return disk.count


def save_on(folder: Path, patch: pytest.MonkeyPatch, at: int, error: int | None) -> tuple[faulty.Disk, bool]:
    """A save of step 2 over step 1, pruned to one, with a fault at one call; whether it got to its end."""
    publish(folder, 1)
    with patch.context() as scope:
        disk = faulty.Disk(folder, scope, at=at, error=error)
        try:
            publish(folder, 2)
            checkpoint.prune(folder, keep=1)
        except (faulty.Died, OSError):
            return disk, False
    return disk, True


def test_death_at_every_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the disk kept, the old or the new checkpoint loads; what lies around is swept."""
    calls = count_calls(tmp_path / "counted", monkeypatch)
    assert calls > 30
    outcomes = set()
    for at in range(1, calls + 1):
        run = tmp_path / f"run-{at}"
        disk, done = save_on(run, monkeypatch, at, None)
        assert not done
        for model in ("names", "nothing", "losses"):
            outcomes.add(check(disk.after_power_cut(model, tmp_path / f"{model}-{at}"), (1, 2)))
        outcomes.add(check(run, (1, 2)))
        assert not list((run / "checkpoints").glob(".tmp-*"))
    assert outcomes == {1, 2}


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EINTR, errno.EACCES])
def test_error_at_every_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """A refused call fails the save as a whole, and the next save works."""
    calls = count_calls(tmp_path / "counted", monkeypatch)
    for at in range(1, calls + 1):
        run = tmp_path / f"run-{at}"
        _, done = save_on(run, monkeypatch, at, error)
        step = check(run, (2,) if done else (1, 2), sweep=False)
        publish(run, 3)
        assert check(run, (3,)) == 3
        checkpoint.prune(run, keep=1)
        assert checkpoint.published(run) == [3]
        assert step in (1, 2)


def test_a_missing_sync_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk model itself is able to fail: without syncing, a power cut after the prune leaves nothing."""
    publish(tmp_path / "run", 1)
    with monkeypatch.context() as scope:
        disk = faulty.Disk(tmp_path / "run", scope)
        scope.setattr(os, "fsync", lambda handle: None)
        publish(tmp_path / "run", 2)
        checkpoint.prune(tmp_path / "run", keep=1)
    with pytest.raises(UserError, match="no older checkpoint is good"):
        checkpoint.newest(disk.after_power_cut("names", tmp_path / "cut"), warn=lambda line: None)


def corrupted(folder: Path, change: str, draw: random.Random) -> str:
    """Damage one file of a checkpoint; its name."""
    path = draw.choice(sorted(folder.iterdir()))
    content = bytearray(path.read_bytes())
    if change == "flip":
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    elif change == "cut":
        del content[draw.randrange(len(content)) :]
    elif change == "zero":
        # Half of the file, at its end: what a power cut without sync leaves. (All files end in a non-zero byte.)
        half = len(content) // 2
        content[half:] = bytes(len(content) - half)
    else:
        content += b"\0"
    path.write_bytes(content)
    return path.name


@pytest.mark.parametrize(("change", "times"), [("flip", 600), ("cut", 150), ("zero", 20), ("longer", 20)])
def test_damage_is_found_and_named(tmp_path: Path, change: str, times: int) -> None:
    draw = random.Random(change)
    whole = publish(tmp_path / "whole", 5)
    for _ in range(times):
        folder = tmp_path / "run" / "checkpoints" / "step-00000005"
        shutil.copytree(whole, folder)
        name = corrupted(folder, change, draw)
        with pytest.raises(checkpoint.Damaged, match=name):
            checkpoint.verify(folder)
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("what", ["missing", "of another step", "link", "pipe", "folder"])
def test_a_file_that_is_not_ours(tmp_path: Path, name: str, what: str) -> None:
    good, bad = publish(tmp_path, 5), publish(tmp_path, 6)
    (bad / name).unlink()
    if what == "of another step":
        shutil.copy(good / name, bad / name)
    elif what == "link":
        (bad / name).symlink_to(good / name)
    elif what == "pipe":
        os.mkfifo(bad / name)
    elif what == "folder":
        (bad / name).mkdir()
    lines: list[str] = []
    found = checkpoint.newest(tmp_path, warn=lines.append)
    assert found is not None
    assert found.step == 5
    assert len(lines) == 1
    assert str(bad / name) in lines[0]
    assert "falling back" in lines[0]


def test_extra_file_and_renamed_folder(tmp_path: Path) -> None:
    folder = publish(tmp_path, 5)
    (folder / "more").write_bytes(b"")
    with pytest.raises(checkpoint.Damaged, match="more: is not in the manifest"):
        checkpoint.verify(folder)
    (folder / "more").unlink()
    with pytest.raises(checkpoint.Damaged, match=r"manifest\.json: is that of step 5"):
        checkpoint.verify(folder.rename(folder.with_name("step-00000006")))


def test_nothing_good_is_an_error(tmp_path: Path) -> None:
    folder = publish(tmp_path, 5)
    (folder / "model.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match=r"model\.safetensors: has 1 bytes"):
        checkpoint.newest(tmp_path, warn=lambda line: None)


def test_a_damaged_one_does_not_count_as_the_newest(tmp_path: Path) -> None:
    """Else, where one is kept, what is saved after going back from it would be pruned at once."""
    for step in (5, 10):
        publish(tmp_path, step)
    (tmp_path / "checkpoints" / "step-00000010" / "model.safetensors").write_bytes(b"x")
    quiet = lambda line: None
    found = checkpoint.newest(tmp_path, quiet, sweep=False)
    assert found
    assert (found.step, checkpoint.published(tmp_path)) == (5, [5, 10])
    assert checkpoint.newest(tmp_path, quiet)
    publish(tmp_path, 7)
    checkpoint.prune(tmp_path, keep=1)
    assert checkpoint.published(tmp_path) == [7]
    assert check(tmp_path, (7,)) == 7


def test_publishing_a_step_again(tmp_path: Path) -> None:
    folder = publish(tmp_path, 5)
    before = (folder / "model.safetensors").stat().st_ino
    publish(tmp_path, 5)
    assert (folder / "model.safetensors").stat().st_ino == before  # a good one stays
    (folder / "model.safetensors").write_bytes(b"x")
    publish(tmp_path, 5)
    assert check(tmp_path, (5,)) == 5


def test_order_is_by_step_not_by_clock(tmp_path: Path) -> None:
    for step in (100, 99, 98):
        os.utime(publish(tmp_path, step), (10**9 - step, 10**9 - step))
    (tmp_path / "checkpoints" / "step-junk").mkdir()
    assert checkpoint.published(tmp_path) == [98, 99, 100]
    assert check(tmp_path, (100,)) == 100


def test_prune_keeps_the_newest_and_the_protected(tmp_path: Path) -> None:
    for step in range(1, 7):
        publish(tmp_path, step)
    checkpoint.prune(tmp_path, keep=2, protect={1, 3, 77})
    assert checkpoint.published(tmp_path) == [1, 3, 5, 6]


def test_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = sum(map(tensor_bytes, tensors(1.0).values()))
    assert size == (15 + 4 + 15) * 4
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 0, 7 * 10**6))
    checkpoint.require_space(tmp_path, 3_500_000)
    with pytest.raises(UserError, match=r"7\.0 MB free, two checkpoints of 3\.6 MB each need 7\.2 MB"):
        checkpoint.require_space(tmp_path, 3_600_000)
    publish(tmp_path, 4)
    line = checkpoint.explain(tmp_path, 9, OSError(errno.ENOSPC, ""), 123)
    assert "step 9 could not be saved: No space left on device; 123 bytes needed, 7000000 free" in line
    assert "the checkpoint of step 4 is intact; training goes on" in line
    assert "\n" not in line
