"""`heedful translate`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .endings import stream_of
from .options import LengthPenalty


class Split(StrEnum):
    auto = "auto"
    always = "always"
    never = "never"


class Marks(StrEnum):
    stderr = "stderr"
    text = "text"


def translate(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE", help="Text, or a .po .tmx .xlf .srt .vtt .tsv .jsonl; default: standard input."),
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(
            "-m",
            "--model",
            metavar="RUN",
            help="Of a run or a model; several decode together. Default: the last run here.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Default: standard output. If interrupted, the same command goes on."
        ),
    ] = None,
    tag: Annotated[str | None, typer.Option(metavar="LANGUAGE", help="Of several target languages, this one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="An object a line: text, scores, tokens, problems.")] = False,
    scores: Annotated[
        bool, typer.Option("--scores", help="The score (mean log-probability) and a tab in front.")
    ] = False,
    best: Annotated[int | None, typer.Option(metavar="N", min=1, max=64, help="The N best, a line each.")] = None,
    alignment: Annotated[bool, typer.Option("--alignment", help="Source word - target word, by attention.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show words as they are decoded.")] = False,
    terms: Annotated[Path | None, typer.Option(metavar="TSV", help="Terminology: term TAB translation.")] = None,
    prefix: Annotated[str | None, typer.Option(metavar="TEXT", help="Translations begin with it.")] = None,
    require: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="Must appear; repeatable.")] = None,
    ban: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="Must not appear; repeatable.")] = None,
    protect: Annotated[
        bool | None, typer.Option("--protect/--no-protect", help="Keep tags, variables, addresses and numbers.")
    ] = None,
    marks: Annotated[Marks, typer.Option(help="Where it is told that something was not kept.")] = Marks.stderr,
    split: Annotated[Split, typer.Option(help="Split into sentences.")] = Split.auto,
    language: Annotated[str | None, typer.Option(metavar="CODE", help="Of the source, for splitting.")] = None,
    beam: Annotated[int | None, typer.Option(min=1, max=64, help="Hypotheses kept; 1 is greedy.")] = None,
    length_penalty: Annotated[LengthPenalty | None, typer.Option(help="How hypotheses compare by length.")] = None,
    alpha: Annotated[float | None, typer.Option(help="Strength of the length penalty.")] = None,
    no_repeat: Annotated[int | None, typer.Option(metavar="N", min=0, help="No N tokens twice.")] = None,
    min_length: Annotated[int | None, typer.Option(min=0, help="Shortest answer, in tokens.")] = None,
    max_length: Annotated[int | None, typer.Option(min=1, help="Longest answer, in tokens.")] = None,
    sample: Annotated[bool, typer.Option("--sample", help="Draw at random instead of searching.")] = False,
    mbr: Annotated[
        int | None, typer.Option(metavar="N", min=2, max=256, help="Of N samples, the one most like all (chrF).")
    ] = None,
    temperature: Annotated[float | None, typer.Option(min=0.01, help="Of sampling; lower is safer.")] = None,
    top_k: Annotated[int | None, typer.Option(min=1, help="Draw from the K likeliest tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(min=0.0, max=1.0, help="Draw from this much probability.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of sampling.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Lines decoded together.")] = None,
) -> None:
    """Translate line by line: as many lines out as in. Documents keep everything but what was not translated."""
    given = {
        "tag": tag, "best": best, "terms": terms, "prefix": prefix, "require": require or None, "ban": ban or None,
        "protect": protect, "split": split.value if split != Split.auto else None,
        "language": language, "beam": beam, "length_penalty": length_penalty and length_penalty.value, "alpha": alpha,
        "no_repeat_ngram": no_repeat, "min_length": min_length, "max_length": max_length, "sample": sample or None,
        "mbr": mbr, "temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed, "batch": batch,
    }  # fmt: skip
    from ..tasks.translate.calling import call

    piped = [*map(str, files or ["-"])] == ["-"]
    form = "json" if as_json else "best" if best else "scores" if scores else "text"
    call(
        files or [], model or [], output, {name: value for name, value in given.items() if value is not None},
        form=form, alignment=alignment, marks=marks.value, watch=watch,
        terminal=piped and sys.stdin is not None and sys.stdin.isatty(),
        lines=None if not piped else stream_of(sys.stdin, "input", "a FILE"),
        out=None if output else stream_of(sys.stdout, "output", "--output FILE"),
    )  # fmt: skip
