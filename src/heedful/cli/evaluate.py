"""`heedful evaluate`."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UserError
from .endings import open_file


class Tokenize(StrEnum):
    v13a = "13a"
    intl = "intl"
    zh = "zh"
    char = "char"
    none = "none"
    ja_mecab = "ja-mecab"
    ko_mecab = "ko-mecab"


def evaluate(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE", help="Examples with answers, in the format of training; not for translators."),
    ] = None,
    reference: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="The right translations; repeatable.")
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option("-m", "--model", metavar="RUN", help="A model to evaluate; translators repeatable."),
    ] = None,
    output: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Translations of any system; repeatable.")
    ] = None,
    source: Annotated[Path | None, typer.Option(metavar="FILE", help="What is translated.")] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", envvar="HEEDFUL_DATA", help="Where data files are.")
    ] = None,
    stride: Annotated[
        int | None, typer.Option(min=1, help="Of a language model's window: tokens scored at a time.")
    ] = None,
    features: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The pictures' features, for models that read these.")
    ] = None,
    train_target: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Training text, for figures about rare words.")
    ] = None,
    page: Annotated[Path | None, typer.Option(metavar="HTML", help="Write a page about it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every figure as JSON.")] = False,
    beam: Annotated[int | None, typer.Option(min=1, max=64, help="Of the models' search.")] = None,
    tag: Annotated[str | None, typer.Option(metavar="LANGUAGE", help="Of several target languages, this one.")] = None,
    lowercase: Annotated[bool, typer.Option("--lowercase", help="Fold case before scoring.")] = False,
    tokenize: Annotated[Tokenize, typer.Option(help="How BLEU splits lines.")] = Tokenize.v13a,
    ter: Annotated[bool, typer.Option("--ter", help="TER as well; slow.")] = False,
    moses: Annotated[
        str, typer.Option(metavar="CODE", help="Also BLEU of Moses-tokenised, lower-cased text, as papers give it.")
    ] = "",
    resamples: Annotated[int, typer.Option(min=1, max=100_000, help="Of the bootstrap.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 12345,
) -> None:
    """Score a model on examples with answers; translations against references, systems compared."""
    _require_new(page)
    own = {name: value for name, value in (("stride", stride), ("features", features)) if value is not None}
    if files:
        return _of_files(files, model or [], data, page, as_json, own)
    if own:
        raise UserError(f"--{min(own)} is for models that are evaluated on FILE, not for translations")
    if not reference:
        raise UserError("nothing to compare with: give --reference FILE for translations, or FILE for other tasks")
    from ..measure.metrics import Options
    from ..tasks.translate.evaluating import evaluate_systems

    decoding = {name: value for name, value in (("beam", beam), ("tag", tag)) if value is not None}
    options = Options(lowercase=lowercase, tokenize=tokenize.value, ter=ter, moses=moses)
    found = evaluate_systems(
        model or [], output or [], source, reference, counted=train_target or [], root=data, decoding=decoding,
        measures=options, resamples=resamples, seed=seed,
    )  # fmt: skip
    _tell(found, page, as_json)


def _of_files(
    files: list[Path],
    models: list[Path],
    data: Path | None,
    page: Path | None,
    as_json: bool,
    given: dict[str, Any],
) -> None:
    """One model that is no translator."""
    from ..tasks.finding import evaluate as evaluate_files

    if len(models) != 1:
        raise UserError("name one model to evaluate on these files: -m RUN")
    _tell(evaluate_files(models[0], files, data, **given), page, as_json)


def _require_new(page: Path | None) -> None:
    if page is None:
        return
    from ..tasks.translate.partial import require_new

    require_new(page, "--page")
    if not page.absolute().parent.is_dir():
        raise UserError(f"{page}: there is no folder {page.absolute().parent}; make it first")


def _tell(found: Any, page: Path | None, as_json: bool) -> None:
    """Figures, and the page if asked for."""
    print(json.dumps(found.figures, ensure_ascii=False, indent=2) if as_json else found.text, end="\n" * as_json)
    if page:
        sys.stdout.flush()  # the figures are not lost if the page cannot be written
        with open_file(page, "xb", "--page") as file:
            file.write(found.page.encode())
