"""Sections of a page about labels: figures by label, what is taken for what, how sure answers are, the worst errors."""

from __future__ import annotations

from collections.abc import Sequence

from ..measure.labels import Bin, Rates, calibration_error
from . import render
from .render import Markup, Section, Series, escape, open_svg, short

MOST_LABELS = 24  # of a confusion matrix that one can still read
CONFUSIONS = 20  # the most frequent ones, where there are more labels
LONGEST_TEXT = 300  # characters that are shown of a text


def rates_section(labels: Sequence[str], found: Sequence[Rates], what: str = "label", lead: str = "") -> Section:
    """Precision, recall and F1 of every label."""
    rows = [
        (label, f"{one.count:,}", f"{one.precision:.1%}", f"{one.recall:.1%}", f"{one.f1:.1%}", render.bar(one.f1))
        for label, one in zip(labels, found, strict=True)
    ]
    head = (what.capitalize(), "Examples", "Precision", "Recall", "F1", "")
    table = render.table(head, rows, ("text", "number", "number", "number", "number"))
    said = lead or f"Precision: of the answers with this {what}, how many are right. Recall: how many of it were found."
    return Section(f"{what.capitalize()} by {what}", said, (table,))


def confusion_section(labels: Sequence[str], table: Sequence[Sequence[int]]) -> Section:
    """What is taken for what: a picture, or of many labels the most frequent confusions."""
    if len(labels) <= MOST_LABELS:
        lead = "Each row is a label, each column an answer; the darker, the more of the row. The diagonal is right."
        return Section("What is taken for what", lead, (confusion_svg(labels, table),))
    wrong = [
        (count, label, labels[answer])
        for row, label in enumerate(labels) for answer, count in enumerate(table[row]) if count and answer != row
    ]  # fmt: skip
    wrong.sort(key=lambda one: (-one[0], one[1], one[2]))
    rows = [(label, answer, f"{count:,}") for count, label, answer in wrong[:CONFUSIONS]]
    shown = render.table(("Label", "Taken for", "Times"), rows, ("text", "text", "number"))
    return Section("What is taken for what", "The most frequent confusions.", (shown,))


def confusion_svg(labels: Sequence[str], table: Sequence[Sequence[int]]) -> Markup:
    """A confusion matrix [label, answer] of counts, shaded by the share of its row."""
    cell = 54.0
    left = 26 + 8.0 * max((len(short(label)) for label in labels), default=1)
    top = 34 + 5.9 * max((len(short(label)) for label in labels), default=1)
    width, height = left + cell * len(labels) + 6.5 * len(short(labels[-1])) + 10, top + cell * len(labels) + 8
    out = [open_svg(width, height, f"confusion matrix of {', '.join(labels)}")]
    for place, label in enumerate(labels):
        x, y, shown = left + cell * (place + 0.5), top + cell * (place + 0.5) + 5, escape(short(label))
        out.append(f'<text class="word" transform="translate({x:.1f} {top - 10:.1f}) rotate(-45)">{shown}</text>')
        out.append(f'<text class="word" x="{left - 10:.1f}" y="{y:.1f}" text-anchor="end">{shown}</text>')
    for row, counts in enumerate(table):
        total = max(sum(counts), 1)
        for column, count in enumerate(counts):
            x, y, share = left + cell * column, top + cell * row, count / total
            box = f'x="{x + 1:.1f}" y="{y + 1:.1f}" width="{cell - 2:g}" height="{cell - 2:g}" rx="6"'
            title = f"{escape(labels[row])} taken for {escape(labels[column])}: {count:,} of {total:,} ({share:.1%})"
            # At most half as dark as can be, so that the count stays legible in both colour schemes.
            out.append(f'<g class="cell"><title>{title}</title><rect class="empty" {box}/>')
            out.append(f'<rect class="heat" {box} fill-opacity="{0.5 * share:.3f}"/>')
            middle = f'x="{x + cell / 2:.1f}" y="{y + cell / 2 + 5:.1f}"'
            out.append(f'<text class="name" {middle} text-anchor="middle">{count:,}</text></g>')
    return Markup("".join([*out, "</svg>"]))


def calibration_section(found: Sequence[Bin]) -> Section:
    """How often answers are right that are given with a probability: beside the diagonal of perfect ones."""
    shown = [one for one in found if one.count]
    series = [
        Series("perfect", [(0.0, 0.0), (1.0, 1.0)]),
        Series("this model", [(one.sure, one.right) for one in shown]),
    ]
    picture = render.curve_svg(series, x_label="probability", y_label="right", y_range=(0.0, 1.0), percent=True)
    rows = [
        (f"{one.low:.0%} to {one.high:.0%}", f"{one.count:,}", f"{one.sure:.1%}", f"{one.right:.1%}") for one in shown
    ]
    table = render.table(("Probability", "Answers", "Mean", "Right"), rows, ("text", "number", "number", "number"))
    error = calibration_error(found)
    caption = f"Expected calibration error {error:.1%} (Guo et al. 2017), in {len(found)} equal bins."
    parts = render.side_by_side([render.figure(picture, caption), table])
    lead = "Whether a probability may be taken at its word: of answers given with 80 % as many should be right."
    return Section("How sure it is", lead, (parts,))


def errors_section(rows: Sequence[tuple[str, ...]], head: Sequence[str], lead: str) -> Section | None:
    """The worst errors, long texts cut; None where there is none."""
    if not rows:
        return None
    shown = [
        tuple(cell if len(cell) <= LONGEST_TEXT else cell[: LONGEST_TEXT - 1] + "…" for cell in row) for row in rows
    ]
    return Section("The worst errors", lead, (render.table(head, shown),))
