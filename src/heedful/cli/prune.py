"""`heedful prune`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UserError


class By(StrEnum):
    gradient = "gradient"
    ablation = "ablation"


def prune(
    model: Annotated[Path, typer.Option("-m", "--model", metavar="RUN", help="Of a run, or a model's folder.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Of the smaller model; a new one.")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE", help="Examples to judge the heads by, as for evaluate; not for translators."),
    ] = None,
    source: Annotated[Path | None, typer.Option(metavar="FILE", help="Sentences to judge by, one a line.")] = None,
    target: Annotated[Path | None, typer.Option(metavar="FILE", help="Their translations, line by line.")] = None,
    share: Annotated[float, typer.Option(help="Of all heads, how many go.")] = 0.25,
    by: Annotated[
        By, typer.Option(help="Judge heads by the loss's slope, or by the loss without each: better, a pass a head.")
    ] = By.gradient,
    rounds: Annotated[
        int, typer.Option(min=1, max=1000, help="Of so many, each takes a part; what is left is judged anew.")
    ] = 1,
    tag: Annotated[str | None, typer.Option(metavar="LANGUAGE", help="Of several target languages, this one.")] = None,
    features: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The pictures' features, for models that read these.")
    ] = None,
    examples: Annotated[int, typer.Option(min=1, help="Of the files, so many judge, evenly spread.")] = 1000,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", envvar="HEEDFUL_DATA", help="Where data files are.")
    ] = None,
) -> None:
    """Remove the attention heads that matter least (Michel et al. 2019): a smaller model."""
    from ..tasks.finding import task_of
    from ..tasks.looking.examples import Files
    from ..tasks.pruning import prune
    from ..tasks.translate.prune import prune as prune_translator

    if task_of(model) == "translate":
        if files or source is None or target is None:
            raise UserError(f"{model}: a translator; judge its heads by --source FILE --target FILE")
        lines = prune_translator(model, source, target, share, output, tag, data, by.value, rounds)
    else:
        if not files or source is not None or target is not None:
            raise UserError(f"{model}: judge its heads by examples: heedful prune -m RUN -o FOLDER FILE")
        given = Files(files, examples, features=features, root=data)
        lines = prune(model, given, share, output, by.value, rounds)
    for line in lines:
        print(line)
