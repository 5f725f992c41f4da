"""`heedful init TASK`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .endings import open_file
from .options import (
    DevPairs,
    DevSource,
    DevTarget,
    Languages,
    Limit,
    Pairs,
    Preset,
    Settings,
    Source,
    Start,
    Target,
    TestPairs,
    TestSource,
    TestTarget,
    recipe_of,
)

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
    start: Start = None,
    limit: Limit = None,
    preset: Preset = None,
    settings: Settings = None,
) -> None:
    """Write a recipe for a translator: every key with its meaning and default."""
    given = locals()
    from ..config.meanings import commented

    text = commented(recipe_of(given))
    if str(output) == "-":
        sys.stdout.write(text)
        return
    with open_file(output, "xb") as file:
        file.write(text.encode())
    print(f"{output}: look at it with heedful check {output}")
