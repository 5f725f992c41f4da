"""Masked pretraining as the training loop sees it: rows of text with hidden words, which are to be said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import torch

from ...config import Recipe
from ...data.batches import Batches
from ...data.masking import Masking
from ...data.passages import Passages
from ...data.shards import Ids, Shards
from ...data.texts import prepare_texts
from ...errors import UserError
from ...model.embeddings import TokenInput
from ...model.heads import Labels
from ...model.layout import Layout
from ...model.model import Model
from ...model.plan import Plan
from ...text.pipeline import MASK
from ...text.tokenizer import Tokenizer
from ...train.run import require_memory
from ...train.validation import Sample, Validation
from ..beginning import came, keep_start, located, look, plan_of_start, planned, settled, start_with, vocabulary
from ..finding import save_model
from ..learning import Batch, Learning

FIXED = 0  # what the masks of held-out text follow from, whatever the run's seed: runs compare
SHOWN = 5  # rows that a validation shows
VALIDATED = 500  # rows of a validation, spread evenly over the held-out text
AT_A_TIME = 4096  # tokens of a batch that is only looked at
HEADS = ("masked_token", "next_sentence")


def complete(recipe: Recipe, root: Path | None = None) -> Recipe:
    """The recipe with files found, and what it leaves open chosen by how much text there is."""
    recipe = located(recipe, root)
    recipe = settled(recipe, vocabulary(recipe), "60m")
    start = look(recipe.training.start) if recipe.training.start is not None else None
    between = 1 if start is None else start.tokenizer.between
    least = 4 + between if recipe.masking.next_sentence else 3
    if recipe.data.longest < least:
        raise UserError(f"data.longest = {recipe.data.longest} leaves no room for text; it needs {least} or more")
    if start is not None and start.tokenizer.mask is None:
        raise UserError(f"{start.folder}: its tokenizer has no mask; start from a model that `train fill` made")
    assert recipe.tokenizer.size is not None
    built = plan_of(recipe, recipe.tokenizer.size, start.plan if start else None)
    require_memory(built, averaged=recipe.training.ema > 0)
    return recipe


def plan_of(recipe: Recipe, vocab: int, start: Plan | None) -> Plan:
    """The recipe's plan with the heads that it trains; UserError where the model to start from lacks one."""
    built = planned(recipe, vocab, start)
    wanted = HEADS if recipe.masking.next_sentence else HEADS[:1]
    heads = {head.name: head for head in built.heads}
    if missing := [name for name in wanted if name not in heads]:
        needs = "start from one that has it" if start else "leave model.pool on"
        needs = f"set masking.next_sentence = false, or {needs}" if start and missing == ["next_sentence"] else needs
        raise UserError(f"the model has no head {missing[0]!r}; {needs}")
    return built.with_heads(*(heads[name] for name in wanted))


def prepare(recipe: Recipe, folder: Path) -> list[str]:
    """Tokenizer and shards in `folder`, made or found there."""
    lines, tokenizer = keep_start(recipe, folder)
    return lines + prepare_texts(recipe, folder, prose=False, tokenizer=tokenizer, tags=(MASK,))[0]


class Sums(NamedTuple):
    """Of the masked tokens: negative log-likelihood in nats, how many were ranked first, and how many there are; of
    the pairs of passages the same."""

    nll: float = 0.0
    correct: int = 0
    count: int = 0
    pair_nll: float = 0.0
    pair_correct: int = 0
    pairs: int = 0

    @property
    def scores(self) -> dict[str, float]:
        """Means."""
        found = {"loss": self.nll / max(self.count, 1), "accuracy": self.correct / max(self.count, 1)}
        if self.pairs:
            found |= {"next_loss": self.pair_nll / self.pairs, "next_accuracy": self.pair_correct / self.pairs}
        return found


@dataclass
class Masked:
    """Rows of text with hidden words."""

    passages: Passages
    masking: Masking
    device: torch.device

    def batch(self, numbers: Ids, epoch: int | None) -> Batch:
        """Some rows of an epoch; the masked tokens are what counts, and the pairs' mean loss is added to theirs."""
        rows = self.passages.rows(numbers, epoch)
        hidden = self.masking.hide(rows.ids, rows.lengths, numbers, -1 if epoch is None else epoch)
        move = lambda array: torch.from_numpy(array).to(self.device)
        labels = {"masked_token": Labels(move(hidden.wanted), move(hidden.places))}
        if len(pairs := np.flatnonzero(rows.follows >= 0)):
            weight = len(hidden.wanted) / len(pairs)
            labels["next_sentence"] = Labels(move(rows.follows[pairs]), move(pairs), weight=weight)
        layout = Layout.packed(rows.lengths, self.device)
        given = TokenInput(move(hidden.ids), layout, move(rows.segments))
        return Batch(len(hidden.wanted), {"text": given}, labels)

    def look(self, model: Model, most: int | None = None) -> Sums:
        """The losses of all rows, or of `most` of them; always the same words are hidden."""
        total = Sums()
        for numbers in self._some(most):
            batch = self.batch(numbers, None)
            found = model(batch.inputs, batch.labels)
            flat = [part for name in HEADS if name in found for part in _plain(found[name])]
            total = Sums(*(one + other for one, other in zip(total, flat + [0] * (6 - len(flat)), strict=True)))
        return total

    def samples(self, model: Model, tokenizer: Tokenizer) -> tuple[Sample, ...]:
        """A few rows, always the same: with their hidden words, as they were, and as the model fills them in."""
        numbers = np.unique(np.linspace(0, len(self.passages) - 1, SHOWN, dtype=np.int64))
        rows, batch = self.passages.rows(numbers), self.batch(numbers, None)
        states, layouts = model.encode(batch.inputs)
        places = batch.labels["masked_token"].rows
        assert places is not None
        best = model.logits("masked_token", states, layouts, places).argmax(-1).cpu().numpy()
        filled, hidden, at = rows.ids.copy(), rows.ids.copy(), places.cpu().numpy()
        filled[at], hidden[at] = best, self.masking.mask
        ends = np.cumsum(rows.lengths)[:-1]
        texts = [[_shown(tokenizer, row) for row in np.split(ids, ends)] for ids in (hidden, rows.ids, filled)]
        return tuple(Sample(*one) for one in zip(*texts, strict=True))

    def _some(self, most: int | None) -> Iterator[Ids]:
        """Numbers of rows, near lengths together."""
        count = len(self.passages)
        chosen = count if most is None else min(count, most)
        numbers = np.unique(np.linspace(0, count - 1, chosen, dtype=np.int64))
        lengths = self.passages.lengths("text")
        numbers = numbers[np.argsort(lengths[numbers], kind="stable")]
        rows = max(1, AT_A_TIME // (int(lengths.max(initial=0)) + 1))
        return (numbers[first : first + rows] for first in range(0, len(numbers), rows))


def _shown(tokenizer: Tokenizer, ids: Ids) -> str:
    """Ids as text; a mask as [MASK], with a space before it."""
    text = ""
    for hidden, run in groupby(ids.tolist(), lambda token: token == tokenizer.mask):
        part = list(run)
        text += " [MASK]" * len(part) if hidden else tokenizer.decode(part, inside=True)
    return text.strip()


def _plain(sums: object) -> tuple[float, int, int]:
    return float(sums.nll), int(sums.correct), sums.count  # type: ignore[attr-defined]


def build(recipe: Recipe, folder: Path, device: torch.device) -> Learning:
    """Model and data as the training loop wants them."""
    tokenizer, masks, seed = Tokenizer.load(folder / "tokenizer.json"), recipe.masking, recipe.seed
    train, dev = (
        Masked(
            Passages(Shards.open(folder / name), tokenizer, recipe.data.longest, drawn, masks.next_sentence),
            Masking(tokenizer, masks.share, masks.whole_words, drawn),
            device,
        )
        for name, drawn in (("train", seed), ("dev", FIXED))
    )
    model = Model(plan_of(recipe, tokenizer.vocab_size, plan_of_start(recipe, folder)), seed).to(device)
    start_with(model, recipe, folder)
    batches = Batches(train.passages, recipe.training.batch_tokens, seed, drawn=train.passages.drawn)
    data = recipe.data
    settings = {"longest": data.longest, "documents": data.documents, "fields": data.fields}
    extra = {**settings, "masking": msgspec.to_builtins(masks), **came(recipe, folder)}
    return Learning(
        model,
        epoch=batches.epoch,
        batch=train.batch,
        scores=lambda model: Validation(dev.look(model, VALIDATED).scores, dev.samples(model, tokenizer)),
        save=lambda folder, model: save_model(folder, model, "fill", tokenizer, extra),
    )
