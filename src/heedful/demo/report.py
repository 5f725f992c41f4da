"""What the demo shows at its end: a table in the terminal and a page with curves, scores, samples and attention."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..inside.alignment import align, cross_attention, words_of
from ..page import drawing, render
from ..train.distributed import cores
from ..train.journal import read
from .corpus import KINDS, TARGETS, combinations, names

if TYPE_CHECKING:
    from rich.console import Console

    from ..tasks.translate import Translator
    from .run import Scored

TARGET_NAMES = {"de": "German", "fr": "French", "es": "Spanish"}
SAMPLES = 4  # of each language, and as many mistakes at most


def share(scored: Sequence[Scored], kind: str | None = None, target: str | None = None) -> float:
    """Exact matches among the phrases of a kind and a language (None: all)."""
    chosen = [
        one.exact
        for one in scored
        if kind in (None, one.example.kind) and target in (None, one.example.target_language)
    ]
    return sum(chosen) / len(chosen)


def print_table(console: Console, scored: Sequence[Scored]) -> None:
    """Exact match by kind and language."""
    from rich.table import Table

    table = Table(title="exact match on held-out phrases", title_justify="left")
    table.add_column("kind")
    for target in TARGETS:
        table.add_column(TARGET_NAMES[target], justify="right")
    table.add_column("all", justify="right")
    for kind in (*KINDS, None):
        row = [f"{share(scored, kind, target):.1%}" for target in (*TARGETS, None)]
        table.add_row(kind or "all", *row, style="bold" if kind is None else None, end_section=kind == KINDS[-1])
    console.print(table)


def write_page(folder: Path, translator: Translator, scored: Sequence[Scored], trained: float, began: float) -> Path:
    """FOLDER/report.html; `trained` is in seconds, `began` the monotonic time at which the demo began."""
    journal = read(folder / "run" / "journal.jsonl")
    parameters = sum(parameter.numel() for parameter in translator.model.parameters())
    phrases = sum(1 for one in scored if one.example.target_language == TARGETS[0])
    facts = [
        (TARGET_NAMES[target], f"{share(scored, target=target):.1%}", f"of {phrases} phrases exact")
        for target in TARGETS
    ]
    facts.append(("Training", f"{trained:.0f} s", f"{parameters / 1e6:.1f} M parameters, {_cores()}"))
    counts = combinations()
    lead = (
        "English dates, times, prices, units and lists, written in German, French and Spanish by one small "
        "Transformer. It was trained just now, on this computer, on phrases made from Unicode CLDR data. The phrases "
        "below are new to it: no number, day, time of day or list of names in them occurs in its training."
    )
    text = render.page(
        f"A translator, trained in {trained:.0f} seconds",
        [_scores(scored), _curves(journal), _attention(translator, scored), _samples(scored)],
        lead=lead,
        facts=facts,
        footer=[
            f"{sum(counts.values()):,} different phrases can be made of {sum(map(len, names().values()))} names, "
            "of numbers, days and times.",
            f"Made by heedful {version('heedful')} in {time.monotonic() - began:.0f} seconds, everything included.",
        ],
    )
    path = folder / "report.html"
    try:
        path.write_bytes(text.encode())
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None
    return path


def _scores(scored: Sequence[Scored]) -> render.Section:
    rows = []
    for kind in KINDS:
        cells: list[str] = [kind]
        for target in TARGETS:
            value = share(scored, kind, target)
            cells += [f"{value:.1%}", render.bar(value, 110)]
        rows.append(cells)
    head = ["Kind", *(cell for target in TARGETS for cell in (TARGET_NAMES[target], ""))]
    table = render.table(head, rows, ["text", *["number", "text"] * len(TARGETS)])  # type: ignore[list-item]
    return render.Section(
        "Exact match", "Phrases whose translation equals the reference, character for character.", (table,)
    )


def _curves(journal: Sequence[dict[str, Any]]) -> render.Section:
    steps = [line for line in journal if line["kind"] == "step"]
    elapsed = {line["step"]: line["elapsed"] for line in steps}
    dev = [line for line in journal if line["kind"] == "validation" and line["step"] in elapsed]

    def picture(trained_on: str, held_out: str, label: str, caption: str, **options: Any) -> render.Markup:
        series = [
            render.Series("training", [(line["elapsed"], line[trained_on]) for line in steps]),
            render.Series("held out", [(elapsed[line["step"]], line[held_out]) for line in dev]),
        ]
        return render.figure(render.curve_svg(series, x_label="seconds", y_label=label, **options), caption)

    loss = picture("nll", "loss", "loss", "Loss: nats per token, on a log scale.", scale="log")
    right = "Tokens guessed right, given those before."
    accuracy = picture("accuracy", "accuracy", "accuracy", right, percent=True, y_range=(0, 1))
    return render.Section(
        "Learning", "Step by step on its training phrases, and now and then on held-out ones.",
        (render.side_by_side([loss, accuracy]),),
    )  # fmt: skip


def _attention(translator: Translator, scored: Sequence[Scored]) -> render.Section:
    """One appointment, translated into German and French; rightly if possible."""
    pictures = []
    for target in TARGETS[:2]:
        mine = [one for one in scored if (one.example.kind, one.example.target_language) == ("appointments", target)]
        one = min(mine, key=lambda one: (not one.exact, len(one.example.source)))
        pictures.append(render.figure(attention_picture(translator, one), f"English into {TARGET_NAMES[target]}."))
    return render.Section(
        "Where it looks",
        "Each row is a word as it is written; the darker a field, the more of that English word was read for it (mean "
        "of the heads of the last layer). It shows what was read, which is not yet why.",
        (render.side_by_side(pictures),),
    )


def attention_picture(translator: Translator, one: Scored) -> render.Markup:
    """The cross-attention of the last layer by words, while the hypothesis of a phrase is written."""
    tokenizer = translator.tokenizers["target"]
    source = translator.encode(one.example.source, one.example.target_language)
    target = tokenizer.encode(one.hypothesis)
    layers = cross_attention(translator.model, source, [tokenizer.start, *target])
    written, read = words_of(tokenizer, [*target, tokenizer.end]), words_of(translator.tokenizers["source"], source)
    weights = align(list(layers.values())[-1].mean(0), written, read)
    tag, *words, _ = read.texts
    return drawing.heat_map(weights.tolist(), [*written.texts[:-1], "(end)"], [f"<{tag}>", *words, "(end)"])


def _samples(scored: Sequence[Scored]) -> render.Section:
    chosen = []
    for number, target in enumerate(TARGETS):
        mine = [one for one in scored if one.example.target_language == target]
        kinds = [KINDS[(number + 2 * place) % len(KINDS)] for place in range(SAMPLES)]
        chosen += [next(one for one in mine if one.example.kind == kind) for kind in kinds]
    wrong = [one for one in scored if not one.exact and one not in chosen]
    rows = [
        (TARGET_NAMES[one.example.target_language], one.example.source, one.hypothesis, one.example.target)
        for one in (*chosen, *wrong[: 2 * SAMPLES])
    ]
    lead = "The first held-out phrase of some kinds" + (
        ", then some mistakes." if wrong else "; there are no mistakes."
    )
    return render.Section("Samples", lead, (render.samples(rows, ("Into", "English", "Translation", "")),))


def _cores() -> str:
    return f"{cores()} core{'s' if cores() != 1 else ''}"
