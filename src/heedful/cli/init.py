"""`heedful init TASK`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .endings import open_file
from .options import (
    LEARNED,
    Dev,
    DevPairs,
    DevSource,
    DevTarget,
    Fields,
    Languages,
    Limit,
    Pairs,
    Prefix,
    Preset,
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

if TYPE_CHECKING:
    from ..config import Recipe

init = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Write a recipe to start from.")


@init.callback()
def _of_task() -> None:
    """Write a recipe to start from."""


@init.command("translate")
def translate(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="A new file; - is standard output.")
    ] = Path("recipe.toml"),
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
    limit: Limit = None,
    preset: Preset = None,
    settings: Settings = None,
) -> None:
    """Write a recipe for a translator: every key with its meaning and default."""
    _write(recipe_of(locals()), output)


def _begin(task: str) -> None:
    """The command for a task whose examples come from training files."""

    @init.command(task, help=f"Write a recipe for {task}: every key with its meaning and default.")
    def begin(
        output: Annotated[
            Path, typer.Option("-o", "--output", metavar="FILE", help="A new file; - is standard output.")
        ] = Path("recipe.toml"),
        train: Train = None,
        dev: Dev = None,
        test: Test = None,
        fields: Fields = None,
        start: Start = None,
        limit: Limit = None,
        preset: Preset = None,
        settings: Settings = None,
    ) -> None:
        _write(recipe_of(locals(), task), output)


for _task in LEARNED:
    _begin(_task)


def _write(recipe: Recipe, output: Path) -> None:
    from ..config.meanings import commented

    text = commented(recipe)
    if str(output) == "-":
        sys.stdout.write(text)
        return
    with open_file(output, "xb") as file:
        file.write(text.encode())
    checked = f"look at it with heedful check {output}"
    print(f"{output}: {checked if recipe.task == 'translate' else f'heedful train {recipe.task} --recipe {output}'}")
