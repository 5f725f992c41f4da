"""What a finished run leaves for its readers: scores on held-out text, report.html, and the model's card."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ...data.shards import Shards
from ...data.texts import read_documents, read_parts
from ...train.run import Run
from ..closing import Told, finished, kept_scores, leave, write_page
from .scoring import foretell, rows_of, scored_on
from .writer import load

MOST = 2_000_000  # characters of validation text that are scored, from its beginning


class Scored(msgspec.Struct):
    """RUN/scores.json: how good the finished model is, and on what."""

    scored: str
    scores: list[tuple[str, str, str]]


def close(run: Run) -> list[str]:
    """Score the finished model, write the page and, last, the card; lines that say what came out."""
    writer, data = load(run.model), run.recipe.data
    texts = {"validation text": _some(read_parts(run.recipe, prose=True).dev)}
    if data.test:
        tests = [text for file in data.test for text in read_documents(Path(file), data.documents, prose=True)]
        texts["test text"] = tests
    scored: list[Scored] = []
    said = []
    for name, some in texts.items():
        found = foretell(writer, some)
        scored.append(Scored(scored_on(found, name), rows_of(found)))
        said.append(
            f"{name}: loss {found.nll / found.predictions:.4f}, perplexity {found.perplexity:.2f} a token, "
            f"{found.word_perplexity:.2f} a word, {found.bits_per_byte:.4f} bits a byte"
        )
    page = leave(run, scored, lambda: _told(run), writer.model)
    return [*said, page]


def _some(texts: list[str]) -> list[str]:
    """Whole documents from the first on; of the one that is too long, its beginning."""
    kept, room = [], MOST
    for text in texts:
        if room <= 0:
            break
        kept.append(text[:room])
        room -= len(text)
    return kept


def write_report(run: Run) -> Path:
    """RUN/report.html, at any time of the run: with scores once it is finished."""
    return write_page(run, _told(run))


def farewell(run: Path) -> str:
    """What to do with the finished run."""
    return f'write with: heedful write "..." -m {run}'


def _told(run: Run) -> Told:
    recipe, scored = run.recipe, kept_scores(run.folder, list[Scored]) or []
    counts = []
    for name, what in (("train", "training"), ("dev", "validation")):
        if (run.data / name).exists():
            shards = Shards.open(run.data / name)
            counts += [
                (f"{what}: documents", f"{len(shards):,}"),
                (f"{what}: tokens", f"{int(shards.lengths('text').sum()):,}"),
            ]
    rows = [
        (metric if number == 0 else f"{metric} (test)", score, note)
        for number, one in enumerate(scored)
        for metric, score, note in one.scores
    ]
    return Told(
        lead="A language model, trained from your own text." if finished(run) else "A language model in training.",
        what="A decoder-only Transformer of {parameters} parameters that goes on with texts.",
        use='heedful write "..." -m MODEL',
        limits=[
            "It imitates the text it was trained on, and knows nothing else; what it writes may be fluent and untrue.",
            f"It reads {recipe.data.longest} tokens at once: what is further back is forgotten.",
            "It repeats what its data holds, mistakes and prejudice included.",
        ],
        facts=[row for row in rows if row[0] in ("loss", "perplexity, word", "bits, byte")],
        data=counts,
        sources=[f"training: {', '.join(Path(file).name for file in recipe.data.train)}"],
        scores=rows,
        scored=" ".join(one.scored for one in scored),
    )
