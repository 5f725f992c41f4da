"""The command line: parse, call, print. What a command does is elsewhere, and is imported when the command runs.

A command is a file of this folder: NAME.py holds the function `NAME`, or for commands with subcommands a `typer.Typer`
of that name.
"""

from __future__ import annotations

from typing import Annotated

import typer

from .endings import Commands

# In the order of the help page.
COMMANDS = (
    "init",
    "check",
    "train",
    "resume",
    "translate",
    "write",
    "fill",
    "classify",
    "tag",
    "answer",
    "embed",
    "search",
    "match",
    "ask",
    "caption",
    "evaluate",
    "score",
    "look",
    "report",
    "corpus",
    "prune",
    "convert",
    "show",
    "doctor",
    "demo",
)

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
    app(prog_name="heedful")
