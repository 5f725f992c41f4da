"""The run folder: what was chosen stays chosen."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from standin import recipe

from heedful.config import Training
from heedful.errors import UserError
from heedful.train import run as run_module
from heedful.train.run import Choices, Run, choose


def test_what_is_created_is_opened(tmp_path: Path) -> None:
    made = recipe(steps=7, limit="20m", betas=[0.9, 0.95])
    choices = Choices(processes=2, threads=3, kernels={"gemm": "onednn"}, versions={"torch": "0.1"})
    created = Run.create(tmp_path / "a" / "run", made, choices)
    opened = Run.open(created.folder)
    assert opened.recipe == made
    assert opened.choices == choices
    assert "torch 0.1 -> " in (opened.changed_versions() or "")
    again = msgspec.structs.replace(opened.choices, versions=run_module.versions())
    assert Run(opened.folder, made, again, opened.lock).changed_versions() is None
    with pytest.raises(UserError, match=r"holds a run already; continue it with: heedful resume"):
        Run.create(created.folder, made, choices)


def test_no_run_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"run\.json: cannot be read: No such file.*is .* the folder of a run"):
        Run.open(tmp_path)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b'{"procesess": 1}', b'{"threads": "two"}'])
def test_a_damaged_run_file_is_named(tmp_path: Path, text: bytes) -> None:
    Run.create(tmp_path, recipe(), Choices())
    (tmp_path / "run.json").write_bytes(text)
    with pytest.raises(UserError, match=r"run\.json: "):
        Run.open(tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be written"):
        Run.create(tmp_path / "file" / "run", recipe(), Choices())


def test_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "cores", lambda: 6)
    auto = choose(Training(processes="auto", threads="auto", precision="auto"), "cpu")
    assert (auto.processes, auto.threads) == (6, 1)
    assert auto.precision == "fp32"
    assert choose(Training(precision="auto"), "cpu", {"bf16": True}).precision == "bf16"  # what the probe measured
    assert choose(Training(precision="auto"), "cpu", {"bf16": False}).precision == "fp32"
    assert choose(Training(processes=2), "cpu").threads == 3
    assert choose(Training(processes=9), "cpu").threads == 1
    assert choose(Training(processes=1, threads=2), "cpu").threads == 2
    assert choose(Training(processes="auto", precision="auto"), "mps").processes == 1
    assert choose(Training(processes="auto", precision="auto"), "mps").precision == "fp32"
    assert set(auto.versions) >= {"python", "torch", "numpy", "safetensors"}


def test_processes_that_would_fill_the_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "cores", lambda: 2)
    assert choose(Training(processes=8), "cpu").processes == 8
    with pytest.raises(UserError, match=r"training\.processes = 9, but this process may use 2 cores; at most 4 a core"):
        choose(Training(processes=9), "cpu")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "9")  # torchrun has started them already, on how many machines it knows
    assert choose(Training(processes=9), "cpu").processes == 9
