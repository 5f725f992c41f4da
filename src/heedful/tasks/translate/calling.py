"""What `heedful translate` does: a prompt on a terminal, a stream, files, a document."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ...errors import UserError
from ..finding import last_run
from .partial import require_new
from .request import Request
from .several import together
from .shown import Form, Marks, Show
from .watching import prompted, watched


def call(
    files: Sequence[Path],
    models: Sequence[Path],
    output: Path | None,
    given: Mapping[str, Any],
    *,
    form: Form,
    alignment: bool,
    marks: Marks,
    watch: bool,
    terminal: bool,
    lines: BinaryIO | None,
    out: BinaryIO | None,
) -> None:
    """Translate `files` (or `lines`) into `output` (or `out`); see `Request` for `given`.

    What is wrong with the files is told before a model is loaded.
    """
    sources = [] if [*map(str, files)] == ["-"] else files
    for path in sources:
        _opened(path, "rb").close()
    if output is not None:
        require_new(output)
    if not models:
        models = [last_run()]
        print(f"using {models[0]}", file=sys.stderr)
    request = Request(together(models), given, Show(form, alignment, marks), models)
    if sources:
        request.files(sources, output, out)
    elif output is None and (terminal or watch):
        assert lines is not None
        assert out is not None
        typed = prompted() if terminal else _decoded(lines)
        show = lambda number, line, answer: request.show.lines(request.translator, number, line, answer)
        watched(request.translator, typed, request.tag, request.options, request.asked, show, out)
    elif output is not None:
        assert lines is not None
        with _opened(output, "xb") as file:
            request.stream(lines, file)
    else:
        assert lines is not None
        assert out is not None
        request.stream(lines, out)


def _opened(path: Path, mode: str) -> BinaryIO:
    try:
        return path.open(mode)  # type: ignore[return-value]
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be opened: {getattr(error, 'strerror', None) or error}") from None


def _decoded(lines: BinaryIO) -> Iterator[str]:
    for line in lines:
        yield line.rstrip(b"\r\n").decode("utf-8", "replace")
