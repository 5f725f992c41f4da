"""`heedful look`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UserError
from .endings import stream_of

Words = list[str] | None


class Attribution(StrEnum):
    ig = "ig"
    occlusion = "occlusion"
    none = "none"


def look(
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT", help="What is read; a question and its context, or a pair.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option("-m", "--model", metavar="RUN", help="A run or a model; default: the last run here.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help=".html, .svg, .png, .json or .npz; default: a picture here."
        ),
    ] = None,
    context: Annotated[str | None, typer.Option(metavar="TEXT", help="What a question's answer is in.")] = None,
    picture: Annotated[Path | None, typer.Option(metavar="FILE", help="The picture, for models that see.")] = None,
    features: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The picture's features, for models that read these.")
    ] = None,
    tag: Annotated[str | None, typer.Option(metavar="LANGUAGE", help="Of several target languages, this one.")] = None,
    length: Annotated[int, typer.Option(min=1, help="Tokens that a language model writes.")] = 24,
    sentence: Annotated[int, typer.Option(min=1, help="Of several that are translated one by one, this.")] = 1,
    what_if: Annotated[
        bool | None,
        typer.Option("--what-if/--no-what-if", help="Without each word and head; default: for pages, if it is quick."),
    ] = None,
    attribution: Annotated[
        Attribution, typer.Option(help="What the answer rests on: integrated gradients, or words hidden.")
    ] = Attribution.none,
    values: Annotated[bool, typer.Option("--values", help="Also weights by what values add.")] = False,
    lens: Annotated[bool, typer.Option("--lens/--no-lens", help="What each layer would say.")] = True,
    kinds: Annotated[Words, typer.Option("--kind", metavar="A.B", help="Only this: target.source; repeatable.")] = None,
    layers: Annotated[str | None, typer.Option(metavar="1,2", help="Only these layers.")] = None,
    head_off: Annotated[
        Words, typer.Option(metavar="ADDRESS:HEAD", help="Without a head: target.3.source:5; repeatable.")
    ] = None,
    hide: Annotated[Words, typer.Option(metavar="WORD", help="Without a word of the text; repeatable.")] = None,
    patch_from: Annotated[
        Words, typer.Option(metavar="TEXT", help="What if states were those of this text? Twice for a pair.")
    ] = None,
    patch: Annotated[
        Words,
        typer.Option(metavar="ADDRESS[:WORD]", help="Of --patch-from, only here: source.1, source.1:dog; repeatable."),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Compare with another model, or a translator's checkpoint.")
    ] = None,
    heads: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A report on all heads over examples; repeatable.")
    ] = None,
    target: Annotated[Path | None, typer.Option(metavar="FILE", help="Translations of --heads, line by line.")] = None,
    feature: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Which heads follow it: WORD TAB VALUE, sentences parted by empty lines."),
    ] = None,
    examples: Annotated[int, typer.Option(min=1, max=100_000, help="Of --heads, so many, evenly spread.")] = 200,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", envvar="HEEDFUL_DATA", help="Where data files are.")
    ] = None,
) -> None:
    """See what a model attends to while it reads a text and answers; or a report on all its heads."""
    from ..tasks.looking import calling

    terminal = stream_of(sys.stdout, "output", "--output FILE")
    shown = calling.Shown(output, sys.stdout.isatty())
    if heads:
        if texts:
            raise UserError("--heads FILE is a report on examples, not on a text: leave the text out")
        files = {"most": examples, "target": target, "tag": tag, "features": features, "root": data}
        calling.report(shown, model, heads, files, feature, terminal)
        return
    for option, value in (("--target", target), ("--feature", feature)):
        if value is not None:
            raise UserError(f"{option} is for the report on heads: add --heads FILE")
    given = {
        "picture": picture, "features": features, "tag": tag, "length": length, "sentence": sentence, "values": values,
        "what_if": what_if, "attribution": attribution.value, "lens": lens, "kinds": kinds or [],
        "layers": calling.numbers(layers), "head_off": head_off or [], "hide": hide or [], "against": against,
        "patch": patch or [], "patch_from": patch_from or [],
    }  # fmt: skip
    calling.look_at(shown, model, [*(texts or []), *([context] if context is not None else [])], given, terminal)
