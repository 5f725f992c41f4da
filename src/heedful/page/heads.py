"""The report of all heads of a model: a page without script, a few lines for a terminal, JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from ..inside.headreport import HeadKind, HeadReport, Scores
from ..inside.measures import MEASURES
from ..inside.record import layer_number
from . import render
from .labels import fitted, inked, label
from .render import Markup, Section, escape, open_svg
from .terminal import Pen, bar, shade

FORMAT = "heedful.heads.v1"
ROWS = 8  # heads of a table, from either end
BEND = 0.7
STYLE = (
    "svg .against{fill:var(--s1)}.grids{display:flex;flex-wrap:wrap;gap:24px 34px;margin:0 0 18px}"
    ".grids figure{width:276px}.scroll+.scroll{margin-top:24px}"
)
IMPORTANCE = "importance"
ABLATION = "loss without it"
NOTES = {
    IMPORTANCE: "How much the loss would feel a small change of the head, by its gradient, as a part of all heads of "
    "that attention (Michel et al. 2019): 0 not at all.",
    ABLATION: "By how many nats per label the loss grows when the head is switched off, one at a time: below 0, the "
    "model is better off without it.",
}
WARNING = (
    "A measure says what a head's weights look like, not what the head is for: a head that attends to the token "
    "before may carry nothing that the model uses, and a head that looks diffuse may carry much.",
    "Importance by gradient is a first-order guess at what ablation measures. Ablation switches off one head at a "
    "time: heads that stand in for each other all look unimportant, and are not when they go together.",
    "All of it holds for these texts; other texts may need other heads.",
)


def heads_json(report: HeadReport) -> str:
    """Everything as JSON (`heedful.heads.v1`), exact; what is no finite number is null."""
    return json.dumps({"format": FORMAT, **_finite(asdict(report))}, ensure_ascii=True, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def tables(kind: HeadKind) -> dict[str, tuple[str, Scores]]:
    """What there is to show of a kind, by label: what it means, and the numbers [layer][head]."""
    found = {}
    if kind.ablation is not None:
        found[ABLATION] = (NOTES[ABLATION], kind.ablation)
    if kind.importance is not None:
        found[IMPORTANCE] = (NOTES[IMPORTANCE], kind.importance)
    for name, table in kind.measures.items():
        known = MEASURES.get(name)
        found[known.label if known else name] = (known.note if known else "", table)
    return found


def ranked(kind: HeadKind) -> list[tuple[int, int]]:
    """(layer, head) by the loss without it, else by importance, the most important first; empty without both."""
    scores = kind.ablation or kind.importance or []
    every = [(layer, head) for layer, heads in enumerate(scores) for head in range(len(heads))]
    return sorted(every, key=lambda at: (-_number(scores[at[0]][at[1]]), at))


def _number(value: float) -> float:
    return value if math.isfinite(value) else 0.0


# ---- the page --------------------------------------------------------------------------------------------------------


def heads_page(report: HeadReport) -> str:
    """One self-contained page, without script."""
    heads = sum(len(layer) for kind in report.kinds for layer in next(iter(_all(kind)), []))
    facts = [
        ("Heads", f"{heads:,}", f"in {sum(len(kind.addresses) for kind in report.kinds)} attentions"),
        ("Texts", f"{report.examples:,}", report.data),
    ]
    if report.loss is not None:
        facts.append(("Loss", f"{report.loss:.3f}", "nats per label, all heads on"))
    sections = [_kind(kind) for kind in report.kinds]
    sections.append(Section("What these numbers do not say", "", WARNING))
    return render.page(
        "What each head does",
        sections,
        lead=f"{report.model} · {report.task} · means over {report.examples:,} texts of {report.data}",
        facts=facts,
        footer=report.notes,
        style=STYLE,
    )


def _all(kind: HeadKind) -> Iterator[Scores]:
    yield from (scores for _, scores in tables(kind).values())


def _kind(kind: HeadKind) -> Section:
    grids = [
        render.figure(grid_svg(name, scores, kind.addresses), f"{name.capitalize()}{_range(scores)}. {note}")
        for name, (note, scores) in tables(kind).items()
    ]
    parts = [Markup('<div class="grids">' + "".join(grids) + "</div>")] if grids else []
    parts += [*_ranking(kind), *_followed(kind), *_aligned(kind)]
    lead = "A row is a layer, the first above; a field is a head. Hover or tap for its number."
    return Section(kind.label, lead, tuple(parts))


def _bounds(scores: Scores) -> tuple[float, float]:
    values = [_number(value) for layer in scores for value in layer] or [0.0]
    return min(0.0, *values), max(0.0, *values)


def _range(scores: Scores) -> str:
    low, high = _bounds(scores)
    return f", {low:.3g} to {high:.3g}"


def grid_svg(name: str, scores: Scores, addresses: Sequence[str]) -> Markup:
    """Layers down, heads across: the darker, the larger, on the scale of the largest of all; what is below 0 has
    another colour."""
    low, high = _bounds(scores)
    peak = max(high, -low) or 1.0
    most = max((len(layer) for layer in scores), default=0)
    cell = 26.0 if most <= 12 else 18.0
    width, height = 34 + cell * most + 4, 24 + cell * len(scores) + 4
    out = [open_svg(width, height, f"{name} by layer and head")]
    for head in range(0, most, 1 if most <= 12 else 4):
        out.append(
            f'<text class="small" x="{34 + cell * (head + 0.5):.1f}" y="14" text-anchor="middle">{head + 1}</text>'
        )
    for layer, heads in enumerate(scores):
        y, number = 20 + cell * layer, _numbered(addresses, layer)
        out.append(f'<text class="small" x="26" y="{y + cell / 2 + 4:.1f}" text-anchor="end">{number}</text>')
        for head, value in enumerate(heads):
            box = f'x="{34 + cell * head + 1:.1f}" y="{y + 1:.1f}" width="{cell - 2:g}" height="{cell - 2:g}" rx="4"'
            told = f"{value:.3f}" if math.isfinite(value) else "no number"
            where = f" ({addresses[layer]})" if layer < len(addresses) else ""
            title = escape(f"layer {number}, head {head + 1}{where}: {told}")
            share = min(1.0, abs(_number(value)) / peak) ** BEND
            look = "against" if value < 0 else "heat"
            out.append(f'<g class="cell"><title>{title}</title><rect class="empty" {box}/>')
            out.append(f'<rect class="{look}" {box} fill-opacity="{share:.3f}"/></g>')
    return Markup("".join([*out, "</svg>"]))


def _ranking(kind: HeadKind) -> Iterator[Markup]:
    """The heads that matter most and least, with all their numbers."""
    order = ranked(kind)
    columns = tables(kind)
    if not order:
        return
    head = ("Head", *(name.capitalize() for name in columns))
    align: list[render.Align] = ["text", *["number"] * len(columns)]  # type: ignore[list-item]
    ends = [("The most important", order[:ROWS]), ("The least important", list(reversed(order[ROWS:]))[:ROWS])]
    for title, rows in ends:
        if rows:
            cells = [(_name(kind, *at), *(_told(scores, at) for _, scores in columns.values())) for at in rows]
            yield render.table((f"{title}", *head[1:]), cells, align)


def _name(kind: HeadKind, layer: int, head: int) -> str:
    return f"layer {_numbered(kind.addresses, layer)}, head {head + 1}"


def _numbered(addresses: Sequence[str], layer: int) -> int:
    return layer_number(addresses[layer]) if layer < len(addresses) else layer + 1


def _told(scores: Scores, at: tuple[int, int]) -> str:
    layer, head = at
    if layer >= len(scores) or head >= len(scores[layer]) or not math.isfinite(scores[layer][head]):
        return "–"
    return f"{scores[layer][head]:.3f}"


def _followed(kind: HeadKind) -> Iterator[Markup]:
    if not kind.followed:
        return
    rows = [
        (
            f"{one.feature}: {one.value}",
            _name(kind, one.layer, one.head),
            f"{one.share:.1%}",
            f"{one.placed:.1%}",
            f"{one.lift:.2f}",
            f"{one.share - one.placed:+.1%} ± {1.96 * one.error:.1%}",
            f"{one.queries:,} in {one.texts:,}",
        )
        for one in kind.followed[: 2 * ROWS]
    ]
    head = ("Feature", "Head", "Gets", "By place", "Lift", "Difference, 95 %", "Words, texts")
    yield render.table(head, rows, ("text", "text", "number", "number", "number", "number", "number"))
    yield Markup(
        '<p class="lead">Of a head’s attention, how much goes to words of that value, and how much would if the head '
        "knew places and no words; lift is one by the other. Of many heads and values, some look good by chance.</p>"
    )


def _aligned(kind: HeadKind) -> Iterator[Markup]:
    if not kind.aligned:
        return
    rows = [
        (_name(kind, one.layer, one.head), f"{one.agreement:.1%}", render.bar(one.agreement))
        for one in kind.aligned[:ROWS]
    ]
    head = ("Heads that align words", "Score without true links", "")
    yield render.table(head, rows, ("text", "number", "text"))


# ---- the terminal ----------------------------------------------------------------------------------------------------


def heads_terminal(report: HeadReport, width: int, colour: bool) -> str:
    """For each kind a grid of what matters most, and the best and the last heads; no line is wider than `width`, at
    least 20."""
    room, pen = max(20, width), Pen(colour)
    lines = [pen("soft", fitted(f"{inked(report.task)} · {inked(report.model)}", room))]
    lines.append(fitted(f"{report.examples:,} texts of {inked(report.data)}", room))
    most = max(2, 18 // max(1, len(report.kinds)))
    for kind in report.kinds:
        lines += ["", *_lines(kind, room, most, pen)]
    lines += [pen("soft", fitted(inked(note), room)) for note in report.notes[:2]]
    return "\n".join(line.rstrip() for line in lines)


def _lines(kind: HeadKind, room: int, most: int, pen: Pen) -> Iterator[str]:
    shown = tables(kind)
    if not shown:
        yield pen("title", label(kind.label, room))
        return
    name, (_, scores) = next(iter(shown.items()))
    low, high = _bounds(scores)
    peak = max(high, -low) or 1.0
    yield pen("title", fitted(f"{inked(kind.label)}: {name}{_range(scores)}", room))
    for layer, heads in enumerate(scores[:most]):
        drawn = heads[: max(1, (room - 6) // 2)]
        cells = (
            pen("against", "-" + shade(-value / peak, 1)) if value < 0 else pen("read", shade(_number(value) / peak, 2))
            for value in drawn
        )
        yield f"{_numbered(kind.addresses, layer):3d}  {''.join(cells)}{'…' if len(drawn) < len(heads) else ''}"
    if len(scores) > most:
        yield pen("soft", f"… and {len(scores) - most} more layers")
    order = ranked(kind)
    for title, some in (("most", order[:3]), ("least", order[3:][-2:][::-1])):
        for at in some:
            value = scores[at[0]][at[1]]
            text = f"{title:5s}  {_name(kind, *at)}"
            drawn_bar = pen("read", bar(abs(_number(value)) / peak, 12)) + " " if room >= 46 else ""
            yield fitted(text, room) if room < 32 else f"{text:26s} {drawn_bar}{value:.3f}"
    for one in kind.followed[:2]:
        yield fitted(
            f"{_name(kind, one.layer, one.head)} follows {inked(one.feature)}: {inked(one.value)} × {one.lift:.2f}",
            room,
        )
    for best in kind.aligned[:1]:
        yield fitted(f"{_name(kind, best.layer, best.head)} aligns words best: {best.agreement:.1%}", room)
