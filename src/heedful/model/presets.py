"""Named sizes of the families. No torch here.

A preset is a family and its options; any option can be overridden by name (`plan("transformer-base", layers=2)`).
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any

from ..errors import UserError
from .families import FAMILIES
from .plan import Plan

# name: (family, options). Sizes of the papers, and smaller ones that a laptop trains in minutes.
PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "transformer-tiny": (
        "encoder-decoder",
        {"vocab": 4000, "width": 128, "layers": 2, "heads": 4, "feedforward": 512},
    ),
    "transformer-mini": (
        "encoder-decoder",
        {"vocab": 8000, "width": 128, "layers": 4, "heads": 4, "feedforward": 256, "dropout": 0.3},
    ),
    "transformer-small": (
        "encoder-decoder",
        {"vocab": 8000, "width": 256, "layers": 3, "heads": 4, "feedforward": 1024},
    ),
    "transformer-base": ("encoder-decoder", {}),
    "transformer-big": (
        "encoder-decoder",
        {"width": 1024, "heads": 16, "feedforward": 4096, "dropout": 0.3},
    ),
    "bert-tiny": ("encoder", {"width": 128, "layers": 2, "heads": 2, "feedforward": 512}),
    "bert-mini": ("encoder", {"width": 256, "layers": 4, "heads": 4, "feedforward": 1024}),
    "bert-small": ("encoder", {"width": 512, "layers": 4, "heads": 8, "feedforward": 2048}),
    "bert-medium": ("encoder", {"width": 512, "layers": 8, "heads": 8, "feedforward": 2048}),
    "bert-base": ("encoder", {}),
    "bert-large": ("encoder", {"width": 1024, "layers": 24, "heads": 16, "feedforward": 4096}),
    "gpt2-tiny": ("decoder", {"width": 128, "layers": 4, "heads": 4, "feedforward": 512, "capacity": 256}),
    "gpt2-mini": ("decoder", {"width": 384, "layers": 6, "heads": 6, "feedforward": 1536, "capacity": 256}),
    "gpt2": ("decoder", {}),
    "gpt2-medium": ("decoder", {"width": 1024, "layers": 24, "heads": 16, "feedforward": 4096}),
    "gpt2-large": ("decoder", {"width": 1280, "layers": 36, "heads": 20, "feedforward": 5120}),
    "gpt2-xl": ("decoder", {"width": 1600, "layers": 48, "heads": 25, "feedforward": 6400}),
    "vilbert": ("two-streams", {}),
    "vilbert-tiny": (
        "two-streams",
        {
            "width": 128, "layers": 4, "heads": 4, "feedforward": 512, "picture_width": 128, "picture_layers": 2,
            "picture_heads": 4, "picture_feedforward": 256, "co_width": 128, "co_heads": 4, "text_before": (2, 3),
            "picture_before": (0, 1),
        },
    ),
    # To train from nothing: each stream has two layers of its own before both meet.
    "two-streams-tiny": (
        "two-streams",
        {
            "width": 128, "layers": 4, "heads": 4, "feedforward": 512, "picture_width": 128, "picture_layers": 4,
            "picture_heads": 4, "picture_feedforward": 512, "co_width": 128, "co_heads": 4, "text_before": (2, 3),
            "picture_before": (2, 3), "place": "pre", "initialization": "transformer",
        },
    ),
}  # fmt: skip


def nearest(word: str, known: list[str]) -> str:
    """ "did you mean 'x'?", or the list of what is known."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def plan(name: str, **options: Any) -> Plan:
    """The plan of a preset or family, with options overridden; a misspelt one is refused with its nearest relative."""
    if name in PRESETS:
        family, given = PRESETS[name]
    elif name in FAMILIES:
        family, given = name, {}
    else:
        raise UserError(f"no preset is called {name!r}; {nearest(name, [*PRESETS, *FAMILIES])}")
    build: Callable[..., Plan] = FAMILIES[family]  # type: ignore[assignment]
    known = list(inspect.signature(build).parameters)
    for option in options:
        if option not in known:
            raise UserError(f"model: {family} has no option {option!r}; {nearest(option, known)}")
    return build(**{**given, **options})
