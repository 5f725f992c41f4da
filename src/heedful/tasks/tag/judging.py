"""How good a tagger is: figures on sentences with labels, for `evaluate`, the page about a run and the card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from ...data.tagged import Sentence, read_sentences
from ...errors import UserError
from ...measure import labels as measured
from ...measure.entities import entities, entity_rates, to_bio
from ...measure.labels import Rates
from ...page import classes
from ...page.render import Section
from ...train.run import Run
from ..closing import Told, finished, kept_scores, leave, write_page
from ..evaluated import Evaluated
from ..examples import read_kept
from .preparing import Kept
from .tagger import Tagger, load

WORST = 20  # sentences that are shown
MOST_SHOWN = 40  # words of one


class Judged(msgspec.Struct, kw_only=True):
    """Figures on some sentences. `scores` are (metric, share, note), `rates` by type of entity or by label; `table`
    counts labels taken for labels where there are no entities; `worst` are (sentence, wanted, said)."""

    of: str
    sentences: int
    words: int
    entities: bool
    scores: list[tuple[str, float, str]]
    rates: dict[str, Rates]
    table: list[list[int]] = []
    worst: list[tuple[str, str, str]] = []

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """The scores as text."""
        return [(metric, f"{100 * score:.2f}", note) for metric, score, note in self.scores]

    @property
    def scored(self) -> str:
        return f"On {self.sentences:,} sentences, {self.words:,} words, of {self.of}."

    @property
    def sections(self) -> list[Section]:
        """Of a page."""
        names = list(self.rates)
        if self.entities:
            lead = "An entity is right if its type, its first and its last word are (as conlleval counts)."
            found: list[Section | None] = [classes.rates_section(names, list(self.rates.values()), "type", lead)]
        else:
            found = [classes.confusion_section(names, self.table)]
            found.append(classes.rates_section(names, list(self.rates.values())))
        head, lead = (
            ("Sentence", "Right", "It said"),
            "The sentences with most errors, of equal ones the shorter first.",
        )
        found.append(classes.errors_section(self.worst, head, lead))
        return [section for section in found if section is not None]


def judge(tagger: Tagger, sentences: Sequence[Sentence], of: str) -> Judged:
    """Figures on sentences; UserError for a label that the model does not know."""
    kept = tagger.kept
    wanted = [kept.written(sentence) for sentence in sentences]
    said = [labels for labels, _ in tagger.tag_words([sentence.words for sentence in sentences])]
    pairs = [pair for own, other in zip(wanted, said, strict=True) for pair in zip(own, other, strict=True)]
    accuracy = sum(own == other for own, other in pairs) / len(pairs)
    whole = sum(own == other for own, other in zip(wanted, said, strict=True)) / len(wanted)
    common = [
        ("accuracy", accuracy, "of words"), ("sentences", whole, "without any error"),
    ]  # fmt: skip
    table: list[list[int]] = []
    if kept.entities:
        rates = entity_rates(wanted, said)
        total = measured.micro(list(rates.values()))
        scores = [("F1", total.f1, "of entities: type and both ends right, as conlleval counts")]
        scores += [("precision", total.precision, "of entities"), ("recall", total.recall, "of entities")]
    else:
        number = {label: place for place, label in enumerate(kept.labels)}
        counts = np.array([(number[own], number[other]) for own, other in pairs], np.int64).T
        matrix = measured.confusion(counts[0], counts[1], len(number))
        rates, table = dict(zip(kept.labels, measured.by_label(matrix), strict=True)), matrix.tolist()
        scores = [("macro F1", measured.macro_f1(list(rates.values())), "mean over the labels")]
        scores = [*scores]
    return Judged(
        of=of, sentences=len(sentences), words=len(pairs), entities=kept.entities, scores=[*scores, *common],
        rates=rates, table=table, worst=_worst(sentences, wanted, said, kept.entities),
    )  # fmt: skip


def _worst(
    sentences: Sequence[Sentence], wanted: Sequence[list[str]], said: Sequence[list[str]], named: bool
) -> list[tuple[str, str, str]]:
    """The sentences with most errors: entities that are wrong or missing, or words."""
    errors = []
    for place, (own, other) in enumerate(zip(wanted, said, strict=True)):
        if named:
            count = len(set(entities(own)) ^ set(entities(other)))
        else:
            count = sum(one != two for one, two in zip(own, other, strict=True))
        if count:
            errors.append((-count, len(own), place))
    shown = []
    for _, _, place in sorted(errors)[:WORST]:
        words = sentences[place].words[:MOST_SHOWN]
        cells = (_listed(words, labels, named) for labels in (wanted[place], said[place]))
        shown.append((" ".join(words), *cells))
    return shown  # type: ignore[return-value]


def _listed(words: Sequence[str], labels: Sequence[str], named: bool) -> str:
    """Entities with their types, or words with their labels, as one text."""
    if not named:
        return " ".join(f"{word}/{label}" for word, label in zip(words, labels, strict=False))
    found = entities(to_bio(labels[: len(words)]))
    return "; ".join(f"{' '.join(words[start:end])} ({label})" for label, start, end in found) or "none"


# ---- evaluate, close, report -----------------------------------------------------------------------------------------


def evaluate(tagger: Tagger, files: Sequence[Path]) -> Evaluated:
    """Scores on files with labels, in the format of training."""
    sentences = [one for file in files for one in read_sentences(file, tagger.kept.fields)]
    if not sentences:
        raise UserError(f"{', '.join(map(str, files))}: no sentences")
    named = ", ".join(file.name for file in files)
    found = judge(tagger, sentences, named)
    return Evaluated(f"Labels of {named}", found.scored, found.rows, msgspec.to_builtins(found), found.sections)


def close(run: Run) -> list[str]:
    """Score the finished model on validation and test, write the page and, last, the card."""
    tagger, data = load(run.model), run.recipe.data
    found = [judge(tagger, [*read_sentences(run.data / "dev.jsonl")], "validation")]
    if data.test:
        found.append(judge(tagger, [s for file in data.test for s in read_sentences(Path(file), data.fields)], "test"))
    page = leave(run, found, lambda: _told(run, found), tagger.model)
    said = [f"{one.of}: " + ", ".join(f"{metric} {score}" for metric, score, _ in one.rows) for one in found]
    return [*said, page]


def write_report(run: Run) -> Path:
    """RUN/report.html, at any time of the run: with scores once it is finished."""
    return write_page(run, _told(run, kept_scores(run.folder, list[Judged]) or []))


def farewell(run: Path) -> str:
    """What to do with the finished run."""
    return f'use it: heedful tag "..." -m {run}'


def _told(run: Run, found: Sequence[Judged]) -> Told:
    kept, data = read_kept(run.data, Kept), run.recipe.data
    what = "entities" if kept.entities else "labels"
    files = ", ".join(Path(file).name for file in data.train)
    return Told(
        lead="A tagger of words, trained from your own sentences." if finished(run) else "A tagger in training.",
        what="A Transformer encoder of {parameters} parameters that "
        + ("finds names in a text: " if kept.entities else "gives each word a label: ")
        + ", ".join([*kept.counts][:30]) + ".",
        use='heedful tag "..." -m MODEL',
        limits=[
            "It knows the kind of text it was trained on, and nothing else.",
            "Its words were cut by the data's makers; a raw text is cut at white space and punctuation.",
            f"Sentences of more than {data.longest} tokens are read in windows.",
        ],
        facts=[(metric, score, one.of) for one in found for metric, score, _ in one.rows[:1]],
        data=[*kept.notes, *((f"{what}: {label}", f"{count:,}") for label, count in [*kept.counts.items()][:50])],
        sources=[f"{sum(kept.counts.values()):,} {what} of {files}"],
        scores=[(f"{metric}, {one.of}", score, note) for one in found for metric, score, note in one.rows],
        scored=" ".join(one.scored for one in found),
        sections=[section for one in found[-1:] for section in one.sections],
    )  # fmt: skip
