"""The command line: parse, call, print. What a command does is elsewhere, and is imported when the command runs."""

from __future__ import annotations

import errno
import os
import signal
import sys
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .errors import UserError

INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)
BROKEN_PIPE = 141  # 128 + SIGPIPE: whoever read our output has gone; say nothing


class Commands(TyperGroup):
    """Turns what ends a command early into an exit code and at most one line; anything else is our bug, with trace."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=lambda name: name != "train")  # first things first

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except UserError as error:
            _tell(str(error))
            code = 2
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would only disturb the ending
            _tell("interrupted")
            code = INTERRUPTED
        except BrokenPipeError:
            _close_output()
            code = BROKEN_PIPE
        except OSError as error:
            if error.errno not in FULL:
                raise
            _close_output()
            _tell(f"the output cannot be written: {error.strerror}; free some space or choose another place")
            code = 2
        except Exception as error:
            if not hasattr(error, "format_message") or type(error).__name__ == "NoArgsIsHelpError":
                raise  # a bug of ours; or a command without arguments, whose help is its message
            where = getattr(getattr(error, "ctx", None), "command_path", "heedful")
            _tell(f"{error.format_message()} (see {where} --help)")
            code = 2
        raise typer.Exit(code)


def _tell(text: str) -> None:
    """One line on standard error, if there is one."""
    if sys.stderr is not None:
        print("heedful:", " ".join(text.split()), file=sys.stderr)


def _close_output() -> None:
    """Python flushes standard output once more at exit; let that go nowhere instead of failing again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


app = typer.Typer(
    cls=Commands, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=True
)
train = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(train, name="train", help="Train a model from your own files.")


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


def _print_version(asked: bool) -> None:
    if asked:
        from . import __version__

        print(f"heedful {__version__}")
        raise typer.Exit()


@app.callback(help="Train, run and look inside Transformers on the computer you have.")
def heedful(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


Files = list[str] | None
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Set one value of the recipe; repeatable.")
]


@train.command("translate")
def train_translate(
    out: Annotated[Path, typer.Option(metavar="RUN", help="The run's folder, to be made.")],
    recipe: Annotated[Path | None, typer.Option(metavar="FILE", help="A recipe in TOML; options win over it.")] = None,
    source: Annotated[Files, typer.Option(metavar="FILE", help="Sentences to translate from, one a line.")] = None,
    target: Annotated[Files, typer.Option(metavar="FILE", help="Their translations, line by line.")] = None,
    pairs: Annotated[Files, typer.Option(metavar="FILE", help="Both in one file: TSV or JSONL.")] = None,
    dev_source: Annotated[
        Files, typer.Option(metavar="FILE", help="Sentences for validation; else some are held out.")
    ] = None,
    dev_target: Annotated[Files, typer.Option(metavar="FILE", help="Their translations.")] = None,
    dev_pairs: Annotated[Files, typer.Option(metavar="FILE", help="Both in one file.")] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", envvar="HEEDFUL_DATA", help="Where data files are.")
    ] = None,
    limit: Annotated[str | None, typer.Option("--for", metavar="TIME", help="Stop after 90s, 60m or 2h.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many steps.")] = None,
    seed: Annotated[int | None, typer.Option(help="What everything random follows from.")] = None,
    device: Annotated[Device | None, typer.Option(help="Where to compute.")] = None,
    processes: Annotated[str | None, typer.Option(metavar="N", help="Share each step among N processes.")] = None,
    precision: Annotated[Precision | None, typer.Option(help="Of the products; the weights stay fp32.")] = None,
    preset: Annotated[str | None, typer.Option(metavar="NAME", help="Sizes of the model; see heedful show.")] = None,
    settings: Settings = None,
) -> None:
    """Train a translator from parallel text; with no recipe, sizes follow from data and machine."""
    from .config import override, parse_recipe, read_recipe

    given: dict[str, Any] = {
        "data.source": source,
        "data.target": target,
        "data.pairs": pairs,
        "data.dev_source": dev_source,
        "data.dev_target": dev_target,
        "data.dev_pairs": dev_pairs,
        "training.limit": limit,
        "training.steps": steps,
        "training.device": device and device.value,
        "training.precision": precision and precision.value,
        "model.preset": preset,
        "seed": seed,
    }
    overrides = [override(key, value) for key, value in given.items() if value is not None]
    overrides += [f"training.processes={processes}"] if processes else []
    overrides += settings or []
    chosen = read_recipe(recipe, overrides) if recipe else parse_recipe({}, overrides, where="options")
    from .tasks.translate import train  # after the recipe was read: its mistakes need not wait for torch

    raise typer.Exit(train(chosen, out, data, launch=True))


@app.command()
def resume(run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run that was stopped.")]) -> None:
    """Continue a run exactly where it stopped."""
    from .tasks.translate import resume

    raise typer.Exit(resume(run, launch=True))


@app.command()
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
        sources = [stack.enter_context(_open(path, "rb")) for path in files or [Path("-")]]
        from .tasks.translate import load, translate_stream

        translator = load(model)
        out = stack.enter_context(_open(output, "xb")) if output else _stream(sys.stdout, "output", "--output FILE")
        for lines in sources:
            translate_stream(translator, lines, out, options)


@app.command()
def show(what: Annotated[str, typer.Argument(metavar="PRESET|MODEL", help="A preset's name, or a folder.")]) -> None:
    """Print an architecture: streams, steps, parameters, cost."""
    from .show import show

    print(show(what), end="")


@app.command()
def doctor() -> None:
    """Print what this machine and installation offer."""
    from .doctor import report

    print(report(), end="")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the run and its page go.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="What everything random follows from.")] = 1,
) -> None:
    """Train a translator of dates, prices and names in two minutes."""
    from .demo.run import run_demo

    run_demo(out, seed)


def _open(path: Path, mode: str) -> Any:
    try:
        if str(path) == "-" and mode == "rb":
            return _stream(sys.stdin, "input", "a FILE")
        return path.open(mode)
    except FileExistsError:
        raise UserError(f"{path}: exists already; choose another --output, nothing is overwritten") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be opened: {getattr(error, 'strerror', None) or error}") from None


def _stream(stream: Any, name: str, instead: str) -> Any:
    if stream is None:
        raise UserError(f"standard {name} is closed; give {instead}")
    return stream.buffer


def main() -> None:
    app(prog_name="heedful")


if __name__ == "__main__":
    main()
