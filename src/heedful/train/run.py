"""The folder of a run: what it was made from, what was chosen at its start, and where everything lies.

RUN/recipe.toml     the recipe, complete
RUN/run.json        processes, threads, device, precision, kernels, versions: taken from here on resume
RUN/data/           tokenizers and token shards
RUN/journal.jsonl   one line per step
RUN/checkpoints/    step-00001200/ ...
RUN/model/          the finished model
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from ..config import Recipe, Training, read_recipe, write_toml
from ..errors import UserError
from ..model.hardware import physical_memory
from ..model.plan import Plan
from ..model.shapes import count
from .distributed import cores, inside_group
from .lock import Lock

PER_CORE = 4  # processes; each holds torch, the model and the optimizer's state
VERSIONED = ("heedful", "torch", "numpy", "safetensors", "tokenizers", "sentencepiece")


class Choices(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the start of a run decides once: a resume under other choices would not give the same bits.

    `kernels` is what the start-up probe of the kernels chose, as it wants it back.
    """

    format: int = 1
    processes: int = 1
    threads: int = 1
    device: str = "cpu"
    precision: Literal["fp32", "bf16"] = "fp32"
    kernels: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """A run folder. `with run.lock:` before anything in it is changed."""

    folder: Path
    recipe: Recipe
    choices: Choices
    lock: Lock

    @classmethod
    def create(cls, folder: Path, recipe: Recipe, choices: Choices) -> Run:
        """A new folder; UserError if a run is in it already, or it cannot be made."""
        if (folder / "run.json").exists():
            raise UserError(f"{folder}: holds a run already; continue it with: heedful resume {folder}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write(folder / "recipe.toml", write_toml(recipe).encode())
            _write(folder / "run.json", json.dumps(msgspec.to_builtins(choices), indent=2).encode() + b"\n")
        except OSError as error:
            raise UserError(f"{folder}: cannot be written: {error.strerror}; choose another with --out") from None
        return cls(folder, recipe, choices, Lock(folder))

    @classmethod
    def open(cls, folder: Path) -> Run:
        """The run in a folder; UserError if there is none."""
        path = folder / "run.json"
        try:
            choices = msgspec.json.decode(path.read_bytes(), type=Choices)
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}; is {folder} the folder of a run?") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: {error}; restore it from a copy") from None
        return cls(folder, read_recipe(folder / "recipe.toml"), choices, Lock(folder))

    def withdraw(self) -> None:
        """Make the folder free again, if the run made no checkpoint; prepared data stays, to be used again."""
        if not (self.folder / "checkpoints").exists():
            for name in ("run.json", "recipe.toml"):
                (self.folder / name).unlink(missing_ok=True)

    @property
    def journal(self) -> Path:
        return self.folder / "journal.jsonl"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def model(self) -> Path:
        return self.folder / "model"

    def changed_versions(self) -> str | None:
        """A line that names the libraries that are not those the run began with: then the bits may differ."""
        now = versions()
        then = self.choices.versions
        changed = ", ".join(f"{name} {then[name]} -> {now.get(name)}" for name in then if now.get(name) != then[name])
        return f"note: {changed} since this run began; results may differ in the last bits" if changed else None


def choose(training: Training, device: str, kernels: dict[str, Any] | None = None) -> Choices:
    """Resolve every "auto" for a device type ("cpu", "cuda", "mps"): one process per core or GPU, cores shared out.

    `kernels` are the fast paths that the start-up probe chose (`hardware.Choices`).

    On CPUs data-parallel processes of one thread beat threads of one process: they wait for each other once a step.
    """
    processes = training.processes
    if processes == "auto":
        processes = cores() if device == "cpu" else _graphics_cards() if device == "cuda" else 1
    elif device == "cpu" and not inside_group() and processes > PER_CORE * cores():
        raise UserError(
            f"training.processes = {processes}, but this process may use {cores()} cores; at most {PER_CORE} a core, "
            f"or their memory would fill the machine; leave it at auto"
        )
    threads = max(1, cores() // processes) if training.threads == "auto" else training.threads
    precision = training.precision
    if precision == "auto":
        precision = "bf16" if _computes_bf16(device, kernels or {}) else "fp32"
    return Choices(
        processes=processes,
        threads=threads,
        device=device,
        precision=precision,
        kernels=kernels or {},
        versions=versions(),
    )


def require_memory(plan: Plan, averaged: bool = False) -> None:
    """UserError if what training holds for every parameter would not fit the machine."""
    parameters, memory = sum(map(count, plan.shapes().values())), physical_memory()
    needed = (20 if averaged else 16) * parameters  # fp32 weight, gradient, Adam's two moments; running average
    if memory is not None and needed > memory:
        raise UserError(
            f"model: {parameters:,} parameters need {needed / 1e9:,.0f} GB to train, this machine has "
            f"{memory / 1e9:,.0f} GB; choose a smaller preset, width or vocabulary"
        )


def versions() -> dict[str, str]:
    """Versions of what the bits of a run depend on."""
    found = {"python": platform.python_version()}
    for name in VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _computes_bf16(device: str, kernels: dict[str, Any]) -> bool:
    """Whether bf16 products gain anything: on a CPU the start-up probe has timed them."""
    if device == "cuda":
        import torch

        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device == "cpu" and bool(kernels.get("bf16"))


def _graphics_cards() -> int:
    import torch

    return max(1, torch.cuda.device_count())


def _write(path: Path, content: bytes) -> None:
    """Replace a small file as a whole, durably."""
    aside = path.with_name(f".tmp-{path.name}")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.rename(aside, path)
