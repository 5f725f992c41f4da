"""What a finished run leaves for its readers; and scores on files of questions with answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from ...data.gallery import NETWORKS
from ...errors import UserError
from ...train.run import Run
from ..closing import Told, finished, kept_scores, leave, write_page
from ..evaluated import Evaluated
from .asker import Asker, load
from .examples import Example, read_examples, read_parts
from .judging import Mistakes, evaluated, judge, mistakes, sections

MOST = 5000  # validation questions scored at the end


class Scored(msgspec.Struct, kw_only=True):
    """RUN/scores.json: what the finished model's answers are worth, on the validation and test questions; of the last
    also the mistakes, for the page."""

    scored: str
    rows: list[tuple[str, str, str]]
    mistakes: Mistakes | None = None


def farewell(run: Path) -> str:
    """What to do with the finished run."""
    return f'ask with: heedful ask -m {run} PICTURE "QUESTION"'


def evaluate(asker: Asker, files: Sequence[Path], features: Path | None = None) -> Evaluated:
    """Scores on files of questions with answers; `features` as in `Asker.ask_many`."""
    examples = [one for file in files for one in read_examples(file, asker.fields, asker.answers.several)]
    if not examples:
        raise UserError(f"{', '.join(map(str, files))}: no questions")
    judged = judge(asker, examples, features)
    found = evaluated(asker, judged, ", ".join(file.name for file in files))
    return replace(found, sections=sections(mistakes(judged, asker.answers)))


def close(run: Run) -> list[str]:
    """Score the finished model on validation and test questions, write the page and the card."""
    recipe, asker = run.recipe, load(run.model)
    parts: list[tuple[str, list[Example]]] = [("validation", read_parts(recipe).dev[:MOST])]
    tests = [one for file in recipe.data.test for one in read_examples(Path(file), recipe.data.fields, _several(run))]
    if tests:
        parts.append(("test", tests))
    found = []
    named = recipe.pictures.features
    features = Path(named) if named is not None and named not in NETWORKS else None
    for name, examples in parts:
        judged = judge(asker, examples, features)
        one = evaluated(asker, judged, name)
        rows = [(f"{label}, {name}", score, note) for label, score, note in one.scores]
        shown = mistakes(judged, asker.answers) if name == parts[-1][0] else None
        found.append(Scored(scored=one.scored, rows=rows, mistakes=shown))
    page = leave(run, found, lambda: _told(run, found), asker.model)
    said = [f"{one.rows[0][0]}: {one.rows[0][1]} {one.rows[0][2]}" for one in found]
    return [*said, page]


def _several(run: Run) -> bool:
    return run.recipe.data.labels == "several"


def write_report(run: Run) -> Path:
    """RUN/report.html, at any time of the run: with scores once it is finished."""
    return write_page(run, _told(run, kept_scores(run.folder, list[Scored]) or []))


def _told(run: Run, found: Sequence[Scored]) -> Told:
    lines = _lines(run.data / "answers.json")
    return Told(
        lead="A model that answers questions about pictures." if finished(run) else "A model in training.",
        what="A Transformer of two streams, text and picture, joined by co-attention, of {parameters} parameters. "
        "It answers questions about pictures.",
        use='heedful ask -m MODEL picture.png "a question"',
        limits=[
            "It gives one of the answers it was trained on, whatever it is asked.",
            "It knows pictures and questions like those it was trained on; elsewhere it guesses, and may be sure.",
        ],
        data=[(name, said) for name, _, said in (line.partition(": ") for line in lines)],
        sources=lines,
        scores=[row for one in found for row in one.rows],
        scored=" ".join(f"{one.scored}." for one in found),
        facts=[(one.rows[0][0], one.rows[0][1], one.rows[0][2]) for one in found],
        sections=[one for last in found[-1:] if last.mistakes for one in sections(last.mistakes)],
    )


def _lines(path: Path) -> list[str]:
    """What preparing the data said."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Lines).lines
    except (OSError, msgspec.DecodeError):
        return []


class _Lines(msgspec.Struct):
    lines: list[str]
