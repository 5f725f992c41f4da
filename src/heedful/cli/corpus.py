"""`heedful corpus`: training text that a model makes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

corpus = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Make training text with a model.")

Model = Annotated[Path, typer.Option("-m", "--model", metavar="RUN", help="A run's folder, or a model's.")]
Out = Annotated[
    Path, typer.Option("-o", "--output", metavar="FILE", help="A .tsv or .jsonl; it goes on if interrupted.")
]
Tag = Annotated[str | None, typer.Option(metavar="LANGUAGE", help="Of several target languages, this one.")]
Columns = Annotated[
    tuple[int, int] | None, typer.Option(metavar="SOURCE TARGET", help="Of a TSV with more than two columns, from 1.")
]
Beam = Annotated[int | None, typer.Option(min=1, max=64, help="Hypotheses kept; 1 is greedy.")]


@corpus.command("distill")
def distill(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="The training source: text, TSV or JSONL.")],
    model: Model,
    output: Out,
    tag: Tag = None,
    beam: Beam = None,
    columns: Columns = None,
) -> None:
    """Translate the training source with a teacher, for a smaller model to learn from (Kim & Rush 2016)."""
    _make(model, source, output, {"tag": tag, "beam": beam}, columns=columns)


@corpus.command("back-translate")
def back_translate(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="Text of the language to translate into.")],
    model: Model,
    output: Out,
    tag: Tag = None,
    beam: Beam = None,
    columns: Columns = None,
    mark: Annotated[str, typer.Option(metavar="TEXT", help="Stands before every made source, for example <bt>.")] = "",
) -> None:
    """Make sources for a text with a model of the other direction (Sennrich et al. 2016)."""
    _make(model, target, output, {"tag": tag, "beam": beam}, back=True, mark=mark, columns=columns)


def _make(model: Path, given: Path, out: Path, options: dict[str, Any], **how: Any) -> None:
    from ..tasks.translate import make_corpus

    make_corpus(model, given, out, options={name: value for name, value in options.items() if value is not None}, **how)
