"""What `heedful evaluate` gives for a model of any task but translation: figures, text, a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from ..page import render
from ..page.render import Section

Rows = Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Evaluated:
    """`scores` are rows (metric, score, what it means); `figures` is everything as plain values, for JSON.

    `scored` says on what; `sections` are the page's, after the scores.
    """

    title: str
    scored: str
    scores: Rows
    figures: Mapping[str, Any]
    sections: Sequence[Section] = ()

    @property
    def text(self) -> str:
        """For a terminal."""
        width = max((len(name) for name, _, _ in self.scores), default=0)
        lines = [f"{name:<{width}}  {score:>8}  {note}".rstrip() for name, score, note in self.scores]
        return "\n".join([self.scored, *lines]) + "\n"

    @property
    def page(self) -> str:
        """As HTML."""
        table = render.table(("Metric", "Score", "Of what"), self.scores, ("text", "number", "text"))
        first = Section("How good it is", self.scored, (table,))
        return render.page(self.title, [first, *self.sections], footer=[f"Made by heedful {version('heedful')}."])
