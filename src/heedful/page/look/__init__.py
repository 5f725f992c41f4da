"""The page of a look: one self-contained file made of one Record."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable, Iterator
from functools import cache
from importlib import resources

from ...inside.record import Record
from ..render import bar, escape
from ..style import COLOURS, PAGE
from .packing import pack

# What every page has, and what only pages have whose record has something for it.
SCRIPTS = ("core.js", "weights.js", "choose.js", "said.js", "words.js", "matrix.js", "grid.js", "flow.js")
MORE: dict[str, Callable[[Record], bool]] = {
    "lens.js": lambda record: bool(record.lenses),
    "picture.js": lambda record: any(line.picture for line in record.lines.values()),
    "whatif.js": lambda record: bool(record.what_if),
}
WARNING = (
    "Attention shows where a model reads, not why it decides: a word that is read much may change nothing, and one "
    "that is read little may change everything."
)


def page(record: Record) -> str:
    """One HTML file: no outside request, nothing but its own script and style by their hashes, data in a JSON block."""
    packed = pack(record)
    more = tuple(name for name, wanted in MORE.items() if wanted(record))
    script, css = _script(more), _style(bool(more))
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(css)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    blocks = "".join(
        f'<script type="text/plain" id="block-{number}">{block}</script>' for number, block in enumerate(packed.blocks)
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        f'content="{policy}"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{escape(_title(record))}</title><style>{css}</style>'
        f'</head><body><main>{_head(record)}<div id="panels"></div>'
        "<noscript><p>Everything below the text needs this page's own script, which your browser does not run. The "
        "numbers are in the .npz and .json files of the same look.</p></noscript>"
        "<footer><p>Numbers on this page are rounded to 255 steps of their root: a weight w is off by about "
        "√w / 255, and never by more than 0.004; signed numbers by at most 1/127 of the largest. The exact "
        "ones are in the .npz and .json files of the same look.</p>"
        "<p>Made by heedful. This page asks for nothing from outside.</p></footer></main>"
        f'<script type="application/json" id="record">{packed.json()}</script>{blocks}<script>{script}</script>'
        "</body></html>\n"
    )


def _title(record: Record) -> str:
    return f"Look inside: {record.text if len(record.text) <= 60 else record.text[:59] + '…'}"


def _head(record: Record) -> str:
    """What can be read without a script: the text, the answer, the facts, what to be careful about."""
    facts = [("model", record.model), ("task", record.task), *_sizes(record)]
    told = "".join(f"<div><dt>{escape(name)}</dt><dd><bdi>{escape(value)}</bdi></dd></div>" for name, value in facts)
    answer = (
        f'<p class="tag">Answer</p><div class="read" id="answer" dir="auto">{escape(record.answer)}</div>'
        if record.answer or record.said
        else ""
    )
    likely = "".join(
        f'<p class="tag">{escape(answers.title)}</p><ul class="answers">'
        + "".join(
            f"<li><bdi>{escape(guess.text)}</bdi>{bar(guess.probability)}<b>{guess.probability:.1%}</b></li>"
            for guess in answers.guesses
        )
        + "</ul>"
        for answers in record.answers
    )
    more = ' <a href="#whatif">Below: what if something were otherwise.</a>' if record.what_if else ""
    return (
        '<header><p class="mark">heedful</p><h1>Look inside</h1></header><section class="top">'
        f'<p class="tag">Text</p><p class="read" dir="auto">{escape(record.text)}</p>{answer}{likely}'
        f'<dl class="facts">{told}</dl></section><p class="caution">{WARNING}{more}</p>'
        + "".join(f'<p class="caution noted" dir="auto">{escape(note)}</p>' for note in record.notes)
    )


def _sizes(record: Record) -> Iterator[tuple[str, str]]:
    """Tokens of each line that is attended to, layers and heads of each kind, the probability of the answer."""
    for name in dict.fromkeys(kind.keys for kind in record.kinds):
        yield record.lines[name].label, f"{len(record.lines[name])} tokens"
    for kind in record.kinds:
        heads = sorted({len(layer.weights) for layer in kind.layers})
        each = f"{heads[0]} heads" if len(heads) == 1 else f"{heads[0]} to {heads[-1]} heads" if heads else "no heads"
        yield kind.label, f"{len(kind.layers)} layers, {each}"
    known = [said.logprob for said in record.said if math.isfinite(said.logprob)]
    if known:
        yield "sure of its answer", f"{math.exp(sum(known) / len(known)):.0%} a token"


@cache
def _script(more: tuple[str, ...]) -> str:
    parts = [_read(name) for name in (*SCRIPTS, *more)]
    return '"use strict";(() => {\n' + "\n".join(parts) + "\nstart();\n})();"


@cache
def _style(more: bool) -> str:
    return COLOURS + PAGE + _read("look.css") + (_read("more.css") if more else "")


def _read(name: str) -> str:
    """A file of this folder without indentation and lines of comment; nothing where there is no such file."""
    file = resources.files(__package__) / name
    if not file.is_file():
        return ""
    lines = (line.strip() for line in file.read_text("utf-8").split("\n"))
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
