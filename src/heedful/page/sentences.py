"""The sentences of an evaluation's page: which ones are shown, their texts with marks, and buttons to filter them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..measure.breakdown import LENGTHS, class_name
from ..measure.evaluation import Evaluation, System
from .charts import signed
from .differences import mark, plain
from .render import Markup, Section, escape

MOST_SENTENCES = 200
# The buttons work by style alone: a checked one hides the items of all other classes.
KINDS = ("gained", "lost", *(f"words{number}" for number in range(len(LENGTHS))))
FILTERS = "".join(f".sentences:has(.only-{kind}:checked) li:not(.{kind}){{display:none}}\n" for kind in KINDS)


def changed(evaluation: Evaluation, first: System, other: System, number: int, most: int) -> Section:
    """The lines whose chrF2 rose and fell most, equally many of both if there are enough."""
    change = other.sentences - first.sentences
    order = np.argsort(-change, kind="stable")
    gained, lost = order[: (change > 0).sum()], order[::-1][: (change < 0).sum()]
    up = max(most // 2, most - len(lost))
    down = most - min(up, len(gained))
    shown = sorted([*gained[:up].tolist(), *lost[:down].tolist()], key=lambda line: (-abs(change[line]), line))
    same = len(change) - len(gained) - len(lost)
    lead = (
        f"{other.name} has more chrF2 than {first.name} in {len(gained):,} of {len(change):,} lines, less in "
        f"{len(lost):,}, and as much in {same:,}. Shown: {len(gained[:up])} that gained, {len(lost[:down])} that lost, "
        "largest change first."
    )
    items = [_item(evaluation, line, [first, other], change[line]) for line in shown]
    counts = {"gained": len(gained[:up]), "lost": len(lost[:down])}
    filters = _filter(f"change{number}", "Change", [(kind, f"{kind} ({n})") for kind, n in counts.items() if n])
    filters += _length_filter(evaluation, number, shown)
    title = "Sentences" if len(evaluation.systems) == 2 else f"Sentences: {other.name} against {first.name}"
    return Section(title, lead, (_legend(True), _list(filters, items)) if items else ())


def lowest(evaluation: Evaluation, system: System) -> Section:
    """The lines with the lowest chrF2."""
    shown = np.argsort(system.sentences, kind="stable")[:MOST_SENTENCES].tolist()
    lead = f"The {len(shown)} with the lowest chrF2, lowest first." if len(shown) < evaluation.lines else "Worst first."
    items = [_item(evaluation, line, [system], None) for line in shown]
    return Section("Sentences", lead, (_legend(False), _list(_length_filter(evaluation, 0, shown), items)))


def _item(evaluation: Evaluation, line: int, systems: Sequence[System], change: float | None) -> Markup:
    """One line with its texts; above them what the second system changed, if there is one."""
    reference = evaluation.references[0][line]
    fold = str.lower if evaluation.options.lowercase else str
    marked = mark(reference, [one.hypotheses[line] for one in systems], fold)
    rows = [("Source", "", plain(evaluation.source[line]))] if evaluation.source is not None else []
    rows.append(("Reference", "", marked.reference))
    for one, text in zip(systems, marked.hypotheses, strict=True):
        rows.append((one.name, f"{one.sentences[line]:.1f}", text))
    texts = "".join(
        f'<dt><span dir="auto" title="{escape(name)}">{escape(name)}</span><small>{score}</small></dt>'
        f'<dd dir="auto">{text}</dd>'
        for name, score, text in rows
    )
    kind = "" if change is None else "gained" if change > 0 else "lost"
    told = "" if change is None else f"<b>{signed(change)} chrF2</b>"
    classes = f"{kind} words{evaluation.length_classes[line]}"
    return Markup(f'<li class="{classes}"><p>{told}line {line + 1:,}</p><dl>{texts}</dl></li>')


def _list(filters: str, items: Sequence[str]) -> Markup:
    return Markup(f'<div class="sentences">{filters}<ol>{"".join(items)}</ol></div>')


def _length_filter(evaluation: Evaluation, number: int, shown: Sequence[int]) -> str:
    there = sorted({evaluation.length_classes[line] for line in shown})
    return _filter(f"words{number}", "Words", [(f"words{place}", class_name(*LENGTHS[place])) for place in there])


def _filter(group: str, title: str, kinds: Sequence[tuple[str, str]]) -> str:
    """Radio buttons that hide, by style alone, the items of every other class; `group` is unique on the page."""
    if len(kinds) < 2:
        return ""
    choices = [("checked", "all"), *((f'class="only-{kind}"', label) for kind, label in kinds)]
    buttons = "".join(
        f'<label><input type="radio" name="{group}" {which}><span>{escape(label)}</span></label>'
        for which, label in choices
    )
    return f"<fieldset><legend>{title}</legend>{buttons}</fieldset>"


def _legend(several: bool) -> Markup:
    alone = "<b>in the reference, and only this system has it</b>" if several else ""
    nobody = "in the reference, and no system has it" if several else "in the reference, but not written"
    return Markup(f'<p class="legend"><mark>not in the reference</mark>{alone}<u>{nobody}</u></p>')
