"""Runs of any task: begin one, continue one. What differs between tasks is asked of the task's module."""

from __future__ import annotations

import importlib
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Protocol, cast

import msgspec
import torch

from ..config import TASKS, Recipe
from ..errors import UserError
from ..model import hardware
from ..model.presets import nearest
from ..train import distributed, loop
from ..train.run import Run, choose
from ..train.task import Task


class Trained(Protocol):
    """A task's module, as runs see it."""

    def complete(self, recipe: Recipe, root: Path | None = None) -> Recipe:
        """The recipe with files resolved and what it leaves open chosen; UserError for what could only fail later."""
        ...

    def prepare(self, recipe: Recipe, folder: Path) -> list[str]:
        """Make the run's data in `folder` (or find it there), and say what became of it, a line each."""
        ...

    def build(self, recipe: Recipe, folder: Path, device: torch.device) -> Task:
        """Model and data as the training loop wants them."""
        ...

    def farewell(self, run: Path) -> str:
        """A line that says what to do with the finished run."""
        ...

    def close(self, run: Run) -> list[str]:
        """Score the finished model, write its card and the page about the run; what there is to say, a line each."""
        ...

    def write_report(self, run: Run) -> Path:
        """The page about the run as it stands."""
        ...


def of(name: str) -> Trained:
    """The task of that name: a module or folder here that can be trained."""
    if name not in TASKS:
        raise UserError(f"the recipe's task is {name!r}; {nearest(name, list(TASKS))}")
    return cast(Trained, importlib.import_module(f".{name}", __package__))


def train(recipe: Recipe, out: Path, root: Path | None = None, launch: bool = False) -> int:
    """A new run in `out`, to its end; returns the exit code (0, or 128 + the signal that stopped it).

    `launch` lets this process start copies of its own command where the recipe wants several; else it trains alone.
    """
    began, task = time.monotonic(), of(recipe.task)
    if out == Path():
        raise UserError("--out is empty; name a folder for the run")
    grouped = distributed.inside_group()
    if not grouped and (out / "run.json").exists():
        raise UserError(f"{out}: holds a run already; continue it with: heedful resume {out}")
    if launch and not grouped:
        device = distributed.choose_device(recipe.training.device).type
        chosen = choose(task.complete(recipe, root).training, device)  # mistakes are told once, by the parent
        if chosen.processes > 1:
            return distributed.launch(chosen.processes, chosen.threads)
    if distributed.leads():
        recipe = task.complete(recipe, root)
        device = distributed.choose_device(recipe.training.device).type
        training = msgspec.structs.replace(recipe.training, processes=distributed.group_size())
        run = Run.create(out, recipe, choose(training, device, msgspec.to_builtins(hardware.probe())))
        try:
            return _go_on(run, recipe.training.device, began)
        except UserError:
            run.withdraw()  # a run refused before its first step leaves the folder free for a better one
            raise
    return _go_on(None, recipe.training.device, began, out)


def resume(out: Path, launch: bool = False) -> int:
    """Continue a run exactly where it stopped, with the processes and threads it began with; returns the exit code."""
    began = time.monotonic()
    run = Run.open(out)
    if (run.model / "config.json").exists():
        _say(f"{out}: the run is finished; its model is in {run.model}")
        if distributed.leads() and not (run.model / "README.md").exists():  # what comes last: it was interrupted
            with run.lock:
                _close(run)
        return 0
    if distributed.inside_group() and distributed.group_size() != run.choices.processes:
        raise UserError(
            f"{out}: began with {run.choices.processes} processes and cannot go on with {distributed.group_size()}"
        )
    if run.choices.processes > 1 and not distributed.inside_group():
        if not launch:
            raise UserError(
                f"{out}: began with {run.choices.processes} processes; continue it with: heedful resume {out}"
            )
        return distributed.launch(run.choices.processes, run.choices.threads)
    if distributed.leads() and (note := run.changed_versions()):
        _say(note)
    named = run.recipe.training.device
    return _go_on(run, run.choices.device if named == "auto" else named, began)


def report(out: Path, score: bool = False) -> list[str]:
    """Write the page about a run; `score`: of a finished one, measure its model anew. What there is to say, by line."""
    run = Run.open(out)
    task = of(run.recipe.task)
    if not score:
        return [f"report: {task.write_report(run)}"]
    if not (run.model / "config.json").exists():
        raise UserError(f"{out}: the run is not finished, so it holds no model to score; leave --score out")
    return task.close(run)


def _go_on(run: Run | None, device: str, began: float, folder: Path | None = None) -> int:
    """Prepare the data on the leader, then train. The others join when it is done: `connect` waits for all."""
    with run.lock if run and distributed.leads() else nullcontext():
        if run and distributed.leads():
            for line in of(run.recipe.task).prepare(run.recipe, run.data):
                _say(line)
        world = distributed.connect(device, run.choices.threads if run else "auto")
        if run is None:
            assert folder is not None
            run = Run.open(folder)
        kernels = msgspec.convert(run.choices.kernels, hardware.Choices)
        hardware.apply(msgspec.structs.replace(kernels, threads=run.choices.threads))
        task = of(run.recipe.task).build(run.recipe, run.data, world.device)
        outcome = loop.train(task, run, world, spent=time.monotonic() - began)
        world.leave()
        if world.leader and not outcome.exit_code:
            _close(run)
    if world.leader and outcome.exit_code:
        _say(f"stopped after step {outcome.step}; continue with: heedful resume {run.folder}")
    elif world.leader:
        _say(of(run.recipe.task).farewell(run.folder))
    return outcome.exit_code


def _close(run: Run) -> None:
    """Scores, page and card of a finished run; a model is not lost where they cannot be had."""
    try:
        for line in of(run.recipe.task).close(run):
            _say(line)
    except UserError as error:
        _say(f"warning: no report: {error}; then: heedful report {run.folder} --score")


def _say(line: str) -> None:
    """Where progress goes, too: in order with it."""
    print(line, file=sys.stderr, flush=True)
