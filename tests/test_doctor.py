"""`heedful doctor`: it names what there is, what is missing, and never fails because something is."""

from __future__ import annotations

import importlib.metadata
import shlex
import sys
from typing import Any

import pytest
import torch

from heedful import doctor
from heedful.model import hardware


@pytest.fixture(autouse=True)
def _unprobed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hardware.SWITCH, "off")


def test_the_report_names_torch_devices_threads_and_choices() -> None:
    text = doctor.report()
    assert torch.__version__ in text
    assert "cpu" in text
    assert f"{hardware.available_threads()[0]} of" in text
    assert "HEEDFUL_PROBE=off" in text
    for name in doctor.PATHS.values():
        assert name in text


def test_what_the_probe_chose_is_shown_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = {"fp32_gemm": "oneDNN is 2.20 x MKL", "bf16": "none here"}
    chosen = hardware.Choices(fp32_gemm="onednn", row="numpy", step="packed", threads=3, reasons=reasons)
    monkeypatch.setattr(doctor, "probe", lambda: chosen)
    rows = [" ".join(line.split()) for line in doctor.report().split("\n")]
    assert "fp32 products onednn oneDNN is 2.20 x MKL" in rows
    assert "step of one row numpy" in rows
    assert "step of more rows packed" in rows
    assert "bf16 off none here" in rows


def test_missing_extras_come_with_the_line_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = [
        "torch<2.14,>=2.9",
        "Babel>=2.16; extra == 'demo'",
        "pytest>=8; extra == 'test'",
        'no-such-thing[x]>=1; (python_version > "3") and extra == "bench"',
        "pytest; extra == 'bench'",
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: requirements)
    found = dict(doctor.extras())
    assert found["test"] == "installed"
    assert shlex.split(found["bench"]) == [sys.executable, "-m", "pip", "install", "no-such-thing[x]>=1"]
    assert set(found) == {"demo", "test", "bench"}


def test_extras_of_this_installation_are_those_of_the_project() -> None:
    assert {"demo", "test", "bench"} <= {name for name, _ in doctor.extras()}


def test_without_an_installed_package_it_says_so() -> None:
    ((_, state),) = doctor.extras("no-such-distribution")
    assert "pip install" in state


def test_without_torch_it_still_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise ImportError("libtorch.so:\nnot found")

    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(doctor, "probe", broken)
    text = doctor.report()
    assert "cannot be imported" in text
    assert "not probed" in text
