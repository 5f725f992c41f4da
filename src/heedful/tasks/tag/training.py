"""The model of a tagger and its batches, as the training loop wants them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import torch

from ...config import Recipe
from ...data.batches import Batches
from ...data.spelled import Rows, Spelled
from ...decode.tags import bio_rule, viterbi
from ...measure import labels as measured
from ...measure.entities import entity_rates
from ...model.embeddings import TokenInput
from ...model.heads import Labels
from ...model.layout import Layout
from ...model.model import Model
from ...model.plan import Head, Plan
from ...text.ragged import offsets
from ...text.tokenizer import Tokenizer
from ...train.validation import Validation
from ..beginning import came, plan_of_start, start_with
from ..examples import opened, read_kept
from ..finding import save_model
from ..learning import Batch, Learning
from .preparing import Kept, tells_shapes, trunk

VALIDATION_TOKENS = 8192
HEAD = "label"


def plan_for(recipe: Recipe, tokenizer: Tokenizer, kept: Kept, start: Plan | None = None) -> Plan:
    """An encoder with an answer for each word, read from its first piece."""
    built = trunk(recipe, tokenizer.vocab_size, start, tells_shapes(tokenizer))
    drop = built.stream("text").embedding.dropout
    return built.with_heads(Head(name=HEAD, streams=("text",), outputs=len(kept.labels), bias=True, dropout=drop))


def build(recipe: Recipe, folder: Path, device: torch.device) -> Learning:
    """Model and data; see `runs.Trained`."""
    kept, tokenizer = read_kept(folder, Kept), Tokenizer.load(folder / "tokenizer.json")
    model = Model(plan_for(recipe, tokenizer, kept, plan_of_start(recipe, folder)), recipe.seed)
    start_with(model, recipe, folder)
    train, dev = (opened(folder, name, recipe, tokenizer) for name in ("train", "dev"))
    batches = Batches(train.table, recipe.training.batch_tokens, recipe.seed)
    extra = {"answers": msgspec.to_builtins(kept), "longest": recipe.data.longest, **came(recipe, folder)}
    return Learning(
        model.to(device),
        epoch=batches.epoch,
        batch=lambda examples, epoch: batch_of(train, examples, epoch, device),
        scores=lambda model: validated(model, dev, kept, device),
        save=lambda path, model: save_model(path, model, "tag", tokenizer, extra),
    )


def batch_of(rows: Spelled, examples: np.ndarray, epoch: int | None, device: torch.device) -> Batch:
    """A micro-batch, whose loss is a mean over words."""
    given, places = input_of(rows, examples, epoch, device)
    wanted = torch.from_numpy(rows.table.rows("label", examples)[0]).to(device)
    return Batch(len(wanted), {"text": given}, {HEAD: Labels(wanted, rows=places)})


def input_of(
    rows: Spelled, examples: np.ndarray, epoch: int | None, device: torch.device
) -> tuple[TokenInput, torch.Tensor]:
    """The rows of some examples, and the tokens that the words begin with."""
    found = rows.rows(examples, epoch)
    shapes = None
    if tells_shapes(rows.tokenizer):
        shapes = torch.from_numpy(np.repeat(rows.table.rows("shape", examples)[0], found.sizes)).to(device)
    given = TokenInput(torch.from_numpy(found.ids).to(device), Layout.packed(found.lengths, device), shapes)
    return given, torch.from_numpy(_first_tokens(rows, examples, found)).to(device)


def _first_tokens(rows: Spelled, examples: np.ndarray, found: Rows) -> np.ndarray:
    """Of each labelled word, its first token among those of the batch."""
    first, words = rows.table.rows("first", examples)
    return np.asarray(offsets(found.sizes)[np.repeat(offsets(found.words)[:-1], words) + first])


def answers(model: Model, rows: Spelled, device: torch.device) -> np.ndarray:
    """Log-probabilities [words, labels] of all words, in the order of rows and words."""
    head, begins = model.heads[HEAD].plan.outputs, offsets(rows.table.lengths("first"))
    found = np.zeros((int(begins[-1]), head))
    for examples in Batches(rows.table, VALIDATION_TOKENS, 0).in_order():
        given, places = input_of(rows, examples, None, device)
        states, layouts = model.encode({"text": given})
        logits = model.logits(HEAD, states, layouts, places).double().log_softmax(-1).cpu().numpy()
        ends = np.cumsum(begins[examples + 1] - begins[examples])[:-1]
        for example, part in zip(examples, np.split(logits, ends), strict=True):
            found[begins[example] : begins[example + 1]] = part
    return found


def likeliest(scores: np.ndarray, counts: np.ndarray, kept: Kept) -> list[np.ndarray]:
    """The labels of sentences of so many words: of entities such that each I- goes on with what is before it."""
    sentences = np.split(scores, np.cumsum(counts)[:-1]) if len(counts) else []
    if not kept.entities:
        return [one.argmax(1) for one in sentences]
    rule = bio_rule(kept.labels)
    return [viterbi(one, rule) for one in sentences]


def validated(model: Model, dev: Spelled, kept: Kept, device: torch.device) -> Validation:
    """The mean loss of a word, the share of right labels, and F1: of entities, or the mean of all labels."""
    scores, counts = answers(model, dev, device), dev.table.lengths("first")
    wanted, _ = dev.table.rows("label", np.arange(len(dev.table)))
    said = likeliest(scores, counts, kept)
    together = np.concatenate(said)
    if kept.entities:
        names = lambda rows: [[kept.labels[number] for number in row] for row in rows]
        rates = entity_rates(names(np.split(wanted, np.cumsum(counts)[:-1])), names(said))
        f1 = measured.micro(list(rates.values())).f1
    else:
        f1 = measured.macro_f1(measured.by_label(measured.confusion(wanted, together, len(kept.labels))))
    loss = -float(scores[np.arange(len(wanted)), wanted].mean())
    return Validation({"loss": loss, "accuracy": float((together == wanted).mean()), "f1": f1})
