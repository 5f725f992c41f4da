"""Folders that are made beside the place they are for, and are there whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import UserError

CARDS = ("README.md", "LICENSE", "LICENSE.txt", "LICENSE.md")
LARGEST_CARD = 2**20  # bytes


@contextmanager
def scratch(out: Path) -> Iterator[Path]:
    """A new folder beside `out`, to be renamed to it; what is left of it goes, whatever happens. UserError if `out` is
    there already or cannot be written."""
    if out.exists():
        raise UserError(f"{out}: is there already; name a new one")
    partial = None
    try:
        partial = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".tmp-{out.name[:40]}-"))
        partial.chmod(0o755)  # made private; a model is there to be read
        yield partial
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror or error}") from None
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def copy_cards(source: Path, target: Path) -> None:
    """What is written about a model goes with it, but for a card of ours: how to use it there is another matter."""
    for name in CARDS:
        if (source / name).is_file() and (source / name).stat().st_size <= LARGEST_CARD:
            content = (source / name).read_bytes()
            if b"library_name: heedful" not in content:
                (target / name).write_bytes(content)
