"""What a run of any task leaves for its readers: the page about it, and the model's card."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ..config import TASKS, write_toml
from ..errors import UserError
from ..model.hardware import cpu_description
from ..model.model import Model
from ..page.card import Card, markdown
from ..page.render import Section
from ..page.report import Story, run_page
from ..train.journal import read
from ..train.run import Run

SCORES = "scores.json"
Rows = Sequence[tuple[str, str, str]]
Scores = TypeVar("Scores")


@dataclass(frozen=True)
class Told:
    """What a task has to tell of a run, in plain values.

    `lead` is a sentence of the page; `what`, `use` and `limits` are the card's. `facts` and `scores` are rows of three
    (label, figure, note; metric, score, signature), measured on what `scored` says; `data` are rows of what was
    learned from, `sources` the same in words. `dropped`, `lengths` are as in `page.report.Story`; `sections` are the
    task's own.
    """

    lead: str
    what: str
    use: str
    limits: Sequence[str] = ()
    facts: Rows = ()
    data: Sequence[tuple[str, str]] = ()
    sources: Sequence[str] = ()
    dropped: Sequence[Mapping[str, Any]] = ()
    scores: Rows = ()
    scored: str = ""
    lengths: Sequence[tuple[str, int, float]] = ()
    sections: Sequence[Section] = ()


class Measured(msgspec.Struct, kw_only=True):
    """How good a finished model is on something: `scored` says what, `figures` are the `scores` in plain values."""

    scored: str
    scores: list[tuple[str, str, str]]
    figures: dict[str, Any]


def keep_scores(run: Run, found: Any) -> None:
    """RUN/scores.json: what a task measured of the finished model."""
    write(run.folder / SCORES, msgspec.json.format(msgspec.json.encode(found)) + b"\n")


def kept_scores(folder: Path, kind: type[Scores]) -> Scores | None:
    """What `keep_scores` kept; None where there is nothing yet. UserError for a file that is not ours."""
    path = folder / SCORES
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}; remove it, and see heedful report {folder}") from None


def write_page(run: Run, told: Told) -> Path:
    """RUN/report.html, at any time of the run."""
    journal = read(run.journal)
    facts, counted = list(told.facts), TASKS[run.recipe.task].counted
    steps = [line for line in journal if line.get("kind") == "step"]
    if steps:
        last = steps[-1]
        facts.append(("Steps", f"{last['step']:,}", f"{sum(line['tokens'] for line in steps):,} {counted}"))
        facts.append(("Time", _minutes(last["elapsed"]), f"{_speed(steps):,.0f} {counted.split()[-1]}/s"))
    story = Story(
        title=run.recipe.card.name or f"Run {run.folder.absolute().name}",
        lead=told.lead,
        recipe=write_toml(run.recipe),
        journal=journal,
        facts=facts,
        data=told.data,
        dropped=told.dropped,
        scores=told.scores,
        scored=told.scored,
        lengths=told.lengths,
        environment=_environment(run),
        footer=[f"Made by heedful {version('heedful')}."],
        sections=told.sections,
        counted=counted,
    )
    page = run.folder / "report.html"
    write(page, run_page(story).encode())
    return page


def write_card(run: Run, told: Told, model: Model) -> Path:
    """README.md of the finished model."""
    recipe, steps = run.recipe, [line for line in read(run.journal) if line.get("kind") == "step"]
    parameters = sum(tensor.numel() for tensor in model.tensors().values())
    learned = f"{sum(line['tokens'] for line in steps):,} {TASKS[recipe.task].counted}"
    trained = f"{len(steps):,} steps, {learned}, seed {recipe.seed}"
    card = Card(
        title=recipe.card.name or run.folder.absolute().name,
        what=told.what.format(parameters=f"{parameters / 1e6:.1f} million"),
        use=told.use,
        data=told.sources,
        scores=told.scores,
        scored=told.scored,
        limits=told.limits,
        made=[trained, f"heedful {version('heedful')}", "the recipe is in the run's recipe.toml"],
        license=recipe.card.license,
        cite=recipe.card.cite,
    )
    page = run.model / "README.md"
    write(page, markdown(card).encode())
    return page


def leave(run: Run, kept: Any, told: Callable[[], Told], model: Model) -> str:
    """Scores, page and, last, the card of a finished run; a line that says where the page is.

    `told` is asked once the scores are kept: it may read them.
    """
    keep_scores(run, kept)
    story = told()
    page = write_page(run, story)
    write_card(run, story, model)
    return f"report: {page}"


def finished(run: Run) -> bool:
    """Whether the run has a model."""
    return (run.model / "config.json").exists()


def _environment(run: Run) -> dict[str, str]:
    chosen = run.choices
    return {
        "Processor": f"{cpu_description()[0]}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "Processes": f"{chosen.processes} of {chosen.threads} thread{'s' if chosen.threads > 1 else ''}",
        "Precision": chosen.precision,
        "Device": chosen.device,
        "Versions": ", ".join(f"{name} {number}" for name, number in chosen.versions.items()),
        "Seed": str(run.recipe.seed),
    }


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _speed(steps: Sequence[dict[str, Any]]) -> float:
    speeds = sorted(line["speed"] for line in steps if line.get("speed"))
    return speeds[len(speeds) // 2] if speeds else 0.0


def write(path: Path, content: bytes) -> None:
    """A file, whole or not at all."""
    aside = path.with_name(f".{path.name}.tmp")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None
