"""`heedful score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def score(
    source: Annotated[Path, typer.Option(metavar="FILE", help="Sentences, one a line.")],
    target: Annotated[Path, typer.Option(metavar="FILE", help="Their translations, line by line.")],
    model: Annotated[
        list[Path] | None, typer.Option("-m", "--model", metavar="RUN", help="Default: the last run here.")
    ] = None,
    tag: Annotated[str | None, typer.Option(metavar="LANGUAGE", help="Of several target languages, this one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="An object a line, with a score for every token.")] = False,
) -> None:
    """How likely a model holds given translations: mean and sum of log-probabilities, a line each."""
    from ..tasks.translate.scoring import score_files

    for line in score_files(model or [], source, target, tag, as_json):
        print(line)
