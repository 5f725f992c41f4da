"""The report of `heedful check` as lines for a terminal. Characters that a terminal might obey are spelt out."""

from __future__ import annotations

from collections.abc import Iterator

from ...data.cleaning import Dropped, Example
from ...data.survey import Character, Lengths, Overlap, Side
from ...errors import visible
from .check import Cleaned, Report, Surveyed, percent
from .trial import Trial

WIDEST = 100  # characters of a text


def text_of(report: Report) -> str:
    """The whole report, problems last."""
    lines: list[str] = []
    for corpus in report.corpora:
        lines += [*_corpus(corpus), ""]
    for cleaned in report.cleaning:
        lines += [*_cleaning(cleaned), ""]
    if report.trial is not None:
        lines += [*_trial(report.trial), ""]
    lines += [f"note: {visible(note)}" for note in report.notes]
    lines += [f"PROBLEM: {visible(problem)}" for problem in report.problems]
    return "\n".join([*lines, "" if report.problems else "no problem found", ""]).replace("\n\n\n", "\n\n")


def _corpus(corpus: Surveyed) -> Iterator[str]:
    yield f"{corpus.name}{f' ({corpus.tag})' if corpus.tag else ''}: {corpus.pairs:,} pairs"
    for file in corpus.files:
        yield f"  {visible(file)}"
    yield (
        f"  {corpus.duplicates:,} duplicates ({percent(corpus.duplicates, corpus.pairs)}), "
        f"{corpus.empty:,} with an empty side, {corpus.source.repeated:,} sources and {corpus.target.repeated:,} "
        "targets that were there before"
    )
    if corpus.overlap is not None:
        yield from _overlap(corpus.overlap)
    for name, side in (("source", corpus.source), ("target", corpus.target)):
        yield from _side(name, side)


def _overlap(found: Overlap) -> Iterator[str]:
    yield (
        f"  also in training: {found.pairs:,} pairs ({percent(found.pairs, found.of)}), and the source alone of "
        f"{found.sources:,} more ({percent(found.sources, found.of)})"
    )
    yield from _examples(found.examples[:3])


def _side(name: str, side: Side) -> Iterator[str]:
    letters = sum(side.scripts.values())
    written = ", ".join(f"{script.capitalize()} {percent(count, letters)}" for script, count in side.scripts.items())
    yield f"  {name}: {written or 'no letters'}; {side.different_characters:,} different characters"
    yield f"    words       {_lengths(side.words)}"
    yield f"    characters  {_lengths(side.characters)}"
    if side.rare_count:
        yield f"    rare, seen less than 5 times: {side.rare_count:,}, such as {_characters(side.rare)}"
    if side.odd_count:
        yield f"    invisible or damaged: {side.odd_count:,} characters, {_characters(side.odd, named=True)}"


def _lengths(lengths: Lengths) -> str:
    return (
        f"mean {lengths.mean:.1f}, half up to {lengths.p50:,}, 95 % up to {lengths.p95:,}, 99 % up to {lengths.p99:,}, "
        f"longest {lengths.longest:,}"
    )


def _characters(characters: list[Character], named: bool = False) -> str:
    if named:
        return ", ".join(f"{one.name} x {one.count:,}" for one in characters[:5])
    return " ".join(visible(one.character) for one in characters[:20])


def _cleaning(cleaned: Cleaned) -> Iterator[str]:
    held = f", {cleaned.held_out:,} held out for validation" if cleaned.held_out else ""
    yield f"cleaning of {cleaned.name}: {cleaned.kept:,} of {cleaned.read:,} pairs to train on{held}"
    yield "  rules that are on leave out:"
    yield from _rules(cleaned.rules)
    yield "  rules that are off would leave out besides:"
    yield from _rules(cleaned.others)


def _rules(rules: list[Dropped]) -> Iterator[str]:
    for rule in rules:
        setting = {"empty": "always on"}.get(rule.rule, f"cleaning.{rule.rule}")
        yield f"    {rule}  ({setting})"
        yield from _examples(rule.examples)


def _examples(examples: list[Example]) -> Iterator[str]:
    for one in examples:
        yield f"      {visible(one.where)}"
        yield f"        {visible(one.source, WIDEST)}"
        yield f"        {visible(one.target, WIDEST)}"


def _trial(trial: Trial) -> Iterator[str]:
    sample = "all pairs" if trial.exact else f"a sample of {trial.sampled:,} pairs"
    yield (
        f"one batch tried: {trial.parameters:,} parameters, {trial.vocabulary:,} tokens in the vocabulary (learnt on "
        f"{sample}); {trial.device}, {trial.precision}"
    )
    yield (
        f"  a pair has {trial.source_tokens:.1f} source and {trial.target_tokens:.1f} target tokens; "
        f"{'' if trial.exact else 'about '}{trial.too_long:,} pairs are too long (data.longest)"
    )
    yield (
        f"  the largest batch: {trial.largest_rows:,} pairs, {trial.largest_source_tokens:,} source and "
        f"{trial.largest_target_tokens:,} target tokens; loss {trial.loss:.3f}"
    )
    yield (
        f"  memory {_bytes(trial.memory)} a process, {_bytes(trial.all_memory)} for {trial.processes}; "
        f"disk {_bytes(trial.disk)}: data {_bytes(trial.shards)}, {trial.checkpoints} checkpoints of "
        f"{_bytes(trial.checkpoint)}"
    )
    yield (
        f"  an epoch: {trial.micro_batches:,} batches, {trial.steps_an_epoch:,} steps, {_time(trial.epoch_seconds)} "
        f"at {trial.speed:,.0f} target tokens/s"
    )
    if trial.epochs is not None and trial.steps is not None:
        yield f"  the run: about {trial.steps:,.0f} steps, {trial.epochs:.1f} epochs"
    for assumption in trial.assumptions:
        yield f"  assumed for {assumption}"


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
