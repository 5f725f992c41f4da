"""Pictures and pages as strings: learning curves, tables, and one self-contained HTML page.

Every function is pure and takes plain text: it escapes what it is given. A page asks for nothing from outside, runs no
script and says so in its content security policy.
"""

from __future__ import annotations

import base64
import hashlib
import html
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .style import COLOURS, PAGE, PICTURE

FEWEST_TICKS = 3
DASHES = ("", "7 4", "2 4", "10 4 2 4", "4 2", "1 5")
HUGE = 1e300  # beyond it bounds and ticks would overflow; such a value is drawn as little as an infinite one
Align = Literal["text", "number"]


class Markup(str):
    """HTML made by this module: it is put into a page as it is, where any other string is escaped."""

    __slots__ = ()


@dataclass(frozen=True)
class Series:
    """A line of a chart: (x, y) in order of x. A y that is not finite interrupts the line."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Section:
    """A card of a page. `parts` is Markup of this module, or text, which becomes a paragraph."""

    title: str
    lead: str
    parts: tuple[str, ...]


def visible(text: str) -> str:
    """What is invisible or turns the writing direction shown by its number, so that a text cannot look like another:
    controls, bidi marks, other format characters, lone surrogates, and the two that XML does not allow."""
    if text.isascii() and text.isprintable():  # a picture may be a text of millions of characters
        return text
    shown = []
    for character in text:
        joins = character in "\u200c\u200d"  # needed inside words and emoji
        hides = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") or character in "\ufffe\uffff"
        if character not in "\n\t" and not joins and hides:
            shown.append(f"⟨U+{ord(character):04X}⟩")
        else:
            shown.append(character)
    return "".join(shown)


def escape(text: str) -> str:
    """Text safe inside HTML and SVG, quotes included, and `visible`."""
    return html.escape(visible(text), quote=True)


def markup(text: str) -> Markup:
    """`Markup` unchanged, anything else escaped."""
    return text if isinstance(text, Markup) else Markup(escape(text))


def curve_svg(
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    scale: Literal["linear", "log"] = "linear",
    y_range: tuple[float, float] | None = None,
    percent: bool = False,
    width: int = 480,
    height: int = 300,
) -> Markup:
    """Lines over common axes, with ticks at round values and a legend. On a log scale what is not positive is left out.

    `percent` writes 0.98 as 98%. `y_range` fixes the bounds of y, and what lies outside is moved to the nearer bound.
    """
    left, right, top, bottom = 56.0, width - 14.0, 40.0, height - 46.0
    lines = [[point for point in _thin(one.points) if _shown(point[1], scale)] for one in series]
    xs = [x for line in lines for x, _ in line] or [0.0, 1.0]
    ys = [y for line in lines for _, y in line] or [1.0]
    x_low, x_high = _spread(min(xs), max(xs), "linear")
    y_low, y_high = y_range or _spread(min(ys), max(ys), scale)
    value = math.log10 if scale == "log" else float

    def across(x: float) -> float:
        return left + (x - x_low) / (x_high - x_low) * (right - left)

    def up(y: float) -> float:
        y = min(max(y, y_low), y_high)
        return bottom - (value(y) - value(y_low)) / (value(y_high) - value(y_low)) * (bottom - top)

    out = [open_svg(width, height, f"{y_label} over {x_label}: {', '.join(one.name for one in series)}")]
    for tick in _log_ticks(y_low, y_high) if scale == "log" else ticks(y_low, y_high, 5):
        y, text = up(tick), f"{100 * tick:g}%" if percent else f"{tick:g}"
        out.append(f'<line class="grid" x1="{left:g}" x2="{right:g}" y1="{y:.1f}" y2="{y:.1f}"/>')
        out.append(f'<text x="{left - 8:g}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    for tick in ticks(x_low, x_high, 6):
        x = across(tick)
        out.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom:g}" y2="{bottom + 5:g}"/>')
        out.append(f'<text x="{x:.1f}" y="{bottom + 20:g}" text-anchor="middle">{tick:,g}</text>')
    out.append(f'<line class="axis" x1="{left:g}" x2="{right:g}" y1="{bottom:g}" y2="{bottom:g}"/>')
    out.append(f'<text x="{right:g}" y="{height - 6}" text-anchor="end">{escape(x_label)}</text>')
    place, seen = left, []
    for number, one in enumerate(series):
        look = f'class="s s{number % 6}" stroke-dasharray="{DASHES[number % 6]}"'
        seen.append(f'<path {look} d="M{place:.1f} 16h22"/>')
        seen.append(f'<text class="name" x="{place + 28:.1f}" y="20.5">{escape(one.name)}</text>')
        place += 52 + 7.2 * len(one.name)
        path = _path([(across(x), up(y) if _shown(y, scale) else math.nan) for x, y in _thin(one.points)])
        out.append(f'<path {look} d="{path}"><title>{escape(one.name)}</title></path>')
    return Markup("".join([*out, *seen, "</svg>"]))


def bar(share: float, width: int = 120) -> Markup:
    """A share between 0 and 1 as a small bar."""
    inside = f'<rect class="fill" width="{width * min(max(share, 0.0), 1.0):.1f}" height="8" rx="4" y="7"/>'
    track = f'<rect class="track" width="{width}" height="8" rx="4" y="7"/>'
    return Markup(f"{open_svg(width, 22, f'{share:.1%}')}{track}{inside}</svg>")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], align: Sequence[Align] = ()) -> Markup:
    """A table. A cell is text or Markup; columns are aligned as text unless `align` says "number"."""
    sorts = [*align, *["text"] * (len(head) - len(align))]
    classes = [' class="number"' if sort == "number" else "" for sort in sorts]
    top = "".join(f'<th{kind} scope="col">{markup(cell)}</th>' for cell, kind in zip(head, classes, strict=True))
    body = "".join(
        "<tr>" + "".join(_cell(cell, kind) for cell, kind in zip(row, classes, strict=True)) + "</tr>" for row in rows
    )
    return Markup(f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>')


def verdict(right: bool, text: str) -> Markup:
    """A table cell that says right or wrong by sign, word and colour."""
    return Markup(f'<td class="{"good" if right else "bad"}">{"✓" if right else "✗"} {escape(text)}</td>')


def samples(
    rows: Sequence[tuple[str, str, str, str]], head: Sequence[str] = ("", "Source", "Translation", "")
) -> Markup:
    """A table of (label, source, translation, reference): right where the translation equals the reference."""
    return table(
        head,
        [
            (
                label,
                source,
                hypothesis,
                verdict(hypothesis == reference, "exact" if hypothesis == reference else f"expected: {reference}"),
            )
            for label, source, hypothesis, reference in rows
        ],
    )


def tiles(facts: Sequence[tuple[str, str, str]]) -> Markup:
    """Large figures side by side, each (label, figure, note)."""
    return Markup(
        '<div class="tiles">'
        + "".join(
            f'<div class="tile"><span class="label">{markup(label)}</span><b>{markup(figure)}</b>'
            f"<span>{markup(note)}</span></div>"
            for label, figure, note in facts
        )
        + "</div>"
    )


def figure(svg: Markup, caption: str) -> Markup:
    """A picture with its caption below."""
    return Markup(f"<figure>{svg}<figcaption>{markup(caption)}</figcaption></figure>")


def side_by_side(parts: Sequence[Markup]) -> Markup:
    """Parts next to each other where the window is wide enough."""
    return Markup('<div class="row">' + "".join(f"<div>{part}</div>" for part in parts) + "</div>")


def page(
    title: str,
    sections: Sequence[Section],
    *,
    lead: str = "",
    facts: Sequence[tuple[str, str, str]] = (),
    footer: Sequence[str] = (),
    style: str = "",
) -> str:
    """A whole HTML page: no script, no request, light or dark as the reader's system is.

    The policy allows the one style sheet by its hash and nothing else, not even an inline style attribute; where there
    are pictures, those inside the page. `style` is CSS that only this page needs.
    """
    css = COLOURS + PICTURE + PAGE + style
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    body = "".join(
        f"<section><h2>{markup(section.title)}</h2>"
        + (f'<p class="lead">{markup(section.lead)}</p>' if section.lead else "")
        + "".join(part if isinstance(part, Markup) else f"<p>{escape(part)}</p>" for part in section.parts)
        + "</section>"
        for section in sections
    )
    end = "".join(f"<p>{markup(line)}</p>" for line in footer)
    pictures = " img-src data:;" if "<img" in body else ""
    policy = f"default-src 'none';{pictures} style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        f'content="{policy}"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{escape(title)}</title><style>{css}</style></head>'
        f'<body><main><header><p class="mark">heedful</p><h1>{markup(title)}</h1><p class="lead">{markup(lead)}</p>'
        f"</header>{tiles(facts) if facts else ''}{body}<footer>{end}</footer></main></body></html>\n"
    )


def open_svg(width: float, height: float, label: str) -> str:
    """The start tag of a picture; `label` says it to whoever cannot see it."""
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    return f'<svg role="img" aria-label="{escape(label)}" {size}>'


def _cell(cell: str, kind: str) -> str:
    if isinstance(cell, Markup) and cell.startswith("<td"):
        return cell
    return f"<td{kind}>{markup(cell)}</td>"


def short(label: str) -> str:
    """A label of bounded length; hover text has the whole."""
    return label if len(label) <= 22 else label[:21] + "…"


def _shown(y: float, scale: str) -> bool:
    return -HUGE < y < HUGE and (scale == "linear" or y > 1 / HUGE)


def _thin(points: Sequence[tuple[float, float]], most: int = 400) -> list[tuple[float, float]]:
    """At most `most` points: neighbours are averaged, since a screen has no more columns to tell them apart."""
    if len(points) <= most:
        return list(points)
    size = math.ceil(len(points) / most)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def _path(points: Sequence[tuple[float, float]]) -> str:
    steps, pen = [], "M"
    for x, y in points:
        if math.isnan(y):
            pen = "M"
        else:
            steps.append(f"{pen}{x:.1f} {y:.1f}")
            pen = "L"
    return "".join(steps)


def _spread(low: float, high: float, scale: str) -> tuple[float, float]:
    """Bounds far enough apart to be told from each other."""
    if scale == "log":
        return (low, high) if high > low * 1.01 else (low / 2, high * 2)
    size = max(abs(low), abs(high))
    if high - low > max(size * 1e-4, 1e-300):  # less is the same to the labels, which have six digits
        return low, high
    margin = max(min(0.5, size / 2), size * 1e-4) if size > 1e-300 else 0.5
    return low - margin, high + margin


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) inside the bounds."""
    rough = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten inside the bounds, or only the powers where there are many; where there are too
    few, round values evenly apart."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(exponents) <= 4 else (1,)
    found = [tick for e in exponents for f in factors if low <= (tick := float(f"{f}e{e}")) <= high]
    return found if len(found) >= FEWEST_TICKS else ticks(low, high, 5)
