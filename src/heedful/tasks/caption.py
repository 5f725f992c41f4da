"""caption: pictures to texts. The encoder-decoder of translation, whose source stream is a picture's patches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from ..config import Decoding, Pictures, Recipe
from ..data.batches import Batches
from ..data.captioned import Captioned, Part, prepare_captioned, read_captioned, split_captioned
from ..data.gallery import Gallery, Sight, found_all, look_at, open_gallery, sight_from, unique
from ..data.pictures import Reference
from ..data.table import Table
from ..decode.engine import decode
from ..decode.options import Hypothesis, Options
from ..errors import UserError
from ..measure.translation import Scorer, Scores
from ..model.embeddings import TokenInput
from ..model.heads import Labels
from ..model.layout import Layout
from ..model.model import Model
from ..page import render
from ..page.render import Section
from ..text.tokenizer import Tokenizer
from ..train.run import Run
from ..train.validation import Sample, Validation
from .beginning import keep_start, located, plan_of_start, planned, settled, start_with
from .closing import Told, finished, kept_scores, leave, write_page
from .evaluated import Evaluated
from .finding import load_for, save_model
from .learning import Batch, Learning
from .thumbnails import thumbnails

Ids = npt.NDArray[np.int64]
VOCABULARY = 4000
SHOWN = 5  # dev pictures that a validation captions
WORST = 20  # captions of a page


def complete(recipe: Recipe, root: Path | None = None) -> Recipe:
    """Files found, sizes chosen."""
    if recipe.pictures.features is not None:
        raise UserError("captions are written from patches: leave pictures.features out")
    return settled(located(recipe, root), VOCABULARY)


def prepare(recipe: Recipe, folder: Path) -> list[str]:
    """Tokenizer, pictures and pairs in the run's data."""
    lines, tokenizer = keep_start(recipe, folder)
    return [*lines, *prepare_captioned(recipe, folder, tokenizer)]


def batch_of(part: Part, gallery: Gallery, examples: Ids, device: torch.device, recipe: Recipe, epoch: int | None
             ) -> Batch:  # fmt: skip
    """Pictures, and their captions to be said token by token."""
    ids, lengths = part.captions(examples)
    ends = np.cumsum(lengths)
    move = lambda array: torch.from_numpy(array).to(device)
    target = TokenInput(move(np.delete(ids, ends - 1)), Layout.packed(lengths - 1, device))
    source = gallery.input(
        part.pictures[examples], device, epoch=epoch, examples=examples, seed=recipe.seed, change=recipe.pictures
    )
    said = Labels(move(np.delete(ids, ends - lengths)))
    return Batch(target.layout.tokens, {"source": source, "target": target}, {"next_token": said})


def build(recipe: Recipe, folder: Path, device: torch.device) -> Learning:
    """Model and data as the training loop wants them."""
    tokenizer, gallery = Tokenizer.load(folder / "tokenizer.json"), open_gallery(folder)
    table = Table.open(folder / "pairs.safetensors")
    sight = gallery.sight
    start = plan_of_start(recipe, folder)
    model = Model(planned(recipe, tokenizer.vocab_size, start, edge=sight.edge, channels=3), recipe.seed).to(device)
    start_with(model, recipe, folder)
    part = Part(table, 0, tokenizer)
    heldout = [Part(table, pool, tokenizer) for pool in range(1, int(table.columns["pool"][0].max()) + 1)]
    batches = Batches(part, recipe.training.batch_tokens, recipe.seed)
    extra = {
        "pictures": msgspec.to_builtins(sight), "decoding": msgspec.to_builtins(recipe.decoding),
        "fields": recipe.data.fields,
    }  # fmt: skip

    def batch(examples: Any, epoch: int) -> Batch:
        return batch_of(part, gallery, examples, device, recipe, epoch)

    def scores(model: Model) -> Validation:
        nll, correct, count = 0.0, 0, 0
        for pool in heldout:
            for examples in Batches(pool, 4096, recipe.seed).in_order():
                given = batch_of(pool, gallery, examples, device, recipe, None)
                sums = model(given.inputs, given.labels)["next_token"]
                nll, correct, count = nll + float(sums.nll), correct + int(sums.correct), count + sums.count
        return Validation({"loss": nll / count, "accuracy": correct / count}, _samples(model, heldout[0]))

    def _samples(model: Model, pool: Part) -> tuple[Sample, ...]:
        some = np.arange(len(pool))[:: max(1, len(pool) // SHOWN)][:SHOWN]
        said = Captioner(model, tokenizer, sight, Decoding(beam=1)).write(gallery, pool.pictures[some])
        right = [tokenizer.decode(pool.captions(np.array([one]))[0].tolist()) for one in some]
        return tuple(
            Sample(f"picture {number}", wanted, text)
            for number, wanted, text in zip(pool.pictures[some], right, said, strict=True)
        )

    def save(path: Path, model: Model) -> None:
        save_model(path, model, "caption", tokenizer, extra)

    return Learning(model, batches.epoch, batch, scores, save)


def farewell(run: Path) -> str:
    """What to do with the finished run."""
    return f"finished; try: heedful caption -m {run} picture.png"


# ---- a finished model -----------------------------------------------------------------------------------------------


class Captioner:
    """Writes captions of pictures; `fields` are the columns that training read."""

    def __init__(
        self, model: Model, tokenizer: Tokenizer, sight: Sight, decoding: Decoding, fields: Sequence[str] = ()
    ) -> None:
        self.model, self.tokenizer, self.sight, self.decoding = model, tokenizer, sight, decoding
        self.fields = fields

    def caption(self, pictures: Sequence[str], beam: int | None = None) -> list[str]:
        """A caption for each picture, in order."""
        found = found_all([Reference(name, "picture") for name in pictures], Pictures())
        return self.write(look_at(self.sight, found), np.arange(len(found)), beam)

    def write(self, gallery: Gallery, numbers: Ids, beam: int | None = None) -> list[str]:
        """Captions of some pictures of a gallery."""
        return [self.tokenizer.decode(found.ids) for found in self.hypotheses(gallery, numbers, beam)]

    def hypotheses(self, gallery: Gallery, numbers: Ids, beam: int | None = None) -> list[Hypothesis]:
        """The same as ids, with log-probabilities."""
        own = self.decoding
        options = Options(
            beam=own.beam if beam is None else beam, length_penalty=own.length_penalty, alpha=own.alpha,
            max_ratio=0.0, max_extra=max(1, own.max_extra), start=self.tokenizer.start,
            end=self.tokenizer.end, logprobs=True,
        )  # fmt: skip
        device = next(self.model.parameters()).device
        answers = decode(
            self.model, [[int(number)] for number in numbers], options,
            reader=lambda rows: gallery.input(np.array(rows)[:, 0], device),
        )  # fmt: skip
        return [found[0] for found in answers]


def load(path: str | Path) -> Captioner:
    """The captioner in a folder of a run or a model."""
    model, extra, tokenizer = load_for(path, "caption")
    try:
        decoding = msgspec.convert(extra.get("decoding", {}), Decoding)
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: its decoding options are not understood: {error}") from None
    sight, fields = sight_from(extra.get("pictures"), path), tuple(extra.get("fields", ()))
    return Captioner(model.eval(), tokenizer, sight, decoding, fields)


class Captioning(msgspec.Struct, kw_only=True):
    """What was written of a picture (its full name), beside the captions that are right."""

    picture: str
    written: str
    right: list[str]


def score(captioner: Captioner, pairs: Sequence[Captioned]) -> tuple[Scores, list[Captioning]]:
    """Scores against all captions of each picture, and what was written of each, the least alike first."""
    each, numbers = unique(found_all([pair.picture for pair in pairs], Pictures()))
    right: list[list[str]] = [[] for _ in each]
    for number, pair in zip(numbers, pairs, strict=True):
        right[number].append(captioner.tokenizer.normalise(pair.caption))
    written = captioner.write(look_at(captioner.sight, each), np.arange(len(each)))
    most = max(map(len, right))
    references = [[own[min(column, len(own) - 1)] for own in right] for column in range(most)]
    scorer = Scorer(references)
    found = scorer(written, "captions")
    order = np.argsort(scorer.sentences(found), kind="stable").tolist()
    return found, [Captioning(picture=each[n].name, written=written[n], right=right[n]) for n in order]


def sections(worst: Sequence[Captioning]) -> list[Section]:
    """The captions least like what they should be, for a page."""
    rows = [(thumbnails([one.picture]), one.written, " / ".join(one.right[:3])) for one in worst]
    table = render.table(("Picture", "Written", "Expected"), rows)
    return [Section("What was written worst", "The least like any of the expected captions, by chrF.", (table,))]


def evaluate(captioner: Captioner, files: Sequence[Path]) -> Evaluated:
    """chrF and BLEU of the captions of all pictures in some files, against all that these say of each."""
    pairs = [pair for file in files for pair in read_captioned(file, captioner.fields)]
    found, written = score(captioner, pairs)
    return Evaluated(
        title="Captions",
        scored=f"On {len(written):,} pictures with {sum(len(one.right) for one in written):,} captions.",
        scores=[(name, f"{value:.1f}", found.signatures[name]) for name, value in found.values.items()],
        figures={"pictures": len(written), **found.values, "signatures": dict(found.signatures)},
        sections=sections(written[:WORST]),
    )


# ---- closing --------------------------------------------------------------------------------------------------------


class Scored(msgspec.Struct, kw_only=True):
    """RUN/scores.json: metric, score and signature, and on how much."""

    scores: list[tuple[str, str, str]]
    scored: str
    worst: list[Captioning] = []


def close(run: Run) -> list[str]:
    """Caption the held-out pictures, write page and card."""
    captioner = load(run.model)
    pairs = [pair for pool in split_captioned(run.recipe)[1] for pair in pool]
    found, written = score(captioner, pairs)
    rows = [(name, f"{value:.1f}", found.signatures[name]) for name, value in found.values.items()]
    told = Scored(scores=rows, scored=f"On {len(written):,} held-out pictures.", worst=written[:WORST])
    page = leave(run, told, lambda: _told(run, told), captioner.model)
    return [", ".join(f"{name} {value}" for name, value, _ in rows), page]


def write_report(run: Run) -> Path:
    """RUN/report.html, at any time of the run."""
    return write_page(run, _told(run, kept_scores(run.folder, Scored) or Scored(scores=[], scored="")))


def _told(run: Run, scored: Scored) -> Told:
    return Told(
        lead="Writes captions of pictures." if finished(run) else "A writer of captions in training.",
        what="An encoder-decoder Transformer of {parameters} parameters that writes captions of pictures.",
        use="heedful caption -m MODEL picture.png",
        limits=["It names what it was trained on; of other pictures it writes what is likely, not what is there."],
        facts=[(name, score, "on held-out pictures") for name, score, _ in scored.scores[:2]],
        sources=[f"pairs of {Path(file).name}" for file in run.recipe.data.train],
        scores=scored.scores,
        scored=scored.scored,
        sections=sections(scored.worst) if scored.worst else [],
    )
