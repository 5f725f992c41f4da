"""`heedful prune`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def prune(
    model: Annotated[Path, typer.Option("-m", "--model", metavar="RUN", help="Of a run, or a model's folder.")],
    source: Annotated[Path, typer.Option(metavar="FILE", help="Sentences to judge the heads by, one a line.")],
    target: Annotated[Path, typer.Option(metavar="FILE", help="Their translations, line by line.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Of the smaller model; a new one.")],
    share: Annotated[float, typer.Option(help="Of all heads, how many go.")] = 0.25,
    tag: Annotated[str | None, typer.Option(metavar="LANGUAGE", help="Of several target languages, this one.")] = None,
) -> None:
    """Remove the attention heads that matter least (Michel et al. 2019): a smaller, faster model."""
    from ..tasks.translate.prune import prune

    for line in prune(model, source, target, share, output, tag):
        print(line)
