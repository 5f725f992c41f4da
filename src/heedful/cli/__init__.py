"""The command line: parse, call, print. What a command does is elsewhere, and is imported when the command runs.

A command is a file of this folder: NAME.py holds the function `NAME`, or for commands with subcommands a `typer.Typer`
of that name.
"""

from __future__ import annotations

import gc
from typing import Annotated

import typer

from .endings import Commands

# In the order of the help page, each with its line there: that page needs no command to be imported.
COMMANDS = {
    "init": "Write a recipe to start from.",
    "check": "Look at data and recipe before training.",
    "train": "Train a model from your own files.",
    "resume": "Continue a run exactly where it stopped.",
    "translate": "Translate line by line: as many lines out as in.",
    "write": "Go on with a text.",
    "fill": "Fill in hidden words.",
    "classify": "Give each text its label.",
    "tag": "Label the words of texts, names for example.",
    "answer": "Answer questions in the words of a text.",
    "embed": "Make a vector of each line.",
    "search": "Find the lines of files that are most like a text.",
    "match": "Find the pictures that fit a text, or the texts of a picture.",
    "ask": "Ask about a picture.",
    "caption": "Write a caption for each picture.",
    "evaluate": "Score a model, or translations, on examples with answers.",
    "score": "Tell how likely a model holds given translations.",
    "look": "See what a model attends to while it reads and answers.",
    "report": "Write a page about a run: curves, data, samples, scores.",
    "corpus": "Make training text with a model.",
    "prune": "Remove the attention heads that matter least.",
    "convert": "Read another library's checkpoint, or write a model for one.",
    "show": "Print an architecture: streams, steps, parameters, cost.",
    "doctor": "Print what this machine and installation offer.",
    "demo": "Train a translator of dates, prices and names in two minutes.",
}

app = typer.Typer(
    cls=Commands, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=True
)


def _print_version(asked: bool) -> None:
    if asked:
        from .. import __version__

        print(f"heedful {__version__}")
        raise typer.Exit()


@app.callback(help="Train, run and look inside Transformers on the computer you have.")
def heedful(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


def main() -> None:
    # What libraries make while they load stays; looking for garbage in it makes a command start later.
    gc.set_threshold(10_000)
    app(prog_name="heedful")
