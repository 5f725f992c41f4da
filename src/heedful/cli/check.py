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
    Prefix,
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
    prefix: Prefix = None,
    start: Start = None,
    data: Root = None,
    limit: Limit = None,
    preset: Preset = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    settings: Settings = None,
) -> None:
    """Look at data and recipe before training: exit code 1 if something is seriously wrong."""
    chosen = recipe_of(locals())
    from ..tasks.translate.check import check as examine
    from ..tasks.translate.check_text import text_of

    watched = sys.stderr is not None and sys.stderr.isatty()
    report = examine(chosen, data, lambda line: print(line, "...", file=sys.stderr) if watched else None)
    if as_json:
        import msgspec

        text = msgspec.json.format(msgspec.json.encode(report)).decode() + "\n"
    else:
        text = text_of(report)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), end="")
    if report.problems:
        raise typer.Exit(FAILED)
