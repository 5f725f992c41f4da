"""`heedful ask`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UserError
from .endings import stream_of

if TYPE_CHECKING:
    from ..tasks.ask import Answered
    from ..tasks.ask.examples import Example

FILES = (".jsonl", ".tsv", ".csv", ".gz")


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
        str | None, typer.Option(metavar="A,B", help="Columns or keys of a file of questions: picture, question.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", envvar="HEEDFUL_DATA", help="Where data files are.")
    ] = None,
) -> None:
    """Ask about a picture: the answer and its probability, a line for each question."""
    table = picture.suffix in FILES
    if table and (questions or second):
        raise UserError(f"{picture}: a file of questions names its pictures and questions; leave the others out")
    if questions and not all(one.strip() for one in questions):
        raise UserError("the question is empty")
    from ..tasks.ask import load
    from ..tasks.finding import last_run

    if model is None:
        model = last_run(task="ask")
        print(f"using {model}", file=sys.stderr)
    asker = load(model)
    shown = best or (5 if as_json else 1)
    for examples in _asked(picture, questions, second, fields):
        if not examples:
            print("{}" if as_json else "", flush=True)  # an empty line: lines in are lines out
            continue
        found = asker.chances(examples, features, data)
        for one, chances in zip(examples, found, strict=True):
            _print(one.question, asker.answered(chances, shown), as_json)


def _asked(
    picture: Path, questions: list[str] | None, second: Path | None, fields: str | None
) -> Iterator[list[Example]]:
    """Questions to answer together: all that are known, or line by line."""
    from ..data.pictures import Reference
    from ..tasks.ask.examples import Example, read_examples

    if picture.suffix in FILES:
        names = [one.strip() for one in fields.split(",")] if fields else ()
        if examples := list(read_examples(picture, names, answered=False)):
            yield examples
        return
    pictures = tuple(Reference(str(one), "picture") for one in (picture, second) if one is not None)
    if questions:
        yield [Example(pictures, one, (), "question") for one in questions]
        return
    for number, line in enumerate(stream_of(sys.stdin, "input", "a QUESTION"), 1):
        text = line.decode("utf-8", "replace").rstrip("\n").rstrip("\r")
        yield [Example(pictures, text, (), f"standard input:{number}")] if text.strip() else []


def _print(question: str, answered: Answered, as_json: bool) -> None:
    if as_json:
        told = {"question": question, "answer": answered.answer, "probability": round(answered.probability, 6)}
        told["answers"] = {word: round(chance, 6) for word, chance in answered.best.items()}
        print(json.dumps(told, ensure_ascii=False), flush=True)
        return
    for word, chance in answered.best.items():
        print(f"{word}\t{chance:.4f}", flush=True)
