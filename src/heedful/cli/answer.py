"""`heedful answer`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .endings import open_file, stream_of
from .options import Root


def answer(
    questions: Annotated[
        list[str] | None, typer.Argument(metavar="QUESTION", help="Default: lines of standard input.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option("-m", "--model", metavar="RUN", help="Of a run or a model. Default: the last run.")
    ] = None,
    context: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The text to find answers in; - is standard input.")
    ] = None,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="The text itself.")] = None,
    files: Annotated[
        list[Path] | None,
        typer.Option("--questions", metavar="FILE", help="SQuAD's JSON, or JSONL with contexts; repeatable."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="A new file; default: standard output.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="An object a line: text, offsets, scores, best.")] = False,
    scores: Annotated[bool, typer.Option("--scores", help="The probability and a tab in front.")] = False,
    best: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=1000, help="The N best, whether or not there is an answer.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(metavar="ODDS", help="Answer up to these null odds; default: tuned in training.")
    ] = None,
    data: Root = None,
) -> None:
    """Answer questions in the words of a text; an empty line where it holds no answer.

    Files of questions give SQuAD's predictions, {id: text}. Without --context, standard input has an object with
    "question" and "context" in each line.
    """
    from ..tasks.answer.calling import Form, call

    out = open_file(output, "xb") if output else stream_of(sys.stdout, "output", "--output FILE")
    lines = stream_of(sys.stdin, "input", "--questions FILE")
    try:
        call(
            model, questions or [], context, text, files or [], Form(as_json, scores, best), threshold, data, lines, out
        )
    except BaseException:
        if output:
            out.close()
            output.unlink(missing_ok=True)  # no file that looks finished
        raise
    if output:
        out.close()
