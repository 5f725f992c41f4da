"""The task as the training loop sees it: pieces of documents, each token foretold from those before it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from ...config import Recipe
from ...data.batches import Batches
from ...data.pieces import Ids, Pieces
from ...data.shards import Shards
from ...data.texts import prepare_texts, read_parts
from ...errors import UserError
from ...model.embeddings import TokenInput
from ...model.heads import Labels
from ...model.layout import Layout
from ...model.model import Model
from ...text.tokenizer import Tokenizer
from ...train.run import require_memory
from ...train.validation import Sample, Validation
from ..beginning import came, keep_start, located, look, plan_of_start, planned, settled, start_with
from ..finding import save_model
from ..learning import Batch, Learning
from .writer import Writer

NAME = "write"
STREAM, HEAD = "text", "next_token"
# Bytes of training text: entries of a vocabulary. Few texts teach no rare words.
SIZES = ((300_000, 1000), (3_000_000, 2000), (30_000_000, 8000), (300_000_000, 16000))
PACKED = 3  # times smaller a .gz is
VALIDATION_TOKENS = 8192  # of a batch
MOST_VALIDATED = 2**17  # predictions: enough for two digits, whatever the size of the corpus
SAMPLES, SHOWN = 3, 64  # texts of a validation, with so many tokens of beginning and of continuation


def complete(recipe: Recipe, root: Path | None = None) -> Recipe:
    """The recipe with files found, and what it leaves open chosen from the amount of text.

    Learned positions are as many as a piece has predictions (`data.longest`).
    """
    recipe = located(recipe, root)
    amount = sum(_bytes(Path(file)) for file in recipe.data.train)
    recipe = settled(recipe, next((size for most, size in SIZES if amount <= most), 32000))
    start = None if recipe.training.start is None else look(recipe.training.start)
    if start is None and "capacity" not in recipe.model:
        recipe = msgspec.structs.replace(recipe, model={**recipe.model, "capacity": recipe.data.longest})
    built = planned(recipe, recipe.tokenizer.size or 0, start and start.plan)
    require_memory(built, averaged=recipe.training.ema > 0)
    return recipe


def _bytes(file: Path) -> int:
    try:
        return file.stat().st_size * (PACKED if file.suffix == ".gz" else 1)
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None


def prepare(recipe: Recipe, folder: Path) -> list[str]:
    """Make the run's data in `folder`, or find it there; what the run starts from is copied there too."""
    said, tokenizer = keep_start(recipe, folder)
    if tokenizer is not None and not tokenizer.prose:
        raise UserError(f"{recipe.training.start}: its tokenizer loses line ends; start from a model for writing")
    return [*said, *prepare_texts(recipe, folder, prose=True, tokenizer=tokenizer)[0]]


def build(recipe: Recipe, folder: Path, device: torch.device) -> Learning:
    """Model and data as the training loop wants them."""
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    longest, seed = recipe.data.longest, recipe.seed
    train, dev = (Pieces(Shards.open(folder / name), tokenizer, longest, seed) for name in ("train", "dev"))
    plan = planned(recipe, tokenizer.vocab_size, plan_of_start(recipe, folder))
    model = Model(plan, recipe.seed).to(device)
    start_with(model, recipe, folder)
    batches = Batches(train, recipe.training.batch_tokens, recipe.seed, drawn=train.drawn)
    heldout = Heldout(dev, recipe, tokenizer, device)
    known = {"context": recipe.data.longest, "documents": recipe.data.documents, **came(recipe, folder)}
    return Learning(
        model,
        epoch=batches.epoch,
        batch=lambda pieces, epoch: batch_of(*train.rows(pieces, epoch), device),
        scores=heldout.scores,
        save=lambda path, finished: save_model(path, finished, NAME, tokenizer, known),
    )


def batch_of(read: Ids, said: Ids, lengths: Ids, device: torch.device) -> Batch:
    """The batch of some pieces: the ids that are read and those to be said, end to end, and the pieces' lengths."""
    move = lambda ids: torch.from_numpy(ids).to(device)
    given = TokenInput(move(read), Layout.packed(lengths, device))
    return Batch(len(said), {STREAM: given}, {HEAD: Labels(move(said))})


class Heldout:
    """Validation: the loss of every token after those of its piece, and how a few texts would go on."""

    def __init__(self, dev: Pieces, recipe: Recipe, tokenizer: Tokenizer, device: torch.device) -> None:
        self.dev, self.recipe, self.tokenizer, self.device = dev, recipe, tokenizer, device
        self.batches = self._some()
        texts = read_parts(recipe, prose=True).dev
        self.characters = sum(map(len, texts)) / dev.predictions  # of a prediction
        self.bytes = sum(len(text.encode()) for text in texts) / dev.predictions

    def _some(self) -> list[Any]:
        """Batches of pieces; if there are many, of some that are spread evenly over the text."""
        every = math.ceil(self.dev.predictions / MOST_VALIDATED)
        ids = np.arange(0, len(self.dev), every)
        most = max(1, VALIDATION_TOKENS // self.recipe.data.longest)
        return [ids[first : first + most] for first in range(0, len(ids), most)]

    def scores(self, model: Model) -> Validation:
        """Loss (nats a token) and accuracy; the loss for each character too, and bits for each byte.

        These compare tokenizers. Every piece is read alone, so that its first tokens have little before them:
        `heedful evaluate` slides its window and finds less.
        """
        nll, correct, count = 0.0, 0, 0
        for pieces in self.batches:
            batch = batch_of(*self.dev.rows(pieces), self.device)
            sums = model(batch.inputs, batch.labels)[HEAD]
            nll, correct, count = nll + float(sums.nll), correct + int(sums.correct), count + sums.count
        loss = nll / count
        each = {"loss.character": loss / self.characters, "bits.byte": loss / self.bytes / math.log(2)}
        return Validation({"loss": loss, "accuracy": correct / count, **each}, self._samples(model))

    def _samples(self, model: Model) -> tuple[Sample, ...]:
        """How the beginnings of a few pieces go on, and how the model would go on, by chance but always the same."""
        most = min(SHOWN, self.recipe.data.longest // 2)
        chosen = np.linspace(0, len(self.dev), SAMPLES, endpoint=False).astype(np.int64)
        _, said, lengths = self.dev.rows(chosen)
        rows = [row[row != self.tokenizer.end].tolist() for row in np.split(said, np.cumsum(lengths)[:-1])]
        rows = [row for row in rows if len(row) > most]
        writer = Writer(model, self.tokenizer, self.recipe.data.longest)
        outputs = writer.go_on([row[:most] for row in rows], writer.wishes(length=most, temperature=0.8))
        decode = self.tokenizer.decode
        return tuple(
            Sample(decode(row[:most]), decode(row[most : 2 * most]), found[0].text)
            for row, found in zip(rows, outputs, strict=True)
        )
