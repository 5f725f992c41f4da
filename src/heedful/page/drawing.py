"""A record as one picture: the matrix of one kind of attention by words, or, where a picture was read, that picture
once for each word. As SVG, a file of its own, and the same as PNG."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from ..errors import UserError
from ..inside.record import Line, Record
from .chosen import Chosen, chosen, region_names
from .labels import cells, isolated, label
from .render import Markup, escape, open_svg
from .style import COLOURS, PICTURE

EM = 8.0  # pixels of a terminal column's width of a word
TITLED = 3000  # cells that all have hover text; of more, only those that are dark enough to be seen
SEEN = 0.005
BEND = 0.7  # weights are drawn as their power: what is small can be told from nothing
STEPS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
TILE = 150.0  # pixels of the longer edge of a picture
MOST_TILES = 48
ACROSS = 6
STYLE = (
    PICTURE
    + """
svg .sheet{fill:var(--card)}svg .against{fill:var(--s1)}svg .head{fill:var(--ink);font-size:16px;font-weight:600}
svg .control{fill:var(--soft);font-style:italic}svg .frame{fill:none;stroke:var(--line)}
svg .pixels{image-rendering:pixelated}svg .night{fill:#1b1f24}svg .chosen{fill:none;stroke:#f0924e;stroke-width:2.5}
"""
)
# What draws a PNG knows no fonts of a system by "system-ui", and takes any font for a family it does not find.
FONTS = (
    'font-family:"Segoe UI","Helvetica Neue",Roboto,"Noto Sans","DejaVu Sans","Liberation Sans",'
    "Helvetica,Arial,sans-serif"
)


def svg(record: Record, kind: str | None = None, view: str | None = None) -> str:
    """A file, light or dark as its reader's system is. For `kind` and `view` see `chosen`, and its errors."""
    return _file(record, chosen(record, kind, view), COLOURS + STYLE)


def png(
    record: Record, kind: str | None = None, view: str | None = None, *, scale: float = 2, dark: bool = False
) -> bytes:
    """The same as pixels, `scale` for each of the SVG's. Needs the extra heedful[png]; UserError where it is missing.

    A character that no font of this computer has is drawn as an empty box.
    """
    try:
        from resvg_py import svg_to_bytes
    except ImportError:
        raise UserError("PNG files need the package resvg-py; install it with: pip install 'heedful[png]'") from None
    drawn = _file(record, chosen(record, kind, view), _plain(STYLE, dark))
    return bytes(svg_to_bytes(svg_string=drawn, zoom=scale))


def heat_map(
    weights: Sequence[Sequence[float]],
    query_labels: Sequence[str],
    key_labels: Sequence[str],
    *,
    signed: bool = False,
    controls: tuple[Collection[int], Collection[int]] = ((), ()),
) -> Markup:
    """Weights [query, key]: queries (who reads) down, keys (what is read) across.

    The darker, the larger; a weight is between 0 and 1, or, `signed`, between the largest of all and its opposite,
    which has another colour. It stands in each cell's hover text. `controls` are the numbers of rows and
    columns that are no words. ValueError if the sizes do not fit the labels.
    """
    rows = [[float(weight) if math.isfinite(weight) else 0.0 for weight in row] for row in weights]
    if len(rows) != len(query_labels) or any(len(row) != len(key_labels) for row in rows):
        raise ValueError(f"weights are not [{len(query_labels)} queries, {len(key_labels)} keys]")
    peak = max((abs(weight) for row in rows for weight in row), default=0.0) or 1.0 if signed else 1.0
    cell = next(
        size for most, size in ((24, 34.0), (40, 24.0), (math.inf, 15.0)) if max(len(rows), len(key_labels)) <= most
    )
    queries, keys = ([label(text) for text in texts] for texts in (query_labels, key_labels))
    left = max(26 + EM * max(map(cells, queries), default=1), 80.0)
    top = 34 + 0.72 * EM * max(map(cells, keys), default=1)
    lean = max(
        (cell * (place + 1 - len(keys)) + 0.72 * EM * cells(text) for place, text in enumerate(keys)), default=0.0
    )
    width = max(left + cell * len(keys) + max(lean, 0.0) + 10, left + (300 if signed else 200))
    height = top + cell * len(rows) + 44
    out = [open_svg(width, height, f"attention of {' '.join(query_labels)} to {' '.join(key_labels)}")]
    small = " small" if cell < 20 else ""
    for column, text in enumerate(keys):
        look = f"word{small}{' control' if column in controls[1] else ''}"
        place = f"translate({left + cell * (column + 0.5) + 3:.1f} {top - 8:.1f}) rotate(-45)"
        out.append(f'<text class="{look}" transform="{place}">{escape_isolated(text)}</text>')
    for row, text in enumerate(queries):
        look = f"word{small}{' control' if row in controls[0] else ''}"
        y = top + cell * (row + 0.5) + (4 if small else 5)
        out.append(
            f'<text class="{look}" x="{left - 10:.1f}" y="{y:.1f}" text-anchor="end">{escape_isolated(text)}</text>'
        )
    out += _fields(rows, query_labels, key_labels, (left, top, cell, peak), signed)
    return Markup("".join([*out, *_key(left, height - 24, peak, signed), "</svg>"]))


def escape_isolated(text: str) -> str:
    """A label, escaped but for the isolate around it."""
    inner = text.strip("\u2068\u2069")
    return escape(inner) if inner == text else isolated(escape(inner))


def _fields(
    rows: Sequence[Sequence[float]],
    queries: Sequence[str],
    keys: Sequence[str],
    at: tuple[float, float, float, float],
    signed: bool,
) -> Iterator[str]:
    left, top, cell, peak = at
    every = len(rows) * len(keys) <= TITLED
    gap, corner = (2, 5) if cell > 30 else (1, 2)
    size = f'width="{cell - gap:g}" height="{cell - gap:g}" rx="{corner}"'
    for row, weights in enumerate(rows):
        for column, weight in enumerate(weights):
            share = min(abs(weight) / peak, 1.0) if weight > 0 or signed else 0.0
            box = f'x="{left + cell * column + gap / 2:.1f}" y="{top + cell * row + gap / 2:.1f}" {size}'
            empty = f'<rect class="empty" {box}/>'
            if share < SEEN and not every:
                yield empty
                continue
            title = f"{escape(queries[row])} → {escape(keys[column])}: {weight:.3f}"
            look = "heat" if weight >= 0 else "against"
            shade = f'<rect class="{look}" {box} fill-opacity="{share**BEND:.3f}"/>'
            yield f'<g class="cell"><title>{title}</title>{empty}{shade}</g>'


def _key(left: float, y: float, peak: float, signed: bool) -> Iterator[str]:
    """What the shades mean."""
    steps = [-step for step in reversed(STEPS[1:])] + list(STEPS) if signed else list(STEPS)
    first, last = (f"{-peak:.2g}", f"{peak:.2g}") if signed else ("weight 0", "1")
    yield f'<text x="{left - 10:.1f}" y="{y + 12:.1f}" text-anchor="end">{first}</text>'
    for place, step in enumerate(steps):
        box = f'x="{left + 1 + 22 * place:.1f}" y="{y:.1f}" width="20" height="14" rx="3"'
        look = "heat" if step >= 0 else "against"
        yield f'<rect class="empty" {box}/><rect class="{look}" {box} fill-opacity="{abs(step) ** BEND:.3f}"/>'
    yield f'<text x="{left + 6 + 22 * len(steps):.1f}" y="{y + 12:.1f}">{last}</text>'


# ---- files -----------------------------------------------------------------------------------------------------------


def _file(record: Record, one: Chosen, style: str) -> str:
    """A picture with its title, what it says to whoever cannot see it, and its style."""
    drawn = _tiles(one) if one.queries.picture or one.keys.picture else _matrix(one)
    inner_width, inner_height = (float(size) for size in re.findall(r' (?:width|height)="([\d.]+)"', drawn)[:2])
    title = f"{one.kind.label}: {one.label}"
    sub = " · ".join(
        part for part in (record.model, f"{record.text} → {record.answer}" if record.answer else record.text) if part
    )
    width = max(inner_width, 32 + 9.6 * min(cells(title), 60), 32 + 7.4 * min(cells(sub), 72))
    sub_cells = int((width - 32) / 7.4)
    height = 62 + inner_height
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="title description" width="{width:g}" '
        f'height="{height:g}" viewBox="0 0 {width:g} {height:g}"><title id="title">{escape(title)}</title>'
        f'<desc id="description">{escape(_told(one))}</desc><style>{style}</style>'
        f'<rect class="sheet" width="{width:g}" height="{height:g}"/>'
        f'<text class="head" x="16" y="28">{escape_isolated(label(title, 60))}</text>'
        f'<text x="16" y="48">{escape_isolated(label(sub, sub_cells))}</text>'
        + drawn.replace("<svg ", '<svg x="0" y="58" ', 1)
        + "</svg>\n"
    )


def _matrix(one: Chosen) -> Markup:
    flags = tuple([n for n, control in enumerate(line.control) if control] for line in (one.queries, one.keys))
    return heat_map(
        one.weights.tolist(), one.queries.words, one.keys.words, signed=one.signed, controls=(flags[0], flags[1])
    )


def _told(one: Chosen) -> str:
    """The strongest of each row in words."""
    verb = "owes most to" if one.signed else "reads most"
    names = [region_names(line) if line.picture else line.words for line in (one.queries, one.keys)]
    rows = [
        f"{names[0][row]} {verb} {names[1][int(np.abs(weights).argmax())]} ({weights[np.abs(weights).argmax()]:.2f})"
        for row, weights in enumerate(one.weights[:60])
        if len(weights)
    ]
    return "; ".join(rows) + "."


def _plain(css: str, dark: bool) -> str:
    """A style whose variables are colours, for what knows neither variables nor the reader's wishes."""
    light_part, dark_part = COLOURS.split("@media", 1)
    colours = dict(re.findall(r"--(\w+):([^;}]+)", light_part))
    if dark:
        colours |= dict(re.findall(r"--(\w+):([^;}]+)", dark_part))
    css = re.sub(r"[^{}]*:hover[^{}]*\{[^}]*\}", "", css)
    css = re.sub(r"font-family:[^;}]+", FONTS, css)
    return re.sub(r"var\(--(\w+)\)", lambda found: colours[found[1]], css)


# ---- pictures that were read -----------------------------------------------------------------------------------------


def _tiles(one: Chosen) -> Markup:
    """The picture once for each word of the text: regions as bright as they are read, the strongest framed."""
    reads = one.keys.picture is not None  # the text reads the picture, else the picture reads the text
    picture = one.keys.picture or one.queries.picture
    assert picture is not None
    line = one.queries if reads else one.keys
    by_word = one.weights if reads else one.weights.T
    words = [number for number, control in enumerate(line.control) if not control and line.words[number].strip()]
    factor = TILE / max(picture.width, picture.height)
    width, height = picture.width * factor, picture.height * factor
    across = max(1, min(ACROSS, len(words)))
    step_x, step_y = max(width, TILE) + 20, height + 58
    total = (16 + step_x * across, 10 + step_y * max(1, -(-min(len(words), MOST_TILES) // across)))
    data = base64.b64encode(picture.png).decode()
    look = ' class="pixels" image-rendering="pixelated"' if factor >= 2 else ""  # each is what some readers know
    out = [
        open_svg(*total, f"where each of {' '.join(line.words[n] for n in words)} looks"),
        f'<defs><image id="picture"{look} width="{width:.2f}" height="{height:.2f}" preserveAspectRatio="none" '
        f'href="data:image/png;base64,{data}"/></defs>',
    ]
    for place, word in enumerate(words[:MOST_TILES]):
        x, y = 16 + step_x * (place % across), 6 + step_y * (place // across)
        out.append(f'<g transform="translate({x:.1f} {y:.1f})">')
        out += _tile(line.words[word], by_word[word], one.keys if reads else one.queries, (width, height))
        out.append("</g>")
    if len(words) > MOST_TILES:
        out.append(f'<text x="16" y="{total[1] - 4:g}">The first {MOST_TILES} of {len(words)} words.</text>')
    return Markup("".join([*out, "</svg>"]))


def _tile(word: str, weights: np.ndarray, seen: Line, size: tuple[float, float]) -> Iterator[str]:
    width, height = size
    picture, names = seen.picture, region_names(seen)
    assert picture is not None
    shares = np.where(np.array(seen.control, np.bool_), 0.0, np.nan_to_num(np.abs(weights)))
    best, peak = int(shares.argmax()), float(shares.max()) or 1.0
    yield f'<rect class="night" width="{width:.2f}" height="{height:.2f}"/><use href="#picture" opacity="0.14"/>'
    for region in np.argsort(shares, kind="stable"):
        if shares[region] / peak < 0.03:
            continue
        x1, y1, x2, y2 = (float(v) * edge for v, edge in zip(picture.boxes[region], (width, height) * 2, strict=True))
        box = f'x="{x1:.2f}" y="{y1:.2f}" width="{x2 - x1:.2f}" height="{y2 - y1:.2f}"'
        view = f'viewBox="{x1:.2f} {y1:.2f} {x2 - x1:.2f} {y2 - y1:.2f}" preserveAspectRatio="none"'
        title = f"{escape(names[region])}: {weights[region]:.3f}"
        inner = f'<title>{title}</title><use href="#picture" opacity="{(shares[region] / peak) ** BEND:.3f}"/>'
        yield f"<svg {box} {view}>{inner}</svg>"
        if region == best:
            yield f'<rect class="chosen" {box} rx="2"/>'
    yield f'<rect class="frame" width="{width:.2f}" height="{height:.2f}"/>'
    yield f'<text class="word" y="{height + 20:.1f}">{escape_isolated(label(word, 17))}</text>'
    yield f'<text class="small" y="{height + 36:.1f}">{escape(names[best])} · {weights[best]:.2f}</text>'
