"""What a finished run leaves for its readers: scores on the validation set, report.html, and the model's card."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from ...config import write_toml
from ...data.parallel import texts_of
from ...data.readers import Pair
from ...data.selection import Account, read_accounts
from ...data.splits import Corpus, splits
from ...errors import UserError
from ...look.card import Card, markdown
from ...look.report import Story, run_page
from ...measure import evaluation
from ...model.hardware import cpu_description
from ...model.model import Model
from ...train.journal import read
from ...train.run import Run
from .translator import Translator, load
from .validation import spread

SENTENCES = 2000  # of each validation corpus, spread evenly over it
SCORES = "scores.json"


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
    _write(run.folder / SCORES, msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    page = write_report(run)
    _write(run.model / "README.md", markdown(_card(run, translator.model, found)).encode())
    said = [
        f"validation{f' ({one.language})' if one.language else ''}: "
        + ", ".join(f"{metric} {score:.1f}" for metric, score, _ in one.scores)
        for one in found
    ]
    return [*said, f"report: {page}"]


def write_report(run: Run) -> Path:
    """RUN/report.html, at any time of the run: with scores once it is finished."""
    page = run.folder / "report.html"
    _write(page, run_page(_story(run, read_scores(run.folder))).encode())
    return page


def read_scores(folder: Path) -> list[Scored]:
    """The scores of a run; none where it has none yet. UserError for a file that is not ours."""
    path = folder / SCORES
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Scored])
    except FileNotFoundError:
        return []
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}; remove it, and see heedful report {folder}") from None


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


def _story(run: Run, scored: Sequence[Scored]) -> Story:
    journal, accounts = read(run.journal), read_accounts(run.data)
    steps = [line for line in journal if line.get("kind") == "step"]
    finished = (run.model / "config.json").exists()
    facts = [
        (f"{metric}{f' {one.language}' if one.language else ''}", f"{score:.1f}", f"{one.sentences:,} sentences")
        for one in scored for metric, score, _ in one.scores if metric in ("BLEU", "chrF2")
    ]  # fmt: skip
    if steps:
        last = steps[-1]
        facts.append(("Steps", f"{last['step']:,}", f"{sum(line['tokens'] for line in steps):,} target tokens"))
        facts.append(("Time", _minutes(last["elapsed"]), f"{_speed(steps):,.0f} tokens/s"))
    return Story(
        title=run.recipe.card.name or f"Run {run.folder.absolute().name}",
        lead="A translator, trained from your own text." if finished else "A translator in training.",
        recipe=write_toml(run.recipe),
        journal=journal,
        facts=facts,
        data=[row for account in accounts for row in _counts(account)],
        dropped=[
            {"rule": rule.rule, "count": rule.count, "examples": msgspec.to_builtins(rule.examples)}
            for account in accounts for rule in account.rules
        ],
        scores=_rows(scored),
        scored=" ".join(map(_scored_on, scored)),
        lengths=scored[0].lengths if len(scored) == 1 else [],
        environment=_environment(run),
        footer=[f"Made by heedful {version('heedful')}."],
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


def _environment(run: Run) -> dict[str, str]:
    chosen = run.choices
    return {
        "Processor": f"{cpu_description()[0]}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "Processes": f"{chosen.processes} of {chosen.threads} thread{'s' if chosen.threads > 1 else ''}",
        "Precision": chosen.precision,
        "Device": chosen.device,
        "Versions": ", ".join(f"{name} {number}" for name, number in chosen.versions.items()),
        "Seed": str(run.recipe.seed),
    }


def _card(run: Run, model: Model, scored: Sequence[Scored]) -> Card:
    recipe, accounts = run.recipe, read_accounts(run.data)
    steps = [line for line in read(run.journal) if line.get("kind") == "step"]
    tags = ", ".join(dict.fromkeys(recipe.data.tags))
    data = [
        f"{_called(account)}: {account.kept:,} of {account.read:,} pairs of {', '.join(_names(account))}"
        for account in accounts
    ]
    parameters = sum(tensor.numel() for tensor in model.tensors().values())
    trained = f"{len(steps):,} steps, {sum(line['tokens'] for line in steps):,} target tokens, seed {recipe.seed}"
    return Card(
        title=recipe.card.name or run.folder.absolute().name,
        what=f"An encoder-decoder Transformer of {parameters / 1e6:.1f} million parameters that translates"
        + (f" into {tags}." if tags else "."),
        use=f'echo "..." | heedful translate -m MODEL{f" --tag {recipe.data.tags[0]}" if tags else ""}',
        data=data,
        scores=_rows(scored),
        scored=" ".join(map(_scored_on, scored)),
        limits=[
            "It knows the kind of text it was trained on, and nothing else; elsewhere it may be fluent and wrong.",
            f"Texts of more than {recipe.decoding.longest} tokens are translated in pieces.",
            "It repeats what its data holds, mistakes and prejudice included.",
        ],
        made=[trained, f"heedful {version('heedful')}", "the recipe is in the run's recipe.toml"],
        license=recipe.card.license,
        cite=recipe.card.cite,
    )


def _called(account: Account) -> str:
    """What a corpus is for, and its language."""
    return ("training" if account.name.startswith("train") else "validation") + f" ({account.tag})" * bool(account.tag)


def _names(account: Account) -> list[str]:
    return [Path(file).name for file in account.files]


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _speed(steps: Sequence[dict[str, Any]]) -> float:
    speeds = sorted(line["speed"] for line in steps if line.get("speed"))
    return speeds[len(speeds) // 2] if speeds else 0.0


def _write(path: Path, content: bytes) -> None:
    aside = path.with_name(f".{path.name}.tmp")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None
