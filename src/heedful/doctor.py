"""`heedful doctor`: what this installation is made of and what the start-up probe chose, as text to read or to send."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shlex
import sys
from collections.abc import Iterator

from .model.hardware import Choices, available_threads, cpu_description, probe
from .show import table

# What heedful makes use of, out of the hundred flags of a processor.
FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "sve", "bf16")
PATHS = {
    "fp32_gemm": "fp32 products",
    "row": "step of one row",
    "step": "step of more rows",
    "bf16": "bf16",
    "threads": "threads",
}


def report() -> str:
    """Versions, devices, processor, chosen fast paths with reasons, and the pip line of every missing extra."""
    sections = [
        f"heedful {_version('heedful')}, Python {platform.python_version()}, {platform.system()} {platform.machine()}",
        table(("part", "found"), [*_processor(), *_torch()]),
        _fast_paths(),
        table(("extra", "state"), list(extras())),
    ]
    return "\n\n".join(sections) + "\n"


def extras(distribution: str = "heedful") -> Iterator[tuple[str, str]]:
    """(extra, `installed` or the pip line that installs exactly what is missing), from the package's own metadata."""
    try:
        requirements = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        yield "all", "unknown: heedful is not installed, only on the path; run pip install -e . in its folder"
        return
    missing: dict[str, list[str]] = {}
    for line in requirements:
        requirement, _, marker = line.partition(";")
        extra = re.search(r"""extra\s*==\s*["']([^"']+)["']""", marker)
        if extra:
            lacking = missing.setdefault(extra[1], [])
            name = re.match(r"[A-Za-z0-9._-]+", requirement.strip())
            if name and _version(name[0]) is None:
                lacking.append(requirement.strip())
    for extra_name, lacking in missing.items():
        line = shlex.join([sys.executable, "-m", "pip", "install", *lacking])
        yield extra_name, line if lacking else "installed"


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> Iterator[tuple[str, str]]:
    name, flags = cpu_description()
    count, source = available_threads()
    yield "processor", name
    yield "features", " ".join(feature for feature in FEATURES if feature in flags) or "unknown on this system"
    yield "threads", f"{count} of {os.cpu_count()} ({source})"


def _torch() -> Iterator[tuple[str, str]]:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library of torch is missing or damaged
        yield "torch", f"cannot be imported: {' '.join(str(error).split())}"
        return
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU only"
    yield "torch", f"{torch.__version__} ({build}, kernels for {torch.backends.cpu.get_cpu_capability()})"
    yield "idle threads", f"OMP_WAIT_POLICY={os.environ.get('OMP_WAIT_POLICY', 'not set')}"
    yield "devices", ", ".join(_devices())


def _devices() -> Iterator[str]:
    import torch

    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        yield f"cuda:{number} {properties.name} ({properties.total_memory / 2**30:.0f} GiB)"
    if torch.backends.mps.is_available():
        yield "mps"
    yield "cpu"


def _fast_paths() -> str:
    try:
        choices = probe()
    except (ImportError, OSError):
        return "fast paths: not probed, torch cannot be imported"
    return table(("fast path", "chosen", "why"), [_path_row(choices, name) for name in PATHS])


def _path_row(choices: Choices, name: str) -> tuple[str, str, str]:
    value = getattr(choices, name)
    chosen = ("on" if value else "off") if isinstance(value, bool) else str(value)
    return PATHS[name], chosen, choices.reasons.get(name, "")
