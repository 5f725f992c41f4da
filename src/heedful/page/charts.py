"""Two small pictures for tables of figures: bars in groups, and an interval beside zero."""

from __future__ import annotations

from collections.abc import Sequence

from .render import HUGE, Markup, escape, open_svg, short, ticks

Values = Sequence[float | None]


def bars_svg(
    groups: Sequence[tuple[str, str]],
    series: Sequence[tuple[str, Values]],
    *,
    x_label: str,
    y_label: str,
    percent: bool = False,
    width: int = 480,
    height: int = 280,
) -> Markup:
    """A bar for each series (name, values) in each group (label, note below it); the axis begins at 0.

    A value that is None has no bar. `percent` writes 0.98 as 98%. The values stand above the bars where there is room.
    """
    legend, top = _legend([name for name, _ in series], width)
    left, right, bottom = 48.0, width - 10.0, height - 62.0
    known = [value for _, values in series for value in values if _drawn(value)]
    high = 1.0 if percent else max([*known, 1e-9]) * 1.08
    room = (right - left) / max(len(groups), 1)
    thick = min(36.0, 0.84 * room / max(len(series), 1))
    out = [open_svg(width, height, f"{y_label} by {x_label}: {', '.join(name for name, _ in series)}"), legend]
    for tick in ticks(0, high, 5):
        y, text = bottom - tick / high * (bottom - top), f"{100 * tick:g}%" if percent else f"{tick:g}"
        out.append(f'<line class="grid" x1="{left:g}" x2="{right:g}" y1="{y:.1f}" y2="{y:.1f}"/>')
        out.append(f'<text x="{left - 8:g}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    for place, (label, note) in enumerate(groups):
        middle = left + room * (place + 0.5)
        for number, (name, values) in enumerate(series):
            value = values[place]
            if value is None or not _drawn(value):
                continue
            shown = f"{value:.1%}" if percent else f"{value:.1f}"
            x = middle + thick * (number - len(series) / 2)
            tall = min(max(value, 0.0), high) / high * (bottom - top)
            box = f'x="{x + 1:.1f}" y="{bottom - tall:.1f}" width="{thick - 2:.1f}" height="{tall:.1f}" rx="2.5"'
            out.append(f'<rect class="b{number % 6}" {box}><title>{escape(f"{name}, {label}: {shown}")}</title></rect>')
            if thick >= 22:
                brief = f"{100 * value:.0f}" if percent else f"{value:.0f}"
                at = f'x="{x + thick / 2:.1f}" y="{bottom - tall - 5:.1f}"'
                out.append(f'<text class="small" {at} text-anchor="middle">{brief}</text>')
        out.append(
            f'<text class="name" x="{middle:.1f}" y="{bottom + 19:g}" text-anchor="middle">{escape(label)}</text>'
        )
        out.append(
            f'<text class="small" x="{middle:.1f}" y="{bottom + 35:g}" text-anchor="middle">{escape(note)}</text>'
        )
    out.append(f'<line class="axis" x1="{left:g}" x2="{right:g}" y1="{bottom:g}" y2="{bottom:g}"/>')
    out.append(f'<text x="{right:g}" y="{height - 6}" text-anchor="end">{escape(x_label)}</text></svg>')
    return Markup("".join(out))


def interval_svg(low: float, middle: float, high: float, bound: float, kind: str, width: int = 180) -> Markup:
    """An interval on an axis from -bound to bound with zero in the middle; `kind` is "good", "bad" or "open"."""

    def across(value: float) -> float:
        return width / 2 + min(max(value / bound, -1.0), 1.0) * (width / 2 - 8)

    label = f"{middle:+.1f}, between {low:+.1f} and {high:+.1f}"
    return Markup(
        f'{open_svg(width, 22, label)}<line class="zero" x1="{width / 2:g}" x2="{width / 2:g}" y1="1" y2="21"/>'
        f'<path class="whisker {kind}" d="M{across(low):.1f} 11H{across(high):.1f}M{across(low):.1f} 7v8'
        f'M{across(high):.1f} 7v8"/><circle class="dot {kind}" cx="{across(middle):.1f}" cy="11" r="4.5"/></svg>'
    )


def signed(value: float, digits: int = 1) -> str:
    """A difference as text, with a true minus sign."""
    return f"{value:+.{digits}f}".replace("-", "−")


def _drawn(value: float | None) -> bool:
    return value is not None and -HUGE < value < HUGE


def _legend(names: Sequence[str], width: int) -> tuple[str, float]:
    """A coloured square and a name for each series, in as many rows as they need; and where the picture begins."""
    out, x, y = [], 48.0, 8.0
    for number, name in enumerate(names):
        wide = 34 + 7.2 * len(short(name))
        if x > 48 and x + wide > width:
            x, y = 48.0, y + 20
        out.append(f'<rect class="b{number % 6}" x="{x:.1f}" y="{y:g}" width="12" height="12" rx="3"/>')
        out.append(f'<text class="name" x="{x + 19:.1f}" y="{y + 10.5:g}">{escape(short(name))}</text>')
        x += wide
    return "".join(out), y + 40
