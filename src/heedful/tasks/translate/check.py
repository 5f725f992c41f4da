"""What `heedful check` finds out about a translation recipe and its files before anything runs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from ...config import Recipe, write_toml
from ...data.cleaning import Dropped, Norms
from ...data.selection import Chosen, select
from ...data.splits import Corpus, Splits, splits
from ...data.survey import Overlap, Side, Survey, overlap
from ...errors import UserError
from ...model.hardware import physical_memory
from .sizes import complete
from .trial import Trial, try_out

MOST_DROPPED = 0.2  # of a training corpus; beyond, something is wrong with it or with the rules
MOST_LEAKED = 0.01  # of a dev or test corpus: a few accidents are left out of training, more are a wrong split


class Surveyed(Struct, kw_only=True):
    """What is in a corpus. `duplicates` are pairs that were there before."""

    name: str
    tag: str | None
    files: list[str]
    pairs: int
    empty: int
    duplicates: int
    source: Side
    target: Side
    overlap: Overlap | None = None  # with the training corpora: of dev and test corpora


class Cleaned(Struct, kw_only=True):
    """What the rules do to a training corpus: `rules` are on; `others` are off and say what each would leave out."""

    name: str
    read: int
    kept: int
    held_out: int
    rules: list[Dropped]
    others: list[Dropped]


class Report(Struct, kw_only=True):
    """Everything `heedful check` says. With `problems` something is seriously wrong; `notes` are worth a look."""

    format: int = 1
    recipe: str
    corpora: list[Surveyed]
    cleaning: list[Cleaned]
    trial: Trial | None
    problems: list[str]
    notes: list[str]


def check(recipe: Recipe, root: Path | None = None, say: Callable[[str], None] = lambda line: None) -> Report:
    """Read all files, judge every pair, and train on some batches. UserError for what training would refuse, too.

    `say` hears what is being done.
    """
    recipe = complete(recipe, root)
    found = splits(recipe.data)
    say("reading the files")
    corpora, norms = _survey(found)
    say("judging every training pair")
    chosen = select(recipe, found, all_rules=True, norms=norms)
    cleaning = [_cleaned(found, chosen, number) for number in range(len(found.train))]
    trial = None
    if all(one.kept for one in cleaning):
        say("training on some batches")
        try:
            with tempfile.TemporaryDirectory(prefix="heedful-check-") as folder:
                trial = try_out(recipe, found, chosen, Path(folder))
        except OSError as error:
            raise UserError(f"{tempfile.gettempdir()}: {error.strerror}; free some space or set TMPDIR") from None
    report = Report(recipe=write_toml(recipe), corpora=corpora, cleaning=cleaning, trial=trial, problems=[], notes=[])
    _judge(report, recipe)
    return report


def _survey(found: Splits) -> tuple[list[Surveyed], dict[str, Norms]]:
    train = [(corpus, Survey()) for corpus in found.train]
    for corpus, survey in train:
        for pair in corpus.pairs():
            survey.add(pair)
    corpora = [_surveyed(corpus, survey) for corpus, survey in train]
    for corpus in [*([] if found.held_out else found.dev), *found.test]:
        survey = Survey()
        for pair in corpus.pairs():
            survey.add(pair)
        corpora.append(_surveyed(corpus, survey))
        # A sentence that is there in another language is no leak.
        same = [other for one, other in train if corpus.tag in (None, one.tag)]
        corpora[-1].overlap = overlap(corpus.pairs(), same)
    return corpora, {corpus.name: survey.norms for corpus, survey in train}


def _surveyed(corpus: Corpus, survey: Survey) -> Surveyed:
    return Surveyed(
        name=corpus.name,
        tag=corpus.tag,
        files=[str(path) for path in corpus.paths()],
        pairs=survey.pairs,
        empty=survey.empty,
        duplicates=survey.duplicates,
        source=survey.side(0),
        target=survey.side(1),
    )


def _cleaned(found: Splits, chosen: dict[str, Chosen], number: int) -> Cleaned:
    one = chosen[found.train[number].name]
    return Cleaned(
        name=one.corpus.name,
        read=one.read,
        kept=one.kept,
        held_out=chosen[found.dev[number].name].kept if found.held_out else 0,
        rules=one.dropped,
        others=one.others,
    )


def _judge(report: Report, recipe: Recipe) -> None:
    """Say what is wrong, and what is worth a look."""
    for cleaned in report.cleaning:
        lost = cleaned.read - cleaned.kept - cleaned.held_out
        if not cleaned.kept:
            report.problems.append(f"{cleaned.name}: nothing is left to train on, of {cleaned.read:,} pairs")
        elif lost > MOST_DROPPED * cleaned.read:
            worst = max(cleaned.rules, key=lambda rule: rule.count)
            report.problems.append(
                f"{cleaned.name}: {lost:,} of {cleaned.read:,} pairs ({percent(lost, cleaned.read)}) are left out, "
                f"most as {worst}"
            )
        for rule in cleaned.others:
            if rule.count > 0.01 * cleaned.read:
                report.notes.append(
                    f"{cleaned.name}: {rule} ({percent(rule.count, cleaned.read)}), which stay: look at the examples, "
                    f"then decide on cleaning.{rule.rule}"
                )
    for cleaned in report.cleaning:
        repeated = sum(rule.count for rule in cleaned.others if rule.rule == "same_source")
        if cleaned.held_out and repeated > MOST_LEAKED * cleaned.read:
            report.notes.append(
                f"{cleaned.name}: {repeated:,} sources are there more than once, so some held-out ones are trained on "
                "with another target, and validation looks too good: give dev files"
            )
    for corpus in report.corpora:
        if corpus.overlap is not None:
            _judge_overlap(report, corpus, corpus.overlap, recipe.cleaning.leaks)
    if report.trial is not None:
        _judge_trial(report, report.trial, recipe)


def _judge_overlap(report: Report, corpus: Surveyed, found: Overlap, left_out: bool) -> None:
    leaks = f"{corpus.name}: {found.pairs:,} of {found.of:,} pairs are also in the training files"
    if found.pairs and not left_out:
        report.problems.append(f"{leaks} and trained on: set cleaning.leaks=true")
    elif found.pairs > MOST_LEAKED * found.of:
        report.problems.append(f"{leaks} ({percent(found.pairs, found.of)}): divide them anew")
    elif found.pairs:
        report.notes.append(f"{leaks}; training leaves them out")
    if found.sources:
        report.notes.append(
            f"{corpus.name}: {found.sources:,} of {found.of:,} sources are in the training files with another target"
        )


def _judge_trial(report: Report, trial: Trial, recipe: Recipe) -> None:
    memory = physical_memory()
    if memory is not None and trial.device == "cpu" and trial.all_memory > memory:
        report.problems.append(
            f"training needs about {trial.all_memory / 1e9:.1f} GB, this machine has {memory / 1e9:.1f} GB: lower "
            "training.batch_tokens or training.processes, or choose a smaller model"
        )
    if not trial.loss < float("inf"):  # nan is not, either
        report.problems.append(f"the loss of the first batch is {trial.loss}: try training.precision=fp32")
    if trial.too_long > MOST_DROPPED * sum(cleaned.kept for cleaned in report.cleaning):
        report.problems.append(
            f"about {trial.too_long:,} pairs are longer than data.longest = {recipe.data.longest} tokens"
        )
    warmup = recipe.training.warmup or 0
    if trial.steps is not None and warmup > trial.steps / 2:
        report.notes.append(
            f"training.warmup = {warmup} steps of about {trial.steps:,.0f}: the learning rate hardly gets to its peak"
        )
    if trial.epochs is not None and trial.epochs < 1:
        report.notes.append(f"the run sees about {100 * trial.epochs:.0f} % of the data: train longer or on less")


def percent(part: int, whole: int) -> str:
    return f"{100 * part / max(1, whole):.1f} %"
