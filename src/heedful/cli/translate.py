"""`heedful translate`."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from .endings import open_file, stream_of
from .options import LengthPenalty


def translate(
    model: Annotated[Path, typer.Option("-m", "--model", metavar="RUN", help="A run's folder, or a model's.")],
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE", help="Default: standard input.")] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Default: standard output.")] = None,
    beam: Annotated[int | None, typer.Option(min=1, max=64, help="Hypotheses kept; 1 is greedy.")] = None,
    length_penalty: Annotated[LengthPenalty | None, typer.Option(help="How hypotheses compare by length.")] = None,
    alpha: Annotated[float | None, typer.Option(help="Strength of the length penalty.")] = None,
    sample: Annotated[bool, typer.Option("--sample", help="Draw at random instead of searching.")] = False,
    temperature: Annotated[float | None, typer.Option(min=0.01, help="Of sampling; lower is safer.")] = None,
    top_k: Annotated[int | None, typer.Option(min=1, help="Draw from the K likeliest tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(min=0.0, max=1.0, help="Draw from this much probability.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of sampling.")] = None,
    tag: Annotated[str | None, typer.Option(metavar="LANGUAGE", help="Of several target languages, this one.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Lines decoded together.")] = None,
    max_length: Annotated[int | None, typer.Option(min=1, help="Longest answer, in tokens.")] = None,
) -> None:
    """Translate line by line: as many lines out as in."""
    given = {
        "beam": beam,
        "length_penalty": length_penalty and length_penalty.value,
        "alpha": alpha,
        "sample": sample or None,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "seed": seed,
        "tag": tag,
        "batch": batch,
        "max_length": max_length,
    }
    options = {name: value for name, value in given.items() if value is not None}
    with ExitStack() as stack:
        # Files are opened first: a misspelt name is found before a model is loaded, and nothing is overwritten by it.
        sources = [stack.enter_context(open_file(path, "rb")) for path in files or [Path("-")]]
        from ..tasks.translate import load, translate_stream

        translator = load(model)
        out = (
            stack.enter_context(open_file(output, "xb")) if output else stream_of(sys.stdout, "output", "--output FILE")
        )
        for lines in sources:
            translate_stream(translator, lines, out, options)
