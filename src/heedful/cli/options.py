"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UserError

if TYPE_CHECKING:
    from ..config import Recipe


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Precision(StrEnum):
    fp32 = "fp32"
    bf16 = "bf16"
    auto = "auto"


class LengthPenalty(StrEnum):
    average = "average"
    gnmt = "gnmt"
    hf = "hf"


# What is trained from files of examples (`--train`), and what for; translation has options of its own.
LEARNED = {
    "write": "Train a language model from plain text, to go on with texts.",
    "fill": "Pretrain an encoder from plain text, to fill in hidden words; then go on from it (--from).",
    "classify": "Train a classifier of texts, or pairs of texts, from examples with labels.",
    "tag": "Train a tagger of words (names, parts of speech) from sentences with a label for each.",
    "answer": "Train to find the answers to questions in texts, from files in the format of SQuAD.",
    "embed": "Train vectors of texts, alike for texts that mean the same, from pairs.",
    "match": "Train to match pictures and texts, from pictures with captions.",
    "ask": "Train to answer questions about pictures.",
    "caption": "Train to write captions of pictures.",
}

Files = list[str] | None
Train = Annotated[Files, typer.Option(metavar="FILE", help="Files to learn from; repeatable.")]
Dev = Annotated[Files, typer.Option(metavar="FILE", help="Files for validation; else a share is held out.")]
Test = Annotated[Files, typer.Option(metavar="FILE", help="Files of a test, scored at the end.")]
Fields = Annotated[
    str | None,
    typer.Option(metavar="A,B", help="Columns or keys to read, in the task's order."),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Set one value of the recipe; repeatable.")
]

Source = Annotated[Files, typer.Option(metavar="FILE", help="Sentences to translate from, one a line.")]
Target = Annotated[Files, typer.Option(metavar="FILE", help="Their translations, line by line.")]
Pairs = Annotated[Files, typer.Option(metavar="FILE", help="Both in one file: TSV or JSONL.")]
DevSource = Annotated[Files, typer.Option(metavar="FILE", help="Sentences for validation; else some are held out.")]
DevTarget = Annotated[Files, typer.Option(metavar="FILE", help="Their translations.")]
DevPairs = Annotated[Files, typer.Option(metavar="FILE", help="Both in one file.")]
TestSource = Annotated[Files, typer.Option(metavar="FILE", help="Sentences of a test that training must not see.")]
TestTarget = Annotated[Files, typer.Option(metavar="FILE", help="Their translations.")]
TestPairs = Annotated[Files, typer.Option(metavar="FILE", help="Both in one file.")]
Languages = Annotated[
    str | None,
    typer.Option(metavar="DE,FR", help="Several target languages; write --pairs de=FILE or --target de=FILE."),
]
Prefix = Annotated[str | None, typer.Option(metavar="TEXT", help='Put before every source, in use too: "summarise:".')]
Start = Annotated[
    Path | None, typer.Option("--from", metavar="RUN", help="Go on from a finished model, with its words.")
]
Root = Annotated[Path | None, typer.Option(metavar="DIR", envvar="HEEDFUL_DATA", help="Where data files are.")]
Limit = Annotated[str | None, typer.Option("--for", metavar="TIME", help="Stop after 90s, 60m or 2h.")]
Preset = Annotated[str | None, typer.Option(metavar="NAME", help="Sizes of the model; see heedful show.")]


# Where in a recipe the value of an option goes, by the name of its parameter.
KEYS = {
    **{f"{of}{side}": f"data.{of}{side}" for of in ("", "dev_", "test_") for side in ("source", "target", "pairs")},
    **{name: f"data.{name}" for name in ("train", "dev", "test", "fields")},
    **{name: f"training.{name}" for name in ("start", "limit", "steps", "device", "precision")},
    "preset": "model.preset",
    "prefix": "data.prefix",
    "seed": "seed",
}


def recipe_of(given: Mapping[str, Any], task: str = "translate") -> Recipe:
    """The recipe for a command's parameters by name: `recipe` if there is one, options on top, `settings` last.

    It is of the task whose options these are; UserError for another.
    """
    from ..config import by_language, override, parse_recipe, read_recipe

    values = {KEYS[name]: value for name, value in given.items() if name in KEYS and value is not None}
    values = {key: str(value) if isinstance(value, (Path, StrEnum)) else value for key, value in values.items()}
    if "data.fields" in values:
        values["data.fields"] = [name.strip() for name in values["data.fields"].split(",")]
    if given.get("languages") is not None:
        values = by_language(given["languages"], values)
    overrides = [override(key, value) for key, value in values.items()]
    overrides += [f"training.processes={given['processes']}"] if given.get("processes") else []
    overrides += given.get("settings") or []
    recipe = given.get("recipe")
    chosen = read_recipe(recipe, overrides) if recipe else parse_recipe({"task": task}, overrides, where="options")
    if chosen.task != task:
        raise UserError(f"the recipe's task is {chosen.task!r}, not {task!r}")
    return chosen
