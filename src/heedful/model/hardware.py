"""What this processor does best, found by trying at start-up: under a fifth of a second, and no file is written.

PyTorch sends fp32 products to MKL, which on some processors runs at half speed; oneDNN can be asked for instead, but
the same switch really rounds to bf16 where the chip has matrix units. So nothing is assumed: each fast path is timed
against the plain one and checked for its error, and it is chosen only if it wins on both counts.
What was chosen is a value that a run stores and takes again on resume; apart from it, kernels depend on shapes alone.
torch is imported inside the functions: reading the choices of a run or counting processors needs none.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from msgspec import Struct, field

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

SWITCH = "HEEDFUL_PROBE"
TRUE_FP32 = 1e-5  # largest error of an fp32 product, relative to its largest entry; bf16 rounding gives about 3e-3
GAIN = 1.15  # a fast path must win by this much: less is noise, and choices should not flip from run to run

# Linear layers of an inference step, (inputs, outputs), and rows of their products while decoding: one sentence, its
# beam, a batch, a batch of beams. The output over the vocabulary is far wider and is chosen by itself.
LAYERS, LAYER_ROWS = ((256, 1024), (512, 512)), (1, 4, 32, 128)
OUTPUTS, OUTPUT_ROWS = ((256, 8192),), (1, 4, 16)


class Choices(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the probe chose, with a reason in words for each field; msgspec turns it into JSON and back.

    `fp32_gemm`: the library for fp32 matrix products. `packed_linear`: a block's linear layers keep their weights in
    oneDNN's own order for inference (`PackedLinear`); `packed_output`: so does the output over the vocabulary.
    `bf16`: the chip multiplies bf16 natively and faster than fp32. `threads`: processors that this process may use.
    """

    fp32_gemm: Literal["mkl", "onednn"] = "mkl"
    packed_linear: bool = False
    packed_output: bool = False
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
        reasons |= dict.fromkeys(("fp32_gemm", "packed_linear", "packed_output", "bf16"), off)
        return Choices(threads=threads, reasons=reasons)
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            onednn, reasons["fp32_gemm"] = _probe_gemm()
            packed, reasons["packed_linear"] = _probe_packed(onednn, LAYERS, LAYER_ROWS)
            output, reasons["packed_output"] = _probe_packed(onednn, OUTPUTS, OUTPUT_ROWS)
            bf16, reasons["bf16"] = _probe_bf16(onednn)
    finally:
        torch.set_num_threads(before)
    return Choices(
        fp32_gemm="onednn" if onednn else "mkl",
        packed_linear=packed,
        packed_output=output,
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


@contextmanager
def applied(choices: Choices) -> Iterator[None]:
    """`apply`, undone at the end: for programs that do more than heedful in one process."""
    import torch

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


class PackedLinear:
    """`inputs @ weight.T + bias` for inference, the weight kept in oneDNN's own order where torch offers that.

    The two operators are private to torch, so they appear in this file only; without them, or if they refuse this
    weight, it is F.linear. The weight is copied: later changes to it are not seen. Has no gradient.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.weight = weight.detach()
        self.bias = None if bias is None else bias.detach()
        self.packed = _pack(self.weight)

    def __call__(self, inputs: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]."""
        import torch

        if self.packed is None or inputs.numel() == 0:
            return torch.nn.functional.linear(inputs, self.weight, self.bias)
        with torch.no_grad():
            return _multiply_packed(inputs, self.packed, self.bias)


def _pack(weight: Tensor) -> Tensor | None:
    import torch

    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return None
    try:
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None)
        _multiply_packed(weight.new_zeros(1, weight.shape[1]), packed, None)
    except (AttributeError, RuntimeError, NotImplementedError):
        return None
    return packed


def _multiply_packed(inputs: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    import torch

    product: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, packed, bias, "none", [], "")
    return product


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


def _probe_packed(onednn: bool, shapes: tuple[tuple[int, int], ...], row_counts: tuple[int, ...]) -> tuple[bool, str]:
    """Packed must win over all row counts together, and lose nowhere by much."""
    import torch

    given = _precision()
    gains: dict[int, float] = {}
    layers = [(_numbers(outputs, inputs), _numbers(1, outputs)[0]) for inputs, outputs in shapes]
    packed = [PackedLinear(weight, bias) for weight, bias in layers]
    if any(linear.packed is None for linear in packed):
        return False, "this torch has no packed linear"
    try:
        _use_onednn(onednn)
        for rows in row_counts:
            spent = [0.0, 0.0]
            for (weight, bias), linear in zip(layers, packed, strict=True):
                states = _numbers(rows, weight.shape[1])
                work = (_call(torch.nn.functional.linear, states, weight, bias), _call(linear, states))
                spent = [sum(pair) for pair in zip(spent, median_times(5 if rows > 4 else 9, *work), strict=True)]
            gains[rows] = spent[0] / spent[1]
    finally:
        _restore(given)
    overall = math.prod(gains.values()) ** (1 / len(gains))
    measured = ", ".join(f"{gain:.2f} x for {rows}" for rows, gain in gains.items())
    return overall >= GAIN and min(gains.values()) > 0.8, f"packed is {measured} rows"


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
        plain, fast = median_times(9, lambda: left @ right, lambda: half_left @ half_right)
    finally:
        _restore(given)
    return plain >= GAIN * fast, f"bf16 ({', '.join(native)}) is {plain / fast:.2f} x fp32"


def _call(function: Callable[..., T], *arguments: object) -> Callable[[], T]:
    return lambda: function(*arguments)
