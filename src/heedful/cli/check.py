"""`heedful check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .options import (
    DevPairs,
    DevSource,
    DevTarget,
    Languages,
    Limit,
    Pairs,
    Preset,
    Root,
    Settings,
    Source,
    Start,
    Target,
    TestPairs,
    TestSource,
    TestTarget,
    recipe_of,
)

FAILED = 1


def check(
    recipe: Annotated[Path | None, typer.Argument(metavar="RECIPE", help="A recipe in TOML.")] = None,
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
    data: Root = None,
    limit: Limit = None,
    preset: Preset = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    settings: Settings = None,
) -> None:
    """Look at data and recipe before training: exit code 1 if something is seriously wrong."""
    given = {
        "data.source": source,
        "data.target": target,
        "data.pairs": pairs,
        "data.dev_source": dev_source,
        "data.dev_target": dev_target,
        "data.dev_pairs": dev_pairs,
        "data.test_source": test_source,
        "data.test_target": test_target,
        "data.test_pairs": test_pairs,
        "training.start": start and str(start),
        "training.limit": limit,
        "model.preset": preset,
    }
    chosen = recipe_of(recipe, given, languages, settings)
    from ..tasks.translate.check import check as examine
    from ..tasks.translate.check_text import text_of

    report = examine(chosen, data)
    if as_json:
        import msgspec

        text = msgspec.json.format(msgspec.json.encode(report)).decode() + "\n"
    else:
        text = text_of(report)
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    if report.problems:
        raise typer.Exit(FAILED)
