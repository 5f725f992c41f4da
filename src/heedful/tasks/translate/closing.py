"""What a finished run leaves for its readers: scores on the validation set, report.html, and the model's card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from ...data.parallel import texts_of
from ...data.readers import Pair
from ...data.selection import Account, read_accounts
from ...data.splits import Corpus, splits
from ...measure import evaluation
from ...train.run import Run
from ..closing import Told, finished, kept_scores, leave, write_page
from .translator import Translator, load
from .validation import spread

SENTENCES = 2000  # of each validation corpus, spread evenly over it


class Scored(msgspec.Struct, kw_only=True):
    """RUN/scores.json: how good the finished model is on one validation corpus."""

    language: str | None
    sentences: int
    of: int
    scores: list[tuple[str, float, str]]  # metric, score, signature
    lengths: list[tuple[str, int, float]]  # words of the source, sentences, chrF2


def close(run: Run) -> list[str]:
    """Score the finished model, write the page and, last, the card; lines that say where they are.

    What fails here costs nothing of the run: `heedful report RUN --score` does it again.
    """
    translator, data = load(run.model), splits(run.recipe.data)
    found = [_score(translator, run.data, corpus, data.held_out) for corpus in data.dev]
    page = leave(run, found, lambda: _told(run, found), translator.model)
    said = [
        f"validation{f' ({one.language})' if one.language else ''}: "
        + ", ".join(f"{metric} {score:.1f}" for metric, score, _ in one.scores)
        for one in found
    ]
    return [*said, page]


def write_report(run: Run) -> Path:
    """RUN/report.html, at any time of the run: with scores once it is finished."""
    return write_page(run, _told(run, kept_scores(run.folder, list[Scored]) or []))


# ---- scores ---------------------------------------------------------------------------------------------------------


def _score(translator: Translator, data: Path, corpus: Corpus, held_out: bool) -> Scored:
    pairs, of = _some(texts_of(data, corpus.name) if held_out else list(corpus.pairs()))
    sources, references = [pair.source for pair in pairs], [pair.target for pair in pairs]
    answers = translator.translate(sources, corpus.tag)
    found = evaluation.evaluate([references], {"model": answers}, source=sources)
    system = found.systems[0]
    scores = [(name, value, found.signatures[name]) for name, value in system.scores.values.items()]
    lengths = [(part.name, part.lines, part.chrf) for part in system.lengths if part.lines and part.chrf is not None]
    return Scored(language=corpus.tag, sentences=len(pairs), of=of, scores=scores, lengths=lengths)


def _some(pairs: Sequence[Pair]) -> tuple[list[Pair], int]:
    """Pairs to score, and of how many."""
    return [pairs[number] for number in spread(len(pairs), SENTENCES)], len(pairs)


# ---- telling --------------------------------------------------------------------------------------------------------


def _told(run: Run, scored: Sequence[Scored]) -> Told:
    recipe, accounts = run.recipe, read_accounts(run.data)
    tags = ", ".join(dict.fromkeys(recipe.data.tags))
    return Told(
        lead="A translator, trained from your own text." if finished(run) else "A translator in training.",
        what="An encoder-decoder Transformer of {parameters} parameters that translates"
        + (f" into {tags}." if tags else "."),
        use=f'echo "..." | heedful translate -m MODEL{f" --tag {recipe.data.tags[0]}" if tags else ""}',
        limits=[
            "It knows the kind of text it was trained on, and nothing else; elsewhere it may be fluent and wrong.",
            f"Texts of more than {recipe.decoding.longest} tokens are translated in pieces.",
            "It repeats what its data holds, mistakes and prejudice included.",
        ],
        facts=[
            (f"{metric}{f' {one.language}' if one.language else ''}", f"{score:.1f}", f"{one.sentences:,} sentences")
            for one in scored for metric, score, _ in one.scores if metric in ("BLEU", "chrF2")
        ],
        data=[row for account in accounts for row in _counts(account)],
        sources=[
            f"{_called(account)}: {account.kept:,} of {account.read:,} pairs of {', '.join(_names(account))}"
            for account in accounts
        ],
        dropped=[
            {"rule": rule.rule, "count": rule.count, "examples": msgspec.to_builtins(rule.examples)}
            for account in accounts for rule in account.rules
        ],
        scores=_rows(scored),
        scored=" ".join(map(_scored_on, scored)),
        lengths=scored[0].lengths if len(scored) == 1 else [],
    )  # fmt: skip


def _rows(scored: Sequence[Scored]) -> list[tuple[str, str, str]]:
    """Metric (with the language, if there are several), score and signature."""
    return [
        (f"{metric}{f', {one.language}' if one.language else ''}", f"{score:.2f}", signature)
        for one in scored for metric, score, signature in one.scores
    ]  # fmt: skip


def _scored_on(one: Scored) -> str:
    share = f"{one.sentences:,} of {one.of:,}" if one.sentences < one.of else f"all {one.of:,}"
    return f"On {share} validation pairs{f' into {one.language}' if one.language else ''}."


def _counts(account: Account) -> list[tuple[str, str]]:
    named = f"{account.name}{f' ({account.tag})' if account.tag else ''}"
    rows = [(f"{named}: pairs read", f"{account.read:,}"), (f"{named}: used", f"{account.kept:,}")]
    return rows + ([(f"{named}: held out for validation", f"{account.held_out:,}")] if account.held_out else [])


def _called(account: Account) -> str:
    """What a corpus is for, and its language."""
    return ("training" if account.name.startswith("train") else "validation") + f" ({account.tag})" * bool(account.tag)


def _names(account: Account) -> list[str]:
    return [Path(file).name for file in account.files]
