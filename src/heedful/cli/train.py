"""`heedful train TASK`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UserError
from .options import Device, Files, Precision, Settings

train = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Train a model from your own files.")


@train.callback()
def _of_task() -> None:
    """Train a model from your own files."""


@train.command("translate")
def translate(
    out: Annotated[Path, typer.Option(metavar="RUN", help="The run's folder, to be made.")],
    recipe: Annotated[Path | None, typer.Option(metavar="FILE", help="A recipe in TOML; options win over it.")] = None,
    source: Annotated[Files, typer.Option(metavar="FILE", help="Sentences to translate from, one a line.")] = None,
    target: Annotated[Files, typer.Option(metavar="FILE", help="Their translations, line by line.")] = None,
    pairs: Annotated[Files, typer.Option(metavar="FILE", help="Both in one file: TSV or JSONL.")] = None,
    dev_source: Annotated[
        Files, typer.Option(metavar="FILE", help="Sentences for validation; else some are held out.")
    ] = None,
    dev_target: Annotated[Files, typer.Option(metavar="FILE", help="Their translations.")] = None,
    dev_pairs: Annotated[Files, typer.Option(metavar="FILE", help="Both in one file.")] = None,
    start: Annotated[
        Path | None, typer.Option("--from", metavar="RUN", help="Go on from a finished translator, with its words.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", envvar="HEEDFUL_DATA", help="Where data files are.")
    ] = None,
    limit: Annotated[str | None, typer.Option("--for", metavar="TIME", help="Stop after 90s, 60m or 2h.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many steps.")] = None,
    seed: Annotated[int | None, typer.Option(help="What everything random follows from.")] = None,
    device: Annotated[Device | None, typer.Option(help="Where to compute.")] = None,
    processes: Annotated[str | None, typer.Option(metavar="N", help="Share each step among N processes.")] = None,
    precision: Annotated[Precision | None, typer.Option(help="Of the products; the weights stay fp32.")] = None,
    preset: Annotated[str | None, typer.Option(metavar="NAME", help="Sizes of the model; see heedful show.")] = None,
    settings: Settings = None,
) -> None:
    """Train a translator from parallel text; with no recipe, sizes follow from data and machine."""
    from ..config import override, parse_recipe, read_recipe

    given: dict[str, Any] = {
        "data.source": source,
        "data.target": target,
        "data.pairs": pairs,
        "data.dev_source": dev_source,
        "data.dev_target": dev_target,
        "data.dev_pairs": dev_pairs,
        "training.start": start and str(start),
        "training.limit": limit,
        "training.steps": steps,
        "training.device": device and device.value,
        "training.precision": precision and precision.value,
        "model.preset": preset,
        "seed": seed,
    }
    overrides = [override(key, value) for key, value in given.items() if value is not None]
    overrides += [f"training.processes={processes}"] if processes else []
    overrides += settings or []
    chosen = read_recipe(recipe, overrides) if recipe else parse_recipe({}, overrides, where="options")
    if chosen.task != "translate":
        raise UserError(f"the recipe's task is {chosen.task!r}, not 'translate'")
    from ..tasks.runs import train as begin  # after the recipe was read: its mistakes need not wait for torch

    raise typer.Exit(begin(chosen, out, data, launch=True))
