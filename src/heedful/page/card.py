"""The model card: README.md in a model's folder, for who has the model and not the run (after Mitchell et al. 2019)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """What a card says. `scores` are (metric, score, signature), measured on what `scored` names.

    `license` is an SPDX name or whatever the recipe says of it; empty: not stated, and the card says that.
    """

    title: str
    what: str
    use: str
    data: Sequence[str]
    scores: Sequence[tuple[str, str, str]]
    scored: str
    limits: Sequence[str]
    made: Sequence[str]
    license: str = ""
    cite: str = ""


def markdown(card: Card) -> str:
    """The card as Markdown; text from outside cannot become markup."""
    lines = ["---", f"license: {_yaml(card.license or 'unknown')}", "library_name: heedful", "---", ""]
    lines += [f"# {plain(card.title)}", "", plain(card.what), "", "## Use", "", "```", card.use, "```", ""]
    lines += ["## Data", "", *(f"- {plain(line)}" for line in card.data), ""]
    lines += ["## Scores", ""]
    if card.scores:
        lines += [plain(card.scored), "", "| metric | score | signature |", "|---|---|---|"]
        lines += ["| " + " | ".join(plain(cell) for cell in row) + " |" for row in card.scores] + [""]
    else:
        lines += ["Not measured.", ""]
    lines += ["## Limits", "", *(f"- {plain(line)}" for line in card.limits), ""]
    lines += ["## How it was made", "", *(f"- {plain(line)}" for line in card.made), ""]
    stated = plain(card.license) if card.license else "Not stated. Say it in the recipe: `card.license`."
    lines += ["## License", "", stated, ""]
    if card.cite:
        lines += ["## How to cite", "", plain(card.cite), ""]
    return "\n".join(lines)


def plain(text: str) -> str:
    """Text as Markdown that shows it and nothing else: markup escaped, on one line, invisible characters left out."""
    visible = "".join(one for one in " ".join(text.split()) if unicodedata.category(one) not in ("Cc", "Cf", "Cs"))
    return re.sub(r"([\\`*_{}\[\]<>()#|!~&])", r"\\\1", visible)


def _yaml(text: str) -> str:
    return '"' + re.sub(r'[\\"]', "", plain(text).replace("\\", "")) + '"'
