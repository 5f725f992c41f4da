"""Words as they are decoded: what the likeliest translation is so far, until it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ...decode.engine import watch
from ...decode.options import Options
from ...model import hardware
from ...text.spans import find
from .translator import Translator

# With these an answer is not what a plain search finds.
OTHERWISE = ("prefix", "require", "ban", "terms", "mbr")


def so_far(
    translator: Translator, text: str, tag: str | None, options: Options, asked: Mapping[str, Any]
) -> Iterator[str]:
    """The likeliest translation of a text after each step. Later ones need not begin like earlier ones.

    Nothing comes of a text with something to protect in it, or that is too long to be read at once, or where more is
    asked of the answer (`asked`): `Translator.answer` alone can do those.
    """
    ids, bounds = translator.encode(text, tag), translator.bounds(text, split=asked.get("split", "auto"))
    if len(bounds) != 1 or len(ids) > translator.decoding.longest or any(map(str.isdigit, text)) or find(text):
        return
    if any(asked.get(name) for name in OTHERWISE):
        return
    with hardware.applied(translator.choices):
        for hypothesis in watch(translator.models, ids, options, translator.choices):
            yield translator.tokenizers["target"].decode(hypothesis.ids)


def growing(
    translator: Translator, tag: str | None, options: Options, asked: Mapping[str, Any]
) -> Callable[[str], None]:
    """Lets the translation of a text grow under the reader's eyes, and wipes it away when it is done.

    On standard error, if that is a terminal; else nothing is to be seen.
    """
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True)

    def show(text: str) -> None:
        if console.is_terminal:
            with Live(console=console, refresh_per_second=20, transient=True) as live:
                for found in so_far(translator, text, tag, options, asked):
                    live.update(Text(found))

    return show
