"""What a finished run of matching leaves: recall on the held-out pairs, the page, the card."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ...data.captioned import split_captioned
from ...train.run import Run
from ..closing import Told, finished, kept_scores, leave, write_page
from .evaluating import Miss, found_in, misses, rows, sections
from .matcher import load

MOST = 2000  # pairs of a list that are searched at the end of a run


class Scored(msgspec.Struct, kw_only=True):
    """RUN/scores.json: rows of metric, score and note, and on how much."""

    scores: list[tuple[str, str, str]]
    scored: str
    worst: list[Miss] = []


def close(run: Run) -> list[str]:
    """Search the held-out pairs, write page and card."""
    matcher = load(run.model)
    _, pools = split_captioned(run.recipe)
    data = run.recipe.data
    names = [Path(file).name for file in data.dev] if data.dev else ["held out"]
    found = [found_in(matcher, name, pool[:MOST]) for name, pool in zip(names, pools, strict=True)]
    captions = sum(one.captions for one, _ in found)
    told = Scored(
        scores=rows([one for one, _ in found]),
        scored=f"On {captions:,} held-out pairs.",
        worst=misses([worst for _, worst in found]),
    )
    page = leave(run, told, lambda: _told(run, told), matcher.model)
    best = [f"{metric} {score} ({note})" for metric, score, note in told.scores if metric.endswith("recall at 10")][:2]
    return [*best, page]


def write_report(run: Run) -> Path:
    """RUN/report.html, at any time of the run."""
    return write_page(run, _told(run, kept_scores(run.folder, Scored) or Scored(scores=[], scored="")))


def _told(run: Run, scored: Scored) -> Told:
    data = run.recipe.data
    return Told(
        lead="Matches pictures and texts." if finished(run) else "A matcher of pictures and texts in training.",
        what="A Transformer of two streams with co-attention, of {parameters} parameters, that says which pictures and "
        "texts belong together.",
        use='heedful match -m MODEL --pictures FOLDER "..."',
        limits=[
            "It knows the kind of pictures and words it was trained on, and nothing else.",
            "Scores compare candidates for one query; they are no probabilities.",
        ],
        facts=[(metric, score, note) for metric, score, note in scored.scores if metric.endswith("recall at 10")][:2],
        sources=[f"pairs of {Path(file).name}" for file in data.train],
        scores=scored.scores,
        scored=scored.scored,
        sections=sections(scored.worst),
    )
