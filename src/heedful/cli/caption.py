"""`heedful caption`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def caption(
    pictures: Annotated[list[str], typer.Argument(metavar="PICTURE", help="A file, or FILE.npz#12 of an array.")],
    model: Annotated[
        Path | None, typer.Option("-m", "--model", metavar="RUN", help="Of a run or a model. Default: the last run.")
    ] = None,
    beam: Annotated[int | None, typer.Option(min=1, max=64, help="Hypotheses kept; 1 is greedy.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="An object a line.")] = False,
) -> None:
    """Write a caption for each picture, a line each."""
    from ..tasks.caption import load
    from ..tasks.finding import last_run

    found = load(model or last_run(task="caption")).caption(pictures, beam)
    for name, text in zip(pictures, found, strict=True):
        line = " ".join(text.split())
        print(json.dumps({"picture": name, "caption": line}, ensure_ascii=False) if as_json else line)
