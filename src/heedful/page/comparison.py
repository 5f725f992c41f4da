"""The page of an evaluation: scores with their intervals, where systems differ, and the sentences that differ most."""

from __future__ import annotations

from importlib.metadata import version

from ..measure.bootstrap import Comparison, Interval
from ..measure.evaluation import Evaluation
from ..measure.translation import counted
from .charts import bars_svg, interval_svg, signed
from .render import Align, Markup, Section, escape, figure, page, side_by_side, table, verdict
from .sentences import FILTERS, MOST_SENTENCES, changed, lowest
from .style import COMPARISON

READ_AS = {"better": "good", "worse": "bad"}


def comparison_page(evaluation: Evaluation) -> str:
    """One self-contained HTML page, without any script: what it filters, it filters by style."""
    first, *others = evaluation.systems
    sections = [_scores(evaluation)]
    if others:
        sections.append(_differences(evaluation))
    sections.append(_by_length(evaluation))
    if first.frequencies:
        sections.append(_by_frequency(evaluation))
    if others:
        share = MOST_SENTENCES // len(others)
        sections += [changed(evaluation, first, other, number, share) for number, other in enumerate(others)]
    else:
        sections.append(lowest(evaluation, first))
    if len(others) > 1:
        title = f"{len(others) + 1} systems compared"
    else:
        title = f"{others[0].name} against {first.name}" if others else f"How well {first.name} translates"
    many = len(evaluation.references)
    return page(
        title,
        sections,
        lead=f"{counted(evaluation.lines)}, scored against {many} reference{'' if many == 1 else 's'}.",
        facts=_facts(evaluation),
        footer=[f"Made by heedful {version('heedful')}."],
        style=COMPARISON + FILTERS,
    )


def _facts(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    facts = [
        (one.name, f"{one.scores.values['BLEU']:.1f}", f"BLEU; chrF2 {one.scores.values['chrF2']:.1f}")
        for one in evaluation.systems
    ]
    if len(evaluation.systems) == 1:
        facts.append(("Exact", f"{evaluation.systems[0].scores.exact:.1%}", "of lines equal a reference"))
    for one in evaluation.comparisons[: 1 if len(evaluation.systems) == 2 else 0]:
        facts.append(("Difference", signed(one.difference), f"BLEU; p = {one.p:.3f}, {one.verdict}"))
    return facts


def _scores(evaluation: Evaluation) -> Section:
    names = list(evaluation.signatures)
    rows = [
        [
            one.name,
            *(_with_interval(one.scores.values[name], one.intervals[name]) for name in names),
            f"{one.scores.exact:.1%}",
        ]
        for one in evaluation.systems
    ]
    head = ["System", *(f"{name} ↓" if name == "TER" else name for name in names), "Exact"]
    lead = (
        f"Small figures: the middle 95 % of {evaluation.resamples:,} bootstrap resamples of the lines. "
        "More is better" + (", except for TER." if "TER" in names else ".")
    )
    signed = "".join(
        f"<dt>{escape(name)}</dt><dd><code>{escape(signature)}</code></dd>"
        for name, signature in evaluation.signatures.items()
    )
    notes = "".join(f'<p class="note">Note: {escape(note)}.</p>' for note in evaluation.notes)
    align: list[Align] = ["text", *["number"] * (len(names) + 1)]  # type: ignore[list-item]
    return Section(
        "Scores",
        lead,
        (table(head, rows, align), Markup(f'{notes}<dl class="signatures">{signed}</dl>')),
    )


def _with_interval(score: float, interval: Interval) -> Markup:
    return Markup(f"<b>{score:.1f}</b> <small>{interval.low:.1f} to {interval.high:.1f}</small>")


def _differences(evaluation: Evaluation) -> Section:
    first = evaluation.systems[0].name
    bound = max(max(abs(one.interval.low), abs(one.interval.high)) for one in evaluation.comparisons) or 1.0
    several = len(evaluation.systems) > 2
    rows = [[one.second][: int(several)] + _difference(one, bound) for one in evaluation.comparisons]
    head = ["Metric", "Difference", "95 % of resamples", "", "Won", "p", ""]
    align: list[Align] = ["text", "number", "number", "text", "number", "number", "text"]
    lead = (
        f"Paired bootstrap resampling (Koehn 2004), {evaluation.resamples:,} resamples, seed {evaluation.seed}. Won: "
        "in how many resamples the system was ahead. p: how often chance alone makes as large a difference; below 0.05 "
        "the systems are called different."
    )
    parts = table(["System", *head] if several else head, rows, ["text", *align] if several else align)
    return Section(f"Differences from {first}", lead, (parts,))


def _difference(one: Comparison, bound: float) -> list[str]:
    low, high = one.interval.low, one.interval.high
    picture = interval_svg(low, one.difference, high, bound, READ_AS.get(one.verdict, "open"))
    told = Markup("<td>not told apart</td>") if one.p >= 0.05 else verdict(one.verdict == "better", one.verdict)
    bounds = f"{signed(low, 2)} to {signed(high, 2)}"
    return [one.metric, signed(one.difference, 2), bounds, picture, f"{one.wins:.1%}", f"{one.p:.3f}", told]


def _by_length(evaluation: Evaluation) -> Section:
    places = [place for place, part in enumerate(evaluation.systems[0].lengths) if part.lines]
    parts = evaluation.systems[0].lengths
    groups = [(parts[place].name, f"{parts[place].lines:,}") for place in places]

    def picture(name: str, caption: str) -> Markup:
        series = [
            (one.name, [getattr(one.lengths[place], name) for place in places]) for one in evaluation.systems
        ]  # fmt: skip
        svg = bars_svg(groups, series, x_label=f"words in the {evaluation.length_of}", y_label=caption)
        return figure(svg, caption)

    pictures = side_by_side([picture("bleu", "BLEU of the lines"), picture("chrf", "chrF2 of the lines")])
    return Section(
        "By length",
        f"Lines by how many words the {evaluation.length_of} has; the small figures count the lines.",
        (pictures,),
    )


def _by_frequency(evaluation: Evaluation) -> Section:
    classes = evaluation.systems[0].frequencies
    places = [place for place, part in enumerate(classes) if part.words]
    groups = [(classes[place].name, f"{classes[place].words:,}") for place in places]
    series = [(one.name, [one.frequencies[place].recall for place in places]) for one in evaluation.systems]
    wide = len(series) > 2
    labels = {"x_label": "times in training", "y_label": "share of words found"}
    svg = bars_svg(groups, series, **labels, percent=True, width=940 if wide else 480)
    rows = [
        [*group, *(f"{one.frequencies[place].recall:.1%}" for one in evaluation.systems)]
        for group, place in zip(groups, places, strict=True)
    ]
    head = ["Times in training", "Words", *(one.name for one in evaluation.systems)]
    align: list[Align] = ["text", *["number"] * (len(head) - 1)]  # type: ignore[list-item]
    parts = (figure(svg, "Share of the reference's words found."), table(head, rows, align))
    return Section(
        "Rare words",
        "The reference's words by how often the training text has them, and the share that the system wrote in the "
        "same line. Upper and lower case " + ("are alike." if evaluation.options.lowercase else "differ."),
        parts if wide else (side_by_side(parts),),
    )
