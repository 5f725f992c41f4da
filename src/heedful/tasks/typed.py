"""What a person types at a prompt, as a stream of lines."""

from __future__ import annotations

import contextlib
import sys


class Typed:
    """Lines that a person types, until the end of input (Ctrl-D)."""

    def __init__(self, what: str = "a sentence") -> None:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  (arrows and history come with it)
        print(f"Type {what} and press Enter; Ctrl-D ends.", file=sys.stderr)

    def read(self, size: int = -1, /) -> bytes:
        """The next line; nothing at the end."""
        prompt = "> "
        if not sys.stdout.isatty():  # there the prompt would be part of the output
            print(prompt, end="", file=sys.stderr, flush=True)
            prompt = ""
        try:
            return input(prompt).encode("utf-8", "replace") + b"\n"
        except EOFError:
            print(file=sys.stderr)
            return b""
