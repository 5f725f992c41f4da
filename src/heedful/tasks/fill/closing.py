"""How good a masked language model is: on files, and, at the end of a run, on its held-out text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from ...data.texts import read_documents, read_parts
from ...errors import UserError
from ...train.run import Run
from ..closing import Measured, Told, finished, kept_scores, leave, write_page
from ..evaluated import Evaluated
from .filler import Filler, load


def evaluate(filler: Filler, files: Sequence[Path]) -> Evaluated:
    """The scores of a model on documents."""
    settings = filler.settings
    texts = [text for file in files for text in read_documents(file, settings.documents, False, settings.fields)]
    if not texts:
        raise UserError(f"{', '.join(map(str, files))}: no text in it to evaluate on")
    found = _measured(filler, texts, ", ".join(file.name for file in files))
    return Evaluated("A masked language model, evaluated", found.scored, found.scores, found.figures)


def _measured(filler: Filler, texts: Sequence[str], name: str) -> Measured:
    sums, alone, count = filler.measure(texts)
    masks, scores = filler.settings.masking, sums.scores
    what = "words" if masks.whole_words else "tokens"
    rows = [
        ("masked loss", f"{scores['loss']:.3f}", f"nats a hidden token; {masks.share:.0%} of the {what} hidden"),
        ("accuracy", f"{scores['accuracy']:.1%}", f"of {sums.count:,} hidden tokens ranked first"),
        ("pseudo-perplexity", f"{math.exp(alone / count):.2f}", f"of {count:,} tokens, each hidden alone"),
    ]
    figures = {**scores, "pseudo_perplexity": math.exp(alone / count), "hidden": sums.count, "alone": count}
    if sums.pairs:
        note = f"of {sums.pairs:,} pairs of passages; half follow one another"
        rows.append(("next sentence", f"{scores['next_accuracy']:.1%}", note))
        figures["pairs"] = sums.pairs
    characters = sum(map(len, texts))
    scored = f"On {name}: {len(texts):,} documents, {characters:,} characters."
    return Measured(scored=scored, scores=rows, figures={**figures, "documents": len(texts)})


def close(run: Run) -> list[str]:
    """Score the finished model on the held-out text and the test files; write the page and, last, the card."""
    filler, data = load(run.model), run.recipe.data
    found = [_measured(filler, read_parts(run.recipe, prose=False).dev, "the held-out text")]
    for file in data.test:
        texts = list(read_documents(Path(file), data.documents, False, data.fields))
        found.append(_measured(filler, texts, Path(file).name))
    page = leave(run, found, lambda: _told(run), filler.model)
    said = [f"{one.scored[:-1]}: " + ", ".join(f"{name} {score}" for name, score, _ in one.scores) for one in found]
    return [*said, page]


def write_report(run: Run) -> Path:
    """RUN/report.html, at any time of the run: with scores once it is finished."""
    return write_page(run, _told(run))


def _told(run: Run) -> Told:
    found, data = kept_scores(run.folder, list[Measured]) or [], run.recipe.data
    lead = "An encoder, pretrained on your own text" + ("." if finished(run) else "; still in training.")
    return Told(
        lead=lead,
        what="An encoder of {parameters} parameters, pretrained to fill in hidden words.",
        use='heedful fill "... [MASK] ..." -m MODEL\nheedful train classify --from MODEL ...',
        limits=[
            "It knows the kind of text it was trained on, and nothing else.",
            f"It reads at most {data.longest} tokens at once: of a longer text those around the mask.",
            "It repeats what its data holds, mistakes and prejudice included.",
        ],
        facts=[row for one in found[:1] for row in one.scores],
        sources=[f"training: {', '.join(Path(file).name for file in data.train)}"],
        scores=[row for one in found for row in one.scores],
        scored=" ".join(one.scored for one in found),
    )
