"""How well a model finds the second text of a pair by the first, and back: on files, and at the end of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...data.pairs import Pair, groups_of, read_pairs, read_parts
from ...errors import UserError
from ...measure.retrieval import KS, found_last, scores
from ...page import render
from ...page.render import Section
from ...train.run import Run
from ..closing import Measured, Told, finished, kept_scores, leave, write_page
from ..evaluated import Evaluated
from .embedder import Embedder, load

SHOWN = 20  # pairs of a page
WAYS = {"there": "the second text by the first", "back": "the first text by the second"}


def evaluate(embedder: Embedder, files: Sequence[Path]) -> Evaluated:
    """The scores of a model on pairs, each looked for among all of them."""
    pairs = [pair for file in files for pair in read_pairs(file, embedder.settings.fields)]
    if not pairs:
        raise UserError(f"{', '.join(map(str, files))}: no pairs in it to evaluate on")
    found = _measured(embedder, pairs, ", ".join(file.name for file in files))
    return Evaluated("Vectors of texts, evaluated", found.scored, found.scores, found.figures, _sections(found))


def _measured(embedder: Embedder, pairs: Sequence[Pair], name: str) -> Measured:
    first, second = (embedder.embed([pair[side] for pair in pairs]) for side in (0, 1))
    groups, rows = groups_of(pairs), []
    figures = scores(first, second, groups)
    worst = [
        {"text": pairs[query][0], "partner": pairs[query][1], "found": pairs[other][1], "rank": rank}
        for query, other, rank in found_last(first, second, groups, SHOWN)
    ]
    for way, what in WAYS.items():
        rows += [(f"recall at {most}", f"{figures[f'recall{most}_{way}']:.1%}", what) for most in KS]
        rows.append(("MRR", f"{figures[f'mrr_{way}']:.3f}", f"mean of 1 / rank of {what}"))
    scored = f"On {name}: {len(pairs):,} pairs, each looked for among all."
    return Measured(scored=scored, scores=rows, figures={**figures, "pairs": len(pairs), "worst": worst})


def _sections(found: Measured) -> list[Section]:
    """The pairs that were found last, for a page."""
    rows = [(one["text"], one["partner"], one["found"], f"{one['rank']:,}") for one in found.figures.get("worst", ())]
    if not rows:
        return []
    table = render.table(("Text", "Its partner", "Came first", "Rank"), rows, ("text", "text", "text", "number"))
    return [Section("What was found last", "Texts whose partner came late, and the one that came first.", (table,))]


def close(run: Run) -> list[str]:
    """Score the finished model on the held-out pairs and the test files; write the page and, last, the card."""
    embedder, data = load(run.model), run.recipe.data
    found = [_measured(embedder, read_parts(run.recipe)[1], "the held-out pairs")]
    found += [_measured(embedder, list(read_pairs(Path(file), data.fields)), Path(file).name) for file in data.test]
    page = leave(run, found, lambda: _told(run), embedder.model)
    return [*map(_briefly, found), page]


def _briefly(one: Measured) -> str:
    there, back = (", ".join(f"{one.figures[f'recall{most}_{way}']:.1%}" for most in KS) for way in WAYS)
    return f"{one.scored[:-1]}: recall at 1, 5, 10: {there}; back: {back}"


def write_report(run: Run) -> Path:
    """RUN/report.html, at any time of the run: with scores once it is finished."""
    return write_page(run, _told(run))


def _told(run: Run) -> Told:
    found, data = kept_scores(run.folder, list[Measured]) or [], run.recipe.data
    return Told(
        lead="Vectors of texts, learned from your own pairs." if finished(run) else "Vectors of texts, in training.",
        what="An encoder of {parameters} parameters that makes vectors, alike for texts that mean the same.",
        use='heedful search "..." --in FILE -m MODEL\nheedful embed FILE -o vectors.npy -m MODEL',
        limits=[
            "What is alike is what its pairs say: elsewhere it may find nothing, or nonsense.",
            f"Of a text it reads the first {data.longest} tokens.",
        ],
        facts=[
            ("Recall at 10", f"{one.figures['recall']:.1%}", f"both ways; {one.figures['pairs']:,} pairs")
            for one in found[:1]
        ],
        sources=[f"training: {', '.join(Path(file).name for file in data.train)}"],
        scores=[row for one in found for row in one.scores],
        scored=" ".join(one.scored for one in found),
        sections=[one for last in found[-1:] for one in _sections(last)],
    )
