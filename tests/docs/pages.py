"""Reads the pages in docs/: which blocks are marked to run, and what stands under them.

A block is marked by the word `test` after its language: ```python test, ```sh test. What it prints is in a ```text
block that follows with nothing but empty lines between. A comment on a line of its own, <!-- test: ... -->, says
something about the next marked block. A page that has marked blocks of a language has no unmarked ones of it, so that
none is left out by mistake.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
DIRECTIVE = re.compile(r"<!-- test: (.+) -->")


@dataclass(frozen=True)
class Block:
    """A marked block: the page's line of its first line, the text under it if there is one, comments before it."""

    line: int
    source: str
    expected: str | None
    directives: tuple[str, ...]


def blocks(page: str, language: str) -> list[Block]:
    """The marked blocks of a page's text, in order; ValueError for one that could be left out unseen."""
    found: list[Block] = []
    unmarked: list[int] = []
    directives: list[str] = []
    inside: list[str] | None = None
    kind, opened = "", 0
    fresh = False  # whether the last thing read was a marked block, whose output may follow
    for number, line in enumerate(page.split("\n"), 1):
        if inside is None and line.startswith("```"):
            inside, kind, opened = [], line[3:].strip(), number
        elif inside is None:
            directives += DIRECTIVE.findall(line)
            fresh = fresh and not line.strip()
        elif line.rstrip() != "```":
            inside.append(line + "\n")
        else:
            body, inside = "".join(inside), None
            if kind == "text" and fresh:
                found[-1] = replace(found[-1], expected=body)
            fresh = kind == f"{language} test"
            if fresh:
                found.append(Block(opened + 1, body, None, tuple(directives)))
                directives = []
            elif kind.split(" ")[0] == language:
                unmarked.append(opened)
    if inside is not None:
        raise ValueError(f"line {opened}: this block has no end")
    if found and unmarked:
        raise ValueError(f"line {unmarked[0]}: this block is not marked, but others of the page are")
    if len(found) != page.count(f"```{language} test"):
        raise ValueError("a marked block is indented, or inside another one")
    return found


def marked_pages(language: str) -> list[Path]:
    """The pages in docs/ that have marked blocks of this language."""
    return [page for page in sorted(DOCS.rglob("*.md")) if f"```{language} test" in page.read_text("utf-8")]
