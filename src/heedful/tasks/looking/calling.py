"""One call of `heedful look`: which model, and where what was seen goes."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ...data.readers import resolve
from ...errors import UserError
from ...page import terminal
from ..finding import find, last_run_of_any
from .examples import Files
from .keeping import keep
from .looked import look, name_of, require_suffix, write_whole
from .opening import opened

MOST_LAYERS = 1000  # that anybody would name
WIDEST = 200  # columns of a terminal's picture
REPORTS = (".html", ".json")


@dataclass(frozen=True)
class Shown:
    """Where it goes: a file, or the terminal (`tty`: it is one)."""

    output: Path | None
    tty: bool

    @property
    def width(self) -> int:
        return min(WIDEST, shutil.get_terminal_size((100, 24)).columns)

    @property
    def colour(self) -> bool:
        """Only for people who look and did not say no (no-color.org)."""
        return self.tty and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def numbers(given: str | None) -> list[int]:
    """The layers of "1,2,6" or "1-6"; UserError for what is none."""
    found: list[int] = []
    if given is None:
        return found
    for part in given.split(","):
        first, mark, last = part.strip().partition("-")
        last = last if mark else first
        if not first.isdecimal() or not last.isdecimal():
            raise UserError(f"--layers {given}: layers are numbers, as in 1,2 or 1-6")
        if max(len(first), len(last)) > 4 or not int(first) <= int(last) <= MOST_LAYERS:
            raise UserError(f"--layers {given[:40]}: layers go from the lower to the higher, up to {MOST_LAYERS}")
        found += range(int(first), int(last) + 1)
    return found


def chosen(model: Path | None) -> Path:
    """The model that is named, or the last run of any task here."""
    if model is not None:
        return model
    found = last_run_of_any()
    print(f"using {found}", file=sys.stderr)
    return found


def look_at(shown: Shown, model: Path | None, texts: Sequence[str], given: Mapping[str, Any], out: BinaryIO) -> None:
    """Look at a text, and write what was seen."""
    suffix = None if shown.output is None else require_writable(shown.output)
    own = dict(given)
    if own["what_if"] is None and suffix != ".html":
        own["what_if"] = False
    if suffix in (None, ".svg", ".png"):
        own["lens"] = False  # there is no place for it
    found = look(chosen(model), list(texts), **own)
    if shown.output is None:
        out.write(terminal.picture(found.record, shown.width, shown.colour).encode("utf-8", "backslashreplace"))
        out.write(b"\n")
        return
    found.save(shown.output)
    for note in found.record.notes:
        print(note, file=sys.stderr)


def require_writable(path: Path) -> str:
    """The kind of a file that can be written; UserError before any work."""
    suffix = require_suffix(path)
    if not path.absolute().parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.absolute().parent}; make it first")
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name a file")
    return suffix


def report(
    shown: Shown,
    model: Path | None,
    files: Sequence[Path],
    given: Mapping[str, Any],
    feature: Path | None,
    out: BinaryIO,
) -> None:
    """Write the report on heads: a page, JSON, or a table in the terminal. `given` are fields of `examples.Files`."""
    from ...page import heads as pages
    from .heads import head_report

    if shown.output is not None and shown.output.suffix.lower() not in REPORTS:
        raise UserError(f"{shown.output}: a report on heads is one of {', '.join(REPORTS)}")
    if shown.output is not None:
        require_writable(shown.output)
    root = given.get("root")
    own: dict[str, Any] = {
        name: resolve(value, root) if name == "target" and value else value for name, value in given.items()
    }
    found_files = [resolve(file, root) for file in files]
    path = chosen(model)
    found = head_report(opened(path), name_of(path), Files(found_files, **own), feature)
    if keep(find(path), found):
        print(
            f"the best heads over {found.examples} examples are kept in {find(path)}; look shows them first",
            file=sys.stderr,
        )
    if shown.output is None:
        out.write(pages.heads_terminal(found, shown.width, shown.colour).encode("utf-8", "backslashreplace") + b"\n")
        return
    text = pages.heads_json(found) if shown.output.suffix.lower() == ".json" else pages.heads_page(found)
    write_whole(shown.output, text.encode("utf-8", "backslashreplace"))
    for note in found.notes:
        print(note, file=sys.stderr)
