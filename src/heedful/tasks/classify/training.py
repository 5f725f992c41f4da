"""The model of a classifier and its batches, as the training loop wants them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from ...config import Recipe
from ...convert.layout import label_of
from ...data.batches import Batches
from ...data.spelled import Spelled
from ...measure import labels as measured
from ...model.embeddings import TokenInput
from ...model.heads import Labels
from ...model.layout import Layout
from ...model.model import Model
from ...model.plan import Head, Plan, Pool
from ...text.ragged import spans
from ...text.tokenizer import Tokenizer
from ...train.validation import Validation
from ..beginning import came, plan_of_start, planned, start_with
from ..examples import opened, read_kept
from ..finding import save_model
from ..learning import Batch, Learning, segmented, twice
from .preparing import Kept

VALIDATION_TOKENS = 8192
HEAD = "label"
OBJECTIVES = {"one": "classes", "several": "several", "number": "values"}


def plan_for(
    recipe: Recipe, vocab: int, kept: Kept, start: Plan | None = None, origin: Mapping[str, Any] | None = None
) -> Plan:
    """An encoder with one answer a row, read from the mean of its tokens' states or from the first; where the recipe
    does not say and the start came from another library (`origin`), as there."""
    built, reads = planned(recipe, vocab, start), recipe.training.reads
    own = label_of(origin) if origin is not None and reads is None else {}
    stream, reading = built.stream("text"), {"reads": reads or "mean", **own}
    pool = (stream.pool or Pool(width=stream.width)) if reading["reads"] == "pooled" else None
    head = Head(
        name=HEAD, streams=("text",), outputs=kept.outputs, bias=True, objective=OBJECTIVES[kept.kind],
        dropout=stream.embedding.dropout, **reading,
    )  # fmt: skip
    return msgspec.structs.replace(built.with_heads(head), streams=(msgspec.structs.replace(stream, pool=pool),))


def build(recipe: Recipe, folder: Path, device: torch.device) -> Learning:
    """Model and data; see `runs.Trained`."""
    kept, tokenizer = read_kept(folder, Kept), Tokenizer.load(folder / "tokenizer.json")
    start, origin = plan_of_start(recipe, folder), came(recipe, folder)
    model = Model(plan_for(recipe, tokenizer.vocab_size, kept, start, origin.get("origin")), recipe.seed)
    start_with(model, recipe, folder)
    train, dev = (opened(folder, name, recipe, tokenizer) for name in ("train", "dev"))
    batches, r_drop = Batches(train.table, recipe.training.batch_tokens, recipe.seed), recipe.training.r_drop
    extra = {"answers": msgspec.to_builtins(kept), "longest": recipe.data.longest, **origin}
    return Learning(
        model.to(device),
        epoch=batches.epoch,
        batch=lambda examples, epoch: batch_of(model, train, examples, epoch, device, kept.kind, r_drop),
        scores=lambda model: validated(model, dev, kept, device),
        save=lambda path, model: save_model(path, model, "classify", tokenizer, extra),
    )


def input_of(model: Model, rows: Spelled, examples: np.ndarray, epoch: int | None, device: torch.device) -> TokenInput:
    """The rows of some examples; the second text of a pair is segment 1, where the model has segments."""
    found = rows.rows(examples, epoch)
    second, _ = rows.table.rows("second", examples)
    segments = None
    if (second < found.words).any():
        place = spans(np.zeros(len(found.words), np.int64), found.words)
        segments = torch.from_numpy(np.repeat(place >= np.repeat(second, found.words), found.sizes).astype(np.int64))
        segments = segmented(model, segments.to(device))
    return TokenInput(torch.from_numpy(found.ids).to(device), Layout.packed(found.lengths, device), segments)


def batch_of(
    model: Model,
    rows: Spelled,
    examples: np.ndarray,
    epoch: int | None,
    device: torch.device,
    kind: str,
    r_drop: float = 0.0,
) -> Batch:
    """A micro-batch, whose loss is a mean over examples."""
    given = input_of(model, rows, examples, epoch, device)
    wanted = torch.from_numpy(rows.table.rows("label", examples)[0]).to(device)
    if kind != "one":
        wanted = wanted.view(len(examples), -1)
    labels = Labels(wanted, r_drop=r_drop)
    return Batch(len(examples), {"text": twice(given) if r_drop else given}, {HEAD: labels})


def answers(model: Model, rows: Spelled, device: torch.device) -> np.ndarray:
    """Logits [examples, outputs] of all examples, in order."""
    found = np.zeros((len(rows.table), model.heads[HEAD].plan.outputs))
    for examples in Batches(rows.table, VALIDATION_TOKENS, 0).in_order():
        states, layouts = model.encode({"text": input_of(model, rows, examples, None, device)})
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
