"""What this processor does best, found by trying at start-up: about a fifth of a second, and no file is written.

PyTorch sends fp32 products to MKL, which on some processors runs at half speed; oneDNN can be asked for instead, but
the same switch really rounds to bf16 where the chip has matrix units. So nothing is assumed: each fast path is timed
against the plain one and checked for its error, and it is chosen only if it wins on both counts.
What was chosen is a value that a run stores and takes again on resume; apart from it, kernels depend on shapes alone.
torch is imported inside the functions: reading the choices of a run or counting processors needs none.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field

if TYPE_CHECKING:
    from torch import Tensor

Kind = Literal["torch", "numpy", "packed"]

SWITCH = "HEEDFUL_PROBE"
TRUE_FP32 = 1e-5  # largest error of an fp32 product, relative to its largest entry; bf16 rounding gives about 3e-3
GAIN = 1.15  # a fast path must win by this much: less is noise, and choices should not flip from run to run

# Linear layers of a decoding step, (inputs, outputs), and the rows they multiply where there are several: the beam of
# one sentence, a batch, a batch of beams.
STEP_SHAPES, STEP_ROWS = ((512, 512), (512, 2048)), (4, 32, 128)

_applying = threading.RLock()


class Choices(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the probe chose, with a reason in words for each field; msgspec turns it into JSON and back.

    `fp32_gemm`: the library for fp32 matrix products. `row` and `step`: the kernels for the linear layers of a decoding
    step, large weights by one row and by several (`products.Linear`).
    `bf16`: the chip multiplies bf16 natively and faster than fp32. `threads`: processors that this process may use.
    """

    fp32_gemm: Literal["mkl", "onednn"] = "mkl"
    row: Kind = "torch"
    step: Kind = "torch"
    bf16: bool = False
    threads: int = 1
    reasons: dict[str, str] = field(default_factory=dict)


def probe() -> Choices:
    """Time the fast paths on one thread and choose. HEEDFUL_PROBE=off refuses: plain kernels, fp32.

    The settings of torch are as before when it returns, and so is the state of its random generator.
    """
    threads, why_threads = available_threads()
    reasons = {"threads": why_threads}
    if os.environ.get(SWITCH, "").strip().lower() in ("off", "0", "no", "false"):
        off = f"not probed: {SWITCH}={os.environ[SWITCH]}"
        reasons |= dict.fromkeys(("fp32_gemm", "row", "step", "bf16"), off)
        return Choices(threads=threads, reasons=reasons)
    import torch

    from . import products

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode(), products.threads(1):
            onednn, reasons["fp32_gemm"] = _probe_gemm()
            row, reasons["row"] = _probe_step(onednn, (1,))
            step, reasons["step"] = _probe_step(onednn, STEP_ROWS)
            bf16, reasons["bf16"] = _probe_bf16(onednn)
    finally:
        torch.set_num_threads(before)
    return Choices(
        fp32_gemm="onednn" if onednn else "mkl",
        row=row,
        step=step,
        bf16=bf16,
        threads=threads,
        reasons=reasons,
    )


def apply(choices: Choices) -> None:
    """Set torch's global switches as chosen: threads, and the library of fp32 products."""
    import torch

    if torch.get_num_threads() != choices.threads:
        torch.set_num_threads(choices.threads)
    _use_onednn(choices.fp32_gemm == "onednn")


def makes_code(states: Tensor) -> bool:
    """Whether products of these are oneDNN's, which makes code for every new size of a product and keeps it.

    A third of a millisecond and half a megabyte each: training should have few sizes.
    """
    import torch

    return states.device.type == "cpu" and (states.dtype != torch.float32 or _precision() == "bf16")


@contextmanager
def applied(choices: Choices) -> Iterator[None]:
    """`apply`, undone at the end: for programs that do more than heedful in one process.

    The settings are the process's: where two threads want this at once, the second waits.
    """
    import torch

    with _applying:
        threads, precision = torch.get_num_threads(), _precision()
        apply(choices)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            _restore(precision)


def available_threads() -> tuple[int, str]:
    """How many processors this process may use, and how that is known; never the machine's total where it is less."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isascii() and asked.isdigit() and int(asked) > 0:
        return int(asked), f"OMP_NUM_THREADS={asked}"
    try:
        count, source = len(os.sched_getaffinity(0)), "processors this process may run on"
    except (AttributeError, OSError):  # macOS and Windows have no affinity to ask for
        count, source = os.cpu_count() or 1, "processors of the machine (affinity is unknown here)"
    quota = _container_quota()
    if quota is not None and quota < count:
        return quota, "the container's processor quota"
    return count, source


def _container_quota(file: Path = Path("/sys/fs/cgroup/cpu.max")) -> int | None:
    """Whole processors that a Linux control group grants; None without a limit."""
    try:
        quota, period = file.read_text("ascii").split()
        return max(1, math.floor(int(quota) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        return None


def physical_memory() -> int | None:
    """Bytes of the machine's memory; None where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def cpu_description() -> tuple[str, frozenset[str]]:
    """The processor's name and its feature flags, as Linux lists them; elsewhere a name and no flags."""
    import platform

    name, flags = platform.processor() or platform.machine(), frozenset[str]()
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
    except OSError:
        return name, flags
    for line in text.split("\n"):
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
        elif key.strip() in ("flags", "Features"):
            return name, frozenset(value.split())
    return name, flags


def median_times(repetitions: int, *work: Callable[[], object]) -> list[float]:
    """Median seconds of each piece of work, repeated in turn so that a busy moment hits all of them alike.

    Process CPU time, not wall time: other programs may hold the machine. (Windows counts it in 16 ms; wall there.)
    """
    clock = time.perf_counter_ns if os.name == "nt" else time.process_time_ns
    times: list[list[int]] = [[] for _ in work]
    for one in work:
        one()  # the first call allocates and plans
    for _ in range(repetitions):
        for one, spent in zip(work, times, strict=True):
            start = clock()
            one()
            spent.append(clock() - start)
    return [sorted(spent)[repetitions // 2] / 1e9 for spent in times]


def _precision() -> str | None:
    """The switch for fp32 products; None in a torch that has none."""
    import torch

    matmul = getattr(torch.backends.mkldnn, "matmul", None)
    return getattr(matmul, "fp32_precision", None)


def _use_onednn(on: bool) -> None:
    if _precision() is not None:
        _restore("bf16" if on else "none")


def _restore(precision: str | None) -> None:
    import torch

    if precision is not None:
        torch.backends.mkldnn.matmul.fp32_precision = precision  # type: ignore[attr-defined]


def _numbers(rows: int, columns: int) -> Tensor:
    """Values in -1..1 that are the same on every machine and leave the random generator alone."""
    import torch

    return torch.sin(torch.arange(rows * columns, dtype=torch.float32).mul_(0.7548777)).view(rows, columns)


def _probe_gemm() -> tuple[bool, str]:
    given = _precision()
    if given is None:
        return False, "this torch cannot route fp32 products to oneDNN"
    left, right = _numbers(256, 256), _numbers(256, 512)
    exact = left.double() @ right.double()

    def product(on: bool) -> Tensor:
        _use_onednn(on)
        return left @ right

    try:
        error = float((product(True).double() - exact).abs().max() / exact.abs().max())
        if not error < TRUE_FP32:
            return False, f"oneDNN rounds fp32 products on this processor (error {error:.1e})"
        plain, fast = median_times(11, lambda: product(False), lambda: product(True))
    finally:
        _restore(given)
    return plain >= GAIN * fast, f"oneDNN is {plain / fast:.2f} x MKL, error {error:.1e}"


def _probe_step(onednn: bool, counts: tuple[int, ...]) -> tuple[Kind, str]:
    """The kernel that wins over all these counts of rows and loses at none by much; torch's own unless one does."""
    import torch

    from .products import KINDS, Linear

    weights = [_numbers(outputs, inputs) for inputs, outputs in STEP_SHAPES]
    kinds = {kind: [Linear(weight, None, Choices(row=kind, step=kind)) for weight in weights] for kind in KINDS}
    kinds = {kind: linears for kind, linears in kinds.items() if linears[0].kind(1) == kind}
    gains: dict[Kind, list[float]] = {kind: [] for kind in kinds}
    given = _precision()
    try:
        _use_onednn(onednn)
        for rows in counts:
            spent = dict.fromkeys(kinds, 0.0)
            for number, weight in enumerate(weights):
                inputs, outputs = _numbers(rows, weight.shape[1]), torch.empty(rows, weight.shape[0])
                work = [linears[number].into(inputs, outputs) for linears in kinds.values()]
                for kind, seconds in zip(kinds, median_times(7 if rows <= 4 else 3, *work), strict=True):
                    spent[kind] += seconds
            for kind in kinds:
                gains[kind].append(spent["torch"] / spent[kind])
    finally:
        _restore(given)
    overall = {kind: math.prod(found) ** (1 / len(found)) for kind, found in gains.items()}
    able = [kind for kind in kinds if overall[kind] >= GAIN and min(gains[kind]) > 0.8]
    many = "1 row" if counts == (1,) else "/".join(str(rows) for rows in counts) + " rows"
    told = [f"{kind} is {'/'.join(f'{gain:.2f}' for gain in gains[kind])} x torch" for kind in kinds if kind != "torch"]
    return max(able, key=lambda kind: overall[kind], default="torch"), f"{', '.join(told)} for {many}"


def _probe_bf16(onednn: bool) -> tuple[bool, str]:
    _, flags = cpu_description()
    native = sorted(flags & {"avx512_bf16", "amx_bf16", "bf16"})
    if not native:  # emulated bf16 is a hundred times slower: not even tried
        return False, "this processor has no bf16 units"
    left, right = _numbers(256, 256), _numbers(256, 512)
    half_left, half_right = left.bfloat16(), right.bfloat16()
    given = _precision()
    try:
        _use_onednn(onednn)
        plain, fast = median_times(5, lambda: left @ right, lambda: half_left @ half_right)
    finally:
        _restore(given)
    return plain >= GAIN * fast, f"bf16 ({', '.join(native)}) is {plain / fast:.2f} x fp32"
