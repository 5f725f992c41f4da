"""`heedful train TASK`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import (
    LEARNED,
    Dev,
    Device,
    DevPairs,
    DevSource,
    DevTarget,
    Fields,
    Languages,
    Limit,
    Pairs,
    Precision,
    Prefix,
    Preset,
    Root,
    Settings,
    Source,
    Start,
    Target,
    Test,
    TestPairs,
    TestSource,
    TestTarget,
    Train,
    recipe_of,
)

train = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Train a model from your own files.")


@train.callback()
def _of_task() -> None:
    """Train a model from your own files."""


@train.command("translate")
def translate(
    out: Annotated[Path, typer.Option(metavar="RUN", help="The run's folder, to be made.")],
    recipe: Annotated[Path | None, typer.Option(metavar="FILE", help="A recipe in TOML; options win over it.")] = None,
    source: Source = None,
    target: Target = None,
    pairs: Pairs = None,
    dev_source: DevSource = None,
    dev_target: DevTarget = None,
    dev_pairs: DevPairs = None,
    test_source: TestSource = None,
    test_target: TestTarget = None,
    test_pairs: TestPairs = None,
    languages: Languages = None,
    prefix: Prefix = None,
    start: Start = None,
    data: Root = None,
    limit: Limit = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many steps.")] = None,
    seed: Annotated[int | None, typer.Option(help="What everything random follows from.")] = None,
    device: Annotated[Device | None, typer.Option(help="Where to compute.")] = None,
    processes: Annotated[str | None, typer.Option(metavar="N", help="Share each step among N processes.")] = None,
    precision: Annotated[Precision | None, typer.Option(help="Of the products; the weights stay fp32.")] = None,
    preset: Preset = None,
    settings: Settings = None,
) -> None:
    """Train a translator from parallel text; with no recipe, sizes follow from data and machine."""
    chosen = recipe_of(locals())
    from ..tasks.runs import train as begin  # after the recipe was read: its mistakes need not wait for torch

    raise typer.Exit(begin(chosen, out, data, launch=True))


def _learn(task: str, help_: str) -> None:
    """The command for a task whose examples come from training files."""

    @train.command(task, help=help_)
    def learn(
        out: Annotated[Path, typer.Option(metavar="RUN", help="The run's folder, to be made.")],
        recipe: Annotated[
            Path | None, typer.Option(metavar="FILE", help="A recipe in TOML; options win over it.")
        ] = None,
        train: Train = None,
        dev: Dev = None,
        test: Test = None,
        fields: Fields = None,
        start: Start = None,
        data: Root = None,
        limit: Limit = None,
        steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many steps.")] = None,
        seed: Annotated[int | None, typer.Option(help="What everything random follows from.")] = None,
        device: Annotated[Device | None, typer.Option(help="Where to compute.")] = None,
        processes: Annotated[str | None, typer.Option(metavar="N", help="Share each step among N processes.")] = None,
        precision: Annotated[Precision | None, typer.Option(help="Of the products; the weights stay fp32.")] = None,
        preset: Preset = None,
        settings: Settings = None,
    ) -> None:
        chosen = recipe_of(locals(), task)
        from ..tasks.runs import train as begin

        raise typer.Exit(begin(chosen, out, data, launch=True))


for _task, _help in LEARNED.items():
    _learn(_task, _help)
