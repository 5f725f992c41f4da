"""The model of a classifier and its batches, as the training loop wants them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import torch

from ...config import Recipe
from ...data.batches import Batches
from ...data.spelled import Spelled
from ...measure import labels as measured
from ...model.embeddings import TokenInput
from ...model.heads import Labels
from ...model.layout import Layout
from ...model.model import Model
from ...model.plan import Head, Plan
from ...text.ragged import spans
from ...text.tokenizer import Tokenizer
from ...train.validation import Validation
from ..beginning import plan_of_start, planned, start_with
from ..examples import opened, read_kept
from ..finding import save_model
from ..learning import Batch, Learning, twice
from .preparing import Kept

VALIDATION_TOKENS = 8192
HEAD = "label"
OBJECTIVES = {"one": "classes", "several": "several", "number": "values"}


def plan_for(recipe: Recipe, vocab: int, kept: Kept, start: Plan | None = None) -> Plan:
    """An encoder with one answer a row, read from the mean of its tokens' states or, as in BERT, from the first."""
    built = planned(recipe, vocab, start)
    stream = msgspec.structs.replace(built.stream("text"), pool=None)
    head = Head(
        name=HEAD, streams=("text",), outputs=kept.outputs, reads=recipe.training.reads, bias=True,
        objective=OBJECTIVES[kept.kind], dropout=stream.embedding.dropout,
    )  # fmt: skip
    return msgspec.structs.replace(built.with_heads(head), streams=(stream,))


def build(recipe: Recipe, folder: Path, device: torch.device) -> Learning:
    """Model and data; see `runs.Trained`."""
    kept, tokenizer = read_kept(folder, Kept), Tokenizer.load(folder / "tokenizer.json")
    model = Model(plan_for(recipe, tokenizer.vocab_size, kept, plan_of_start(recipe, folder)), recipe.seed)
    start_with(model, recipe, folder)
    train, dev = opened(folder, "train", recipe), opened(folder, "dev", recipe)
    batches = Batches(train.table, recipe.training.batch_tokens, recipe.seed)
    extra = {"answers": msgspec.to_builtins(kept), "longest": recipe.data.longest}
    return Learning(
        model.to(device),
        epoch=batches.epoch,
        batch=lambda examples, epoch: batch_of(train, examples, epoch, device, kept.kind, recipe.training.r_drop),
        scores=lambda model: validated(model, dev, kept, device),
        save=lambda path, model: save_model(path, model, "classify", tokenizer, extra),
    )


def input_of(rows: Spelled, examples: np.ndarray, epoch: int | None, device: torch.device) -> TokenInput:
    """The rows of some examples; the second text of a pair is segment 1."""
    found = rows.rows(examples, epoch)
    second, _ = rows.table.rows("second", examples)
    segments = None
    if (second < found.words).any():
        place = spans(np.zeros(len(found.words), np.int64), found.words)
        segments = torch.from_numpy(np.repeat(place >= np.repeat(second, found.words), found.sizes).astype(np.int64))
        segments = segments.to(device)
    return TokenInput(torch.from_numpy(found.ids).to(device), Layout.packed(found.lengths, device), segments)


def batch_of(
    rows: Spelled, examples: np.ndarray, epoch: int | None, device: torch.device, kind: str, r_drop: float = 0.0
) -> Batch:
    """A micro-batch, whose loss is a mean over examples."""
    given = input_of(rows, examples, epoch, device)
    wanted = torch.from_numpy(rows.table.rows("label", examples)[0]).to(device)
    if kind != "one":
        wanted = wanted.view(len(examples), -1)
    labels = Labels(wanted, r_drop=r_drop)
    return Batch(len(examples), {"text": twice(given) if r_drop else given}, {HEAD: labels})


def answers(model: Model, rows: Spelled, device: torch.device) -> np.ndarray:
    """Logits [examples, outputs] of all examples, in order."""
    found = np.zeros((len(rows.table), model.heads[HEAD].plan.outputs))
    for examples in Batches(rows.table, VALIDATION_TOKENS, 0).in_order():
        states, layouts = model.encode({"text": input_of(rows, examples, None, device)})
        found[examples] = model.logits(HEAD, states, layouts).double().cpu().numpy()
    return found


def validated(model: Model, dev: Spelled, kept: Kept, device: torch.device) -> Validation:
    """The mean loss, and scores of the answers."""
    logits, everything = answers(model, dev, device), np.arange(len(dev.table))
    wanted = dev.table.rows("label", everything)[0].reshape(len(dev.table), -1)
    if kept.kind == "number":
        scores = {"loss": float(0.5 * np.square(logits - wanted).sum() / len(wanted))}
        return Validation(scores | {"correlation": measured.pearson(logits[:, 0], wanted[:, 0].astype(np.float64))})
    if kept.kind == "several":
        said, there = logits > 0, wanted > 0
        loss = float((np.logaddexp(0.0, logits) - logits * wanted).sum() / len(wanted))
        f1 = measured.micro(measured.by_set(there, said)).f1
        return Validation({"loss": loss, "accuracy": float((said == there).all(1).mean()), "f1": f1})
    wanted = wanted[:, 0]
    highest = logits.max(1)
    sums = highest + np.log(np.exp(logits - highest[:, None]).sum(1))
    loss = float((sums - logits[np.arange(len(wanted)), wanted]).mean())
    table = measured.confusion(wanted, logits.argmax(1), kept.outputs)
    accuracy = float(np.trace(table) / table.sum())
    return Validation({"loss": loss, "accuracy": accuracy, "f1": measured.macro_f1(measured.by_label(table))})
