"""How good a classifier is: figures on examples with answers, for `evaluate`, the page about a run and the card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from ...data.labelled import Example, read_examples
from ...errors import UserError
from ...measure import labels as measured
from ...measure.labels import Bin, Rates
from ...page import classes
from ...page.render import Section
from ...train.run import Run
from ..closing import Told, finished, kept_scores, leave, write_page
from ..evaluated import Evaluated
from ..examples import read_kept
from .classifier import Classifier, load
from .preparing import Kept, labels_of, reread_examples

WORST = 20  # errors that are shown


class Judged(msgspec.Struct, kw_only=True):
    """Figures on some examples. `scores` are (metric, figure, note); `rates`, `table` and `bins` as in
    measure/labels, empty where they make no sense; `worst` errors are (text, answer, said, how sure)."""

    of: str
    examples: int
    scores: list[tuple[str, float, str]]
    labels: list[str] = []
    rates: list[Rates] = []
    table: list[list[int]] = []
    bins: list[Bin] = []
    worst: list[tuple[str, str, str, str]] = []

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """The scores as text."""
        return [
            (metric, f"{score:.4f}" if metric in PLAIN else f"{100 * score:.2f}", note)
            for metric, score, note in self.scores
        ]

    @property
    def sections(self) -> list[Section]:
        """Of a page."""
        found: list[Section | None] = []
        if self.table:
            found.append(classes.confusion_section(self.labels, self.table))
        if self.rates:
            found.append(classes.rates_section(self.labels, self.rates))
        if self.bins:
            found.append(classes.calibration_section(self.bins))
        head, lead = ("Text", "Right", "It said", "How"), "The surest of its wrong answers first."
        if not self.labels:
            head, lead = ("Text", "Right", "It said", "Apart by"), "The farthest of its answers first."
        found.append(classes.errors_section(self.worst, head, lead))
        return [section for section in found if section is not None]


PLAIN = ("Pearson", "Spearman", "RMSE", "mean error", "loss")  # scores that are no shares


def judge(classifier: Classifier, examples: Sequence[Example], of: str) -> Judged:
    """Figures on examples; UserError for a label that the model does not know."""
    kept = classifier.kept
    for example in examples:
        kept.target(example)
    chances = classifier.chances([example.texts for example in examples])  # type: ignore[arg-type]
    texts = [" | ".join(example.texts) for example in examples]
    if kept.kind == "number":
        return _numbers(of, texts, np.array([example.answer for example in examples], np.float64), chances[:, 0])
    wanted = np.array([np.isin(kept.labels, labels_of(example.answer)) for example in examples])
    if kept.kind == "several":
        return _sets(of, texts, kept.labels, wanted, chances)
    return _classes(of, texts, kept.labels, wanted.argmax(1), chances)


def _classes(of: str, texts: Sequence[str], labels: list[str], wanted: np.ndarray, chances: np.ndarray) -> Judged:
    said, everything = chances.argmax(1), np.arange(len(wanted))
    table, sure, right = measured.confusion(wanted, said, len(labels)), chances.max(1), said == wanted
    found, bins = measured.by_label(table), measured.reliability(sure, right)
    low, high = measured.wilson(int(right.sum()), len(right))
    nll = float(-np.log(np.maximum(chances[everything, wanted], 1e-30)).mean())
    wrong = sorted(np.flatnonzero(~right).tolist(), key=lambda n: -sure[n])[:WORST]
    return Judged(
        of=of, examples=len(texts), labels=labels, rates=found, table=table.tolist(), bins=bins,
        scores=[
            ("accuracy", float(right.mean()), f"95 %: {100 * low:.1f} to {100 * high:.1f} (Wilson)"),
            ("macro F1", measured.macro_f1(found), "mean over the labels"),
            ("calibration error", measured.calibration_error(bins), f"expected, {len(bins)} bins; less is better"),
            ("loss", nll, "nats an example; less is better"),
        ],
        worst=[(texts[n], labels[wanted[n]], labels[said[n]], f"{sure[n]:.1%} sure") for n in wrong],
    )  # fmt: skip


def _sets(of: str, texts: Sequence[str], labels: list[str], wanted: np.ndarray, chances: np.ndarray) -> Judged:
    said = chances > 0.5
    found, exact = measured.by_set(wanted, said), (said == wanted).all(1)
    total = measured.micro(found)
    # The reliability of every yes or no, each given with at least a half.
    bins = measured.reliability(np.maximum(chances, 1 - chances).ravel(), (said == wanted).ravel())
    sure = np.where(said != wanted, np.maximum(chances, 1 - chances), 0.0).max(1)
    wrong = sorted(np.flatnonzero(~exact).tolist(), key=lambda n: -sure[n])[:WORST]
    names = lambda row: ", ".join(label for label, there in zip(labels, row, strict=True) if there) or "none"
    return Judged(
        of=of, examples=len(texts), labels=labels, rates=found, bins=bins,
        scores=[
            ("micro F1", total.f1, f"precision {total.precision:.1%}, recall {total.recall:.1%}"),
            ("macro F1", measured.macro_f1(found), "mean over the labels"),
            ("exact", float(exact.mean()), "all labels of an example right"),
            ("calibration error", measured.calibration_error(bins), f"expected, {len(bins)} bins; less is better"),
        ],
        worst=[(texts[n], names(wanted[n]), names(said[n]), f"{sure[n]:.1%} sure") for n in wrong],
    )  # fmt: skip


def _numbers(of: str, texts: Sequence[str], wanted: np.ndarray, said: np.ndarray) -> Judged:
    apart = said - wanted
    wrong = np.argsort(-np.abs(apart), kind="stable")[:WORST]
    return Judged(
        of=of, examples=len(texts),
        scores=[
            ("Pearson", measured.pearson(said, wanted), "linear correlation"),
            ("Spearman", measured.spearman(said, wanted), "correlation of ranks"),
            ("RMSE", float(np.sqrt(np.square(apart).mean())), "root of the mean squared error"),
            ("mean error", float(np.abs(apart).mean()), "absolute"),
        ],
        worst=[(texts[n], f"{wanted[n]:.6g}", f"{said[n]:.6g}", f"{apart[n]:+.6g}") for n in wrong],
    )  # fmt: skip


# ---- evaluate, close, report -----------------------------------------------------------------------------------------


def evaluate(classifier: Classifier, files: Sequence[Path]) -> Evaluated:
    """Scores on files with labels, in the format of training."""
    examples = [example for file in files for example in read_examples(file, classifier.kept.data)]
    if not examples:
        raise UserError(f"{', '.join(map(str, files))}: no examples")
    named = ", ".join(file.name for file in files)
    found = judge(classifier, examples, named)
    return Evaluated(
        f"Labels of {named}",
        f"On {found.examples:,} examples of {named}.",
        found.rows,
        msgspec.to_builtins(found),
        found.sections,
    )


def close(run: Run) -> list[str]:
    """Score the finished model on validation and test, write the page and, last, the card."""
    classifier, data = load(run.model), run.recipe.data
    found = [judge(classifier, reread_examples(run.data / "dev.jsonl"), "validation")]
    if data.test:
        found.append(judge(classifier, [e for file in data.test for e in read_examples(Path(file), data)], "test"))
    page = leave(run, found, lambda: _told(run, found), classifier.model)
    said = [f"{one.of}: " + ", ".join(f"{metric} {score}" for metric, score, _ in one.rows) for one in found]
    return [*said, page]


def write_report(run: Run) -> Path:
    """RUN/report.html, at any time of the run: with scores once it is finished."""
    return write_page(run, _told(run, kept_scores(run.folder, list[Judged]) or []))


def farewell(run: Path) -> str:
    """What to do with the finished run."""
    return f"use it: heedful classify FILE -m {run}"


def _told(run: Run, found: Sequence[Judged]) -> Told:
    kept, data = read_kept(run.data, Kept), run.recipe.data
    last = found[-1:]  # the test, if there is one
    what = {"one": "one of {} labels", "several": "labels, of {}", "number": "a number"}[kept.kind]
    counts = [(f"label {label}", f"{count:,}") for label, count in zip(kept.labels, kept.counts, strict=True)]
    files = ", ".join(Path(file).name for file in data.train)
    return Told(
        lead="A classifier, trained from your own examples." if finished(run) else "A classifier in training.",
        what="A Transformer encoder of {parameters} parameters that gives a text "
        + what.format(len(kept.labels)) + (": " + ", ".join(kept.labels[:20]) if kept.labels else "") + ".",
        use='echo "..." | heedful classify -m MODEL',
        limits=[
            "It knows the kind of text it was trained on, and gives an answer to any other as well.",
            f"A text is cut after {data.longest} tokens.",
            "It repeats what its data holds, mistakes and prejudice included.",
        ],
        facts=[(metric, score, one.of) for one in found for metric, score, _ in one.rows[:2]],
        data=[*kept.notes, *counts[:50]],
        sources=[f"{sum(kept.counts) or 'numbers'} labels of {files}"],
        scores=[(f"{metric}, {one.of}", score, note) for one in found for metric, score, note in one.rows],
        scored=" ".join(f"On {one.examples:,} examples of {one.of}." for one in found),
        sections=[section for one in last for section in one.sections],
    )  # fmt: skip
