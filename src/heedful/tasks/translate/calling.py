"""What `heedful translate` does: a prompt on a terminal, a stream, files, a document."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ...errors import UserError
from ..finding import last_run
from ..typed import Typed
from .documents import is_document
from .partial import Partial, require_new
from .request import Request
from .several import together
from .shown import Form, Marks, Show
from .watching import growing


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
        _require(path, again=output is not None)
    if watch and (sources or output is not None):
        raise UserError("--watch shows what is typed or piped as it is translated; leave FILE and --output out")
    if output is not None:
        require_new(output)
    if not models:
        models = [last_run()]
        print(f"using {models[0]}", file=sys.stderr)
    request = Request(together(models), given, Show(form, alignment, marks), models)
    if sources:
        return request.files(sources, output, out)
    assert lines is not None
    request.require_tag()
    if output is not None:
        with Partial(output, None) as partial:
            request.stream(lines, partial.file)
            partial.finish()
        return
    assert out is not None
    grows = growing(request.translator, request.tag, request.options, request.asked) if terminal or watch else None
    request.stream(Typed() if terminal else lines, out, watch=grows)


def _require(path: Path, again: bool) -> None:
    """UserError for a file that cannot be read (`again`: or not a second time), or not as what it is."""
    try:
        path.open("rb").close()
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    if again and not path.is_file():
        raise UserError(f"{path}: not a regular file, and with --output files are read twice; pipe it in instead")
    if path.suffix == ".gz" and is_document(path.with_suffix("")):
        raise UserError(f"{path}: a document is read as it is; unpack it first")
