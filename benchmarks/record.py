"""What every benchmark writes: its figures with the machine, the versions and the commit they were measured on."""

from __future__ import annotations

import json
import platform
import re
import subprocess
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """Processor, its vector extensions, cores and software versions."""
    import os

    import torch

    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = next((line.split(":", 1)[1].strip() for line in text.split("\n") if line.startswith("model name")), "")
    flags = next((line for line in text.split("\n") if line.startswith("flags")), "").split()
    wanted = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": model or platform.processor(),
        "extensions": [flag for flag in wanted if flag in flags],
        "cores": cores,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def commit() -> str:
    """Short hash of the checkout, with + where it has uncommitted changes to tracked files."""
    here = Path(__file__).parent
    run = lambda *words: subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True).stdout.strip()
    return run("rev-parse", "--short", "HEAD") + ("+" if run("status", "--porcelain", "-uno", "--", "../src") else "")


def write(name: str, figures: dict[str, Any]) -> Path:
    """benchmarks/results/PROCESSOR/NAME.json: figures of several machines stand side by side."""
    where = machine()
    processor = re.sub(r"\(\w+\)|processor|[^a-z0-9]+", " ", where["processor"].lower()).split()
    path = Path(__file__).parent / "results" / "-".join(processor) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"commit": commit(), "machine": where, **figures}, indent=1) + "\n")
    return path
