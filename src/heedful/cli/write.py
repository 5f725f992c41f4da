"""`heedful write`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .endings import stream_of


def write(
    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT", help="The beginning of a text; default: standard input.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option("-m", "--model", metavar="RUN", help="Of a run or a model. Default: the last run.")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(metavar="FILE", help='Many prompts: one a line, or a .jsonl with "prompt".')
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="A new file; default: standard output.")
    ] = None,
    length: Annotated[int | None, typer.Option(min=1, help="Most new tokens; 200 if not given.")] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0.0, help="Lower is safer, 0 the likeliest; 0.8 if not given.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(min=1, help="Draw from the K likeliest tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(min=0.0, max=1.0, help="Draw from this much probability.")] = None,
    min_p: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Draw from tokens this much as likely as the likeliest.")
    ] = None,
    repetition_penalty: Annotated[
        float | None, typer.Option(min=0.001, help="Above 1, what was said is less likely to be said again.")
    ] = None,
    stop: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="End before this; repeatable.")] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="Always the likeliest token: temperature 0.")] = False,
    beam: Annotated[int | None, typer.Option(min=1, max=64, help="Search with so many hypotheses.")] = None,
    samples: Annotated[int | None, typer.Option(metavar="N", min=1, help="So many texts for each prompt.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of chance; the same seed, the same text.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="An object a line: prompt, text, how it ended.")] = False,
) -> None:
    """Go on with a text. Without PROMPT, type one, or pipe one in."""
    given = {
        "length": length, "temperature": 0.0 if greedy else temperature, "top_k": top_k, "top_p": top_p,
        "min_p": min_p, "repetition_penalty": repetition_penalty, "stop": stop or None, "beam": beam,
        "samples": samples, "seed": seed,
    }  # fmt: skip
    from ..tasks.write.calling import call

    asked = prompt is not None or prompts is not None
    call(
        prompt, prompts, model, output, {name: value for name, value in given.items() if value is not None},
        as_json=as_json, lines=None if asked else stream_of(sys.stdin, "input", "a PROMPT"),
        typing=not asked and sys.stdin is not None and sys.stdin.isatty(),
        out=None if output else stream_of(sys.stdout, "output", "--output FILE"),
        shown=output is None and sys.stdout.isatty(),
    )  # fmt: skip
