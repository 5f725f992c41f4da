"""The probe: true to fp32, without side effects, and right on machines that are not this one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch

from heedful.model import hardware, products
from heedful.model.hardware import Choices, applied, apply, available_threads, probe


@pytest.fixture(autouse=True)
def _settings_restored(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.delenv(hardware.SWITCH, raising=False)
    threads, precision = torch.get_num_threads(), torch.backends.mkldnn.matmul.fp32_precision
    hardware._restore("none")
    yield None
    torch.set_num_threads(threads)
    hardware._restore(precision)


def fixed_times(monkeypatch: pytest.MonkeyPatch, *times: float) -> None:
    """Every comparison comes out as these seconds; the work still runs once."""

    def median_times(repetitions: int, *work: Callable[[], object]) -> list[float]:
        for one in work:
            one()
        return [*times, *times[-1:] * len(work)][: len(work)]

    monkeypatch.setattr(hardware, "median_times", median_times)


def test_choices_survive_json() -> None:
    chosen = Choices(fp32_gemm="onednn", row="numpy", step="packed", bf16=True, threads=7, reasons={"bf16": "faster"})
    assert msgspec.json.decode(msgspec.json.encode(chosen), type=Choices) == chosen
    assert msgspec.convert(msgspec.to_builtins(chosen), Choices) == chosen


def test_probing_leaves_torch_as_it_was() -> None:
    torch.manual_seed(3)
    before = (torch.get_num_threads(), torch.backends.mkldnn.matmul.fp32_precision, torch.random.get_rng_state())
    chosen = probe()
    assert before[:2] == (torch.get_num_threads(), torch.backends.mkldnn.matmul.fp32_precision)
    assert torch.equal(before[2], torch.random.get_rng_state())
    assert chosen.threads == available_threads()[0]
    assert set(chosen.reasons) == {"fp32_gemm", "row", "step", "bf16", "threads"}


def test_what_is_chosen_is_true_fp32() -> None:
    apply(probe())
    left, right = torch.rand(200, 300) - 0.5, torch.rand(300, 250) - 0.5
    exact = left.double() @ right.double()
    assert float(((left @ right).double() - exact).abs().max() / exact.abs().max()) < hardware.TRUE_FP32


def test_faster_wins_only_if_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed_times(monkeypatch, 2.0, 1.0)
    assert probe().fp32_gemm == "onednn"
    monkeypatch.setattr(hardware, "TRUE_FP32", 1e-12)  # as if the chip rounded, like one with matrix units
    rounded = probe()
    assert rounded.fp32_gemm == "mkl"
    assert "rounds" in rounded.reasons["fp32_gemm"]


def test_the_fastest_kernel_of_a_step_wins_if_it_loses_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed_times(monkeypatch, 3.0, 2.0, 1.5)
    assert (probe().row, probe().step) == ("packed", "packed")
    fixed_times(monkeypatch, 3.0, 1.0, 1.5)
    assert (probe().row, probe().step) == ("numpy", "numpy")
    # One row: numpy twice as fast. Several: ten times as fast, but slower for the most rows.
    times = iter([[2.0, 1.0, 2.0]] * 2 + [[1.0, 0.1, 1.0]] * 4 + [[1.0, 1.5, 1.0]] * 2)
    monkeypatch.setattr(hardware, "median_times", lambda _, *work: next(times) if len(work) == 3 else [1.0, 1.0])
    chosen = probe()
    assert (chosen.row, chosen.step) == ("numpy", "torch")


def test_a_small_gain_is_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "cpu_description", lambda: ("Intel", frozenset({"avx512f", "avx512_bf16"})))
    fixed_times(monkeypatch, 1.1, 1.0)
    chosen = probe()
    assert (chosen.fp32_gemm, chosen.row, chosen.step, chosen.bf16) == ("mkl", "torch", "torch", False)


@pytest.mark.parametrize(
    ("flags", "times", "expected"),
    [({"avx2"}, (9.0, 1.0), False), ({"avx512_bf16"}, (9.0, 1.0), True), ({"amx_bf16"}, (1.0, 1.0), False)],
)
def test_bf16_needs_units_and_speed(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], times: tuple[float, float], expected: bool
) -> None:
    monkeypatch.setattr(hardware, "cpu_description", lambda: ("chip", frozenset(flags)))
    fixed_times(monkeypatch, *times)
    assert probe().bf16 is expected


@pytest.mark.parametrize("value", ["off", " OFF ", "0", "no", "false"])
def test_the_probe_can_be_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(hardware.SWITCH, value)
    monkeypatch.setattr(hardware, "median_times", None)
    chosen = probe()
    assert (chosen.fp32_gemm, chosen.row, chosen.step, chosen.bf16) == ("mkl", "torch", "torch", False)
    assert "HEEDFUL_PROBE" in chosen.reasons["bf16"]


def test_applied_is_undone() -> None:
    before = (torch.get_num_threads(), torch.backends.mkldnn.matmul.fp32_precision)
    with applied(Choices(fp32_gemm="onednn", threads=before[0] + 1)):
        assert torch.get_num_threads() == before[0] + 1
        assert torch.backends.mkldnn.matmul.fp32_precision == "bf16"
    assert before == (torch.get_num_threads(), torch.backends.mkldnn.matmul.fp32_precision)


def test_two_threads_apply_one_after_the_other() -> None:
    """Else the first to leave would undo the second's, and the second would restore the first's."""
    before, inside = torch.backends.mkldnn.matmul.fp32_precision, threading.Event()
    seen: list[str] = []

    def other() -> None:
        inside.set()
        with applied(Choices(fp32_gemm="onednn", threads=1)):
            seen.append(torch.backends.mkldnn.matmul.fp32_precision)

    thread = threading.Thread(target=other)
    with applied(Choices(fp32_gemm="onednn", threads=1)):
        thread.start()
        inside.wait()
    thread.join()
    assert seen == ["bf16"]
    assert torch.backends.mkldnn.matmul.fp32_precision == before


def test_a_torch_without_the_switch_or_the_operators_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_precision", lambda: None)
    monkeypatch.setattr(products, "_pack", lambda weight: None)
    monkeypatch.setattr(products, "numpy_is_ours", lambda: False)
    chosen = probe()
    apply(chosen)
    assert (chosen.fp32_gemm, chosen.row, chosen.step) == ("mkl", "torch", "torch")
    for kind in products.KINDS:
        linear = products.Linear(torch.rand(3, 4), None, Choices(row=kind, step=kind))
        assert (linear.kind(1), linear.kind(2)) == ("torch", "torch")


@pytest.mark.parametrize("rows", [0, 1, 4, 40])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("kind", products.KINDS)
@pytest.mark.parametrize("shape", [(7, 5), (3, 20), (5, 1)])
def test_every_kernel_of_a_step_is_a_linear_layer(
    rows: int, with_bias: bool, kind: hardware.Kind, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "SMALL", 0)
    weight, bias = torch.randn(shape, requires_grad=True), torch.randn(shape[0]) if with_bias else None
    linear = products.Linear(weight, bias, Choices(row=kind, step=kind))
    outputs = torch.empty(rows, shape[0])
    inputs = torch.randn(rows, shape[1])
    with torch.inference_mode():
        linear.into(inputs, outputs)()
        given = linear.giving(inputs)()
    expected = torch.nn.functional.linear(inputs, weight, bias).detach()
    torch.testing.assert_close(outputs, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(given, outputs)


def test_small_weights_are_not_packed() -> None:
    large, small = (products.Linear(torch.rand(n, 256), None, Choices(step="packed")) for n in (256, 255))
    assert (large.kind(4), small.kind(4)) == ("packed", "torch")


def test_threads_follow_affinity_quota_and_the_users_wish(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(hardware, "_container_quota", lambda: None)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 2, 5}, raising=False)
    assert available_threads()[0] == 3
    monkeypatch.setattr(hardware, "_container_quota", lambda: 2)
    assert available_threads()[0] == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert available_threads()[0] == 1
    for wrong in ("0", "-1", "x", "", "²"):
        monkeypatch.setenv("OMP_NUM_THREADS", wrong)
        assert available_threads()[0] == 2


def test_threads_without_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(hardware, "_container_quota", lambda: None)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_threads()[0] == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("150000 100000\n", 1),
        ("50000 100000", 1),
        ("400000 100000", 4),
        ("max 100000", None),
        ("", None),
        ("1 0", None),
    ],
)
def test_container_quota(tmp_path: Path, text: str, expected: int | None) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(text, "ascii")
    assert hardware._container_quota(file) == expected
    assert hardware._container_quota(tmp_path / "none") is None


def test_medians_ignore_a_busy_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0, 10, 10, 30, 100, 910, 910, 930, 1000, 1010, 1010, 1030])
    monkeypatch.setattr(hardware.time, "process_time_ns", lambda: next(ticks))
    monkeypatch.setattr(hardware.time, "perf_counter_ns", lambda: next(ticks))
    assert hardware.median_times(3, lambda: 0, lambda: 0) == [1e-8, 2e-8]
