"""`heedful evaluate`."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

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
    reference: Annotated[list[Path], typer.Option(metavar="FILE", help="The right translations; repeatable.")],
    model: Annotated[
        list[Path] | None, typer.Option("-m", "--model", metavar="RUN", help="A translator to evaluate; repeatable.")
    ] = None,
    output: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Translations of any system; repeatable.")
    ] = None,
    source: Annotated[Path | None, typer.Option(metavar="FILE", help="What is translated.")] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", envvar="HEEDFUL_DATA", help="Where data files are.")
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
    """Score translations against references; compare systems."""
    from ..measure.metrics import Options
    from ..tasks.translate.evaluating import evaluate_systems
    from ..tasks.translate.partial import require_new

    decoding = {name: value for name, value in (("beam", beam), ("tag", tag)) if value is not None}
    options = Options(lowercase=lowercase, tokenize=tokenize.value, ter=ter, moses=moses)
    if page:
        require_new(page, "--page")
        if not page.absolute().parent.is_dir():
            raise UserError(f"{page}: there is no folder {page.absolute().parent}; make it first")
    found = evaluate_systems(
        model or [], output or [], source, reference, counted=train_target or [], root=data, decoding=decoding,
        measures=options, resamples=resamples, seed=seed,
    )  # fmt: skip
    print(json.dumps(found.figures, ensure_ascii=False, indent=2) if as_json else found.text, end="\n" * as_json)
    if page:
        sys.stdout.flush()  # the figures are not lost if the page cannot be written
        with open_file(page, "xb", "--page") as file:
            file.write(found.page.encode())
