"""Words as they are decoded: what the likeliest translation is so far, until it is done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

from ...decode.engine import watch
from ...decode.options import Options
from ...model import hardware
from ...text.spans import find
from .answers import Answer
from .translator import Translator


def so_far(translator: Translator, text: str, tag: str | None, options: Options) -> Iterator[str]:
    """The likeliest translation of a text after each step. Later ones need not begin like earlier ones.

    Nothing comes of a text with something to protect in it, or that is too long to be read at once: `answer` alone can
    do those.
    """
    ids, single = translator.encode(text, tag), len(translator.bounds(text)) == 1
    if not single or len(ids) > translator.decoding.longest or any(map(str.isdigit, text)) or find(text):
        return
    with hardware.applied(translator.choices):
        for hypothesis in watch(translator.models, ids, options, translator.choices):
            yield translator.tokenizers["target"].decode(hypothesis.ids)


def watched(
    translator: Translator, lines: Iterable[str], tag: str | None, options: Options, asked: dict[str, Any],
    show: Callable[[int, str, Answer], list[str]], out: BinaryIO,
) -> None:  # fmt: skip
    """Translate line by line on a terminal: each line grows under the reader's eyes, then stands as `show` gives it.

    The growing line goes to standard error if that is a terminal, and is wiped away at the end.
    """
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True)
    for number, line in enumerate(lines, 1):
        if console.is_terminal:
            with Live(console=console, refresh_per_second=20, transient=True) as live:
                for text in so_far(translator, line, tag, options):
                    live.update(Text(text))
        answer = translator.answer([line], tag, options, **asked)[0]
        for written in show(number, line, answer):
            out.write(written.encode() + b"\n")
        out.flush()


def prompted() -> Iterator[str]:
    """Lines that a person types, until the end of input (Ctrl-D) or an empty standard input."""
    import contextlib

    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  (arrows and history come with it)
    print("Type a sentence and press Enter; Ctrl-D ends.", file=sys.stderr)
    while True:
        try:
            line = input("> ")
        except EOFError:
            print(file=sys.stderr)
            return
        yield line
