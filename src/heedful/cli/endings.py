"""How a command ends: whatever happens becomes an exit code and at most one line; and the files it opens."""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from ..errors import UserError, visible
from .building import Built

INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)
# Asking whether such a file is there fails already.
NO_NAMES = (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM)
BROKEN_PIPE = 141  # 128 + SIGPIPE: whoever read our output has gone; say nothing


class Commands(TyperGroup):
    """Turns what ends a command early into an exit code and at most one line; anything else is our bug, with trace."""

    def __init__(self, **given: Any) -> None:
        from . import COMMANDS

        super().__init__(**given)
        self.commands = Built(COMMANDS)  # type: ignore[assignment]  # which nobody adds to
        self._summaries = COMMANDS

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self._summaries)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self._summaries.items()))

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
            if error.errno in NO_NAMES:
                _tell(f"{error.filename}: {error.strerror}")
            elif error.errno in FULL:
                _close_output()
                _tell(f"the output cannot be written: {error.strerror}; free some space or choose another place")
            else:
                raise
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
        print("heedful:", visible(" ".join(text.split())), file=sys.stderr)


def _close_output() -> None:
    """Python flushes standard output once more at exit; let that go nowhere instead of failing again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def open_file(path: Path, mode: str, option: str = "--output") -> Any:
    """A file, or standard input for "-"; UserError where it cannot be opened. `option` is how it was named."""
    try:
        if str(path) == "-" and mode == "rb":
            return stream_of(sys.stdin, "input", "a FILE")
        return path.open(mode)
    except FileExistsError:
        raise UserError(f"{path}: exists already; choose another {option}, nothing is overwritten") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be opened: {getattr(error, 'strerror', None) or error}") from None


def stream_of(stream: Any, name: str, instead: str) -> Any:
    """The bytes of a standard stream; UserError if it is closed."""
    if stream is None:
        raise UserError(f"standard {name} is closed; give {instead}")
    return stream.buffer
