"""The page about a run: what was learned from what, how it went, how good it is, and how to make it again.

Everything comes in as plain values, so that the page can be made of any task's run, at any moment of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import render
from .render import Markup, Section, Series, escape

EXAMPLES = 10  # of pairs left out, for each rule
LONGEST_TEXT = 300  # characters of a sentence that are shown
METRICS = {
    "bleu": "BLEU", "chrf": "chrF2", "accuracy": "Accuracy", "f1": "F1", "exact": "Exact match",
    "recall": "Recall at 10", "correlation": "Correlation",
}  # fmt: skip
SHARES = ("accuracy", "f1", "exact", "recall")  # between 0 and 1


@dataclass(frozen=True)
class Story:
    """A run in plain values. `journal` holds its lines; `recipe` is TOML; `facts` are (label, figure, note).

    `dropped` is what cleaning left out: a rule's name, its count, and examples with "where", "source" and "target".
    `scores` are rows (metric, score, signature); `lengths` rows (words, sentences, score between 0 and 100). `sections`
    are the task's own, shown after the scores; `counted` is what its speed is counted in.
    """

    title: str
    lead: str
    recipe: str
    journal: Sequence[Mapping[str, Any]]
    facts: Sequence[tuple[str, str, str]] = ()
    data: Sequence[tuple[str, str]] = ()
    dropped: Sequence[Mapping[str, Any]] = ()
    scores: Sequence[tuple[str, str, str]] = ()
    scored: str = ""
    lengths: Sequence[tuple[str, int, float]] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    footer: Sequence[str] = ()
    sections: Sequence[Section] = ()
    counted: str = "tokens"


def run_page(story: Story) -> str:
    """The page as HTML. What there is nothing to say about is left out."""
    own = [_quality(story), *story.sections]
    sections = [*own, _learning(story.journal, story.counted), _data(story), _samples(story.journal), _making(story)]
    return render.page(
        story.title,
        [section for section in sections if section is not None],
        lead=story.lead,
        facts=story.facts,
        footer=story.footer,
    )


def _quality(story: Story) -> Section | None:
    if not story.scores:
        return None
    parts = [render.table(("Metric", "Score", "Signature"), story.scores, ("text", "number", "text"))]
    if story.lengths:
        rows = [(words, f"{count:,}", f"{score:.1f}", render.bar(score / 100)) for words, count, score in story.lengths]
        head = ("Words of the source", "Sentences", "chrF2", "")
        parts.append(render.table(head, rows, ("text", "number", "number")))
    return Section("How good it is", story.scored, tuple(parts))


def _learning(journal: Sequence[Mapping[str, Any]], counted: str) -> Section | None:
    steps = [line for line in journal if line.get("kind") == "step"]
    dev = [line for line in journal if line.get("kind") == "validation"]
    if not steps:
        return None

    def points(lines: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
        return [(float(line["step"]), float(line[key])) for line in lines if isinstance(line.get(key), (int, float))]

    def picture(label: str, caption: str, *series: tuple[str, list[tuple[float, float]]], **options: Any) -> Markup:
        drawn = [Series(name, found) for name, found in series if found]
        return render.figure(render.curve_svg(drawn, x_label="step", y_label=label, **options), caption)

    loss = picture(
        "loss", "Loss in nats, without smoothing, on a log scale.",
        ("training", points(steps, "nll")), ("validation", points(dev, "loss")), scale="log",
    )  # fmt: skip
    pictures = [loss]
    for key, name in METRICS.items():
        if found := points(dev, key):
            training = [("training", points(steps, key))] if key == "accuracy" else []
            caption = f"{name} on the validation set."
            scale: dict[str, Any] = {"percent": True, "y_range": (0, 1)} if key in SHARES else {}
            pictures.append(picture(name, caption, *training, ("validation", found), **scale))
    pictures.append(picture("rate", "Learning rate.", ("rate", points(steps, "rate"))))
    told = f"{counted[0].upper()}{counted[1:]} learned from in a second."
    pictures.append(picture(f"{counted.split()[-1]}/s", told, ("speed", points(steps, "speed"))))
    return Section("How it learned", _mishaps(journal), (render.side_by_side(pictures),))


def _mishaps(journal: Sequence[Mapping[str, Any]]) -> str:
    """What went not as usual, in a sentence."""
    count = {kind: sum(line.get("kind") == kind for line in journal) for kind in ("resume", "skipped", "rollback")}
    said = [
        f"resumed {count['resume']} times" if count["resume"] else "",
        f"{count['skipped']} steps skipped because a loss or a gradient was not finite" if count["skipped"] else "",
        f"went back to older weights {count['rollback']} times" if count["rollback"] else "",
    ]
    told = "; ".join(part for part in said if part)
    return f"{told[0].upper()}{told[1:]}." if told else "Without interruption; no step was skipped."


def _data(story: Story) -> Section | None:
    if not story.data:
        return None
    parts = [render.table(("What", "How much"), story.data, ("text", "number"))]
    for rule in story.dropped:
        if rule.get("count"):
            shown = list(rule.get("examples", ()))[:EXAMPLES]
            rows = [tuple(_cut(str(one.get(key, ""))) for key in ("where", "source", "target")) for one in shown]
            of = (
                f"{rule['count']:,}, of which {len(rows)} are shown"
                if len(rows) < rule["count"]
                else f"{rule['count']:,}"
            )
            inside = render.table(("Where", "Source", "Target"), rows)
            parts.append(Markup(f"<details><summary>{escape(str(rule['rule']))}: {of}</summary>{inside}</details>"))
    return Section(
        "What it learned from", "Nothing is dropped silently: what was left out, by rule, opens below.", tuple(parts)
    )


def _samples(journal: Sequence[Mapping[str, Any]]) -> Section | None:
    """The same sentences at some validations, from first to last."""
    told = [line for line in journal if line.get("kind") == "validation" and line.get("samples")]
    if not told:
        return None
    spread = sorted({round(place * (len(told) - 1) / 4) for place in range(5)})
    parts = []
    for number, sample in enumerate(told[-1]["samples"]):
        rows = [(f"step {told[at]['step']:,}", _cut(told[at]["samples"][number]["output"])) for at in spread]
        rows.append(("reference", _cut(sample["reference"])))
        parts.append(Markup(f"<h3>{escape(_cut(sample['source']))}</h3>"))
        parts.append(render.table(("At", "Output"), rows))
    return Section("What it said on the way", "On examples it never trained on, while it was learning.", tuple(parts))


def _making(story: Story) -> Section:
    rows = [(name, value) for name, value in story.environment.items()]
    recipe = Markup(f"<details><summary>The recipe, complete</summary><pre>{escape(story.recipe)}</pre></details>")
    timed = any(line.get("kind") == "finished" and line.get("over") == "time" for line in story.journal)
    said = "With the same recipe, versions and threads, the same bits come out."
    if timed:
        said = "A time limit ended it: with the same recipe another run makes more steps, or fewer."
    return Section("How it was made", said, (render.table(("What", "Which"), rows), recipe))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
