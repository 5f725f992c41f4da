"""`heedful ask`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .endings import stream_of


def ask(
    picture: Annotated[
        Path, typer.Argument(metavar="PICTURE", help="A picture; or a file of questions: .jsonl, .tsv, .csv.")
    ],
    questions: Annotated[
        list[str] | None,
        typer.Argument(metavar="QUESTION", help="One or several; default: standard input."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("-m", "--model", metavar="RUN", help="A run or a model; default: the last run."),
    ] = None,
    second: Annotated[
        Path | None, typer.Option(metavar="PICTURE", help="Ask about two pictures; this one is on the right.")
    ] = None,
    best: Annotated[int | None, typer.Option(metavar="N", min=1, help="The N likeliest answers, a line each.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="An object a line: question, answer, probabilities.")] = False,
    features: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The pictures' features, for a model that reads such.")
    ] = None,
    fields: Annotated[
        str | None, typer.Option(metavar="A,B", help="Columns or keys of a file of questions; default: as in training.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", envvar="HEEDFUL_DATA", help="Where data files are.")
    ] = None,
) -> None:
    """Ask about a picture: the answer and its probability, a line for each question."""
    from ..tasks.ask import calling, load
    from ..tasks.finding import last_run

    calling.require_sense(picture, questions or [], second)
    if model is None:
        model = last_run(task="ask")
        print(f"using {model}", file=sys.stderr)
    asker = load(model)
    names = [name.strip() for name in (fields or "").split(",") if name.strip()] or asker.fields
    known = questions or picture.suffix in calling.FILES
    lines = [] if known else stream_of(sys.stdin, "input", "a QUESTION")
    given = calling.asked(picture, questions or [], second, names, lines)
    for line in calling.answers(asker, given, best, as_json, features, data):
        print(line, flush=True)
