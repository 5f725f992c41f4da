"""Contrastive training of text vectors: the two texts of a pair are to be alike, and unlike the rest of the batch."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import torch

from ...config import Recipe
from ...data.batches import Batches
from ...data.pairs import prepare_pairs
from ...data.shards import Ids
from ...data.table import Table
from ...errors import UserError
from ...measure import retrieval
from ...model.embeddings import TokenInput
from ...model.heads import Labels
from ...model.layout import Layout
from ...model.model import Model
from ...model.plan import Head, Plan
from ...text.tokenizer import Tokenizer
from ...train.run import require_memory
from ...train.validation import Validation
from ..beginning import came, keep_start, located, look, plan_of_start, planned, settled, start_with, vocabulary
from ..finding import save_model
from ..learning import Batch, Learning

HEAD = "embedding"
SIDES = ("first", "second")
VALIDATED = 2000  # pairs of a validation, spread evenly over the held-out ones
AT_A_TIME = 4096  # tokens of a batch that is only looked at


def complete(recipe: Recipe, root: Path | None = None) -> Recipe:
    """The recipe with files found, and what it leaves open chosen by how much text there is."""
    recipe = located(recipe, root)
    recipe = settled(recipe, vocabulary(recipe))
    if recipe.data.longest < 3:
        raise UserError(f"data.longest = {recipe.data.longest} leaves no room for text; it needs 3 or more")
    start = look(recipe.training.start).plan if recipe.training.start is not None else None
    assert recipe.tokenizer.size is not None
    require_memory(plan_of(recipe, recipe.tokenizer.size, start), averaged=recipe.training.ema > 0)
    return recipe


def plan_of(recipe: Recipe, vocab: int, start: Plan | None) -> Plan:
    """The recipe's plan with the head that makes a text's vector, as wide as the model."""
    built = planned(recipe, vocab, start)
    if [stream.name for stream in built.streams] != ["text"]:
        raise UserError("training.start: this model reads more than one text; start from one made by `train fill`")
    reads, sharpness = recipe.training.reads, recipe.training.sharpness
    for head in built.heads:
        if head.name == HEAD and reads in (None, head.reads):  # of a model that makes vectors
            return built.with_heads(msgspec.structs.replace(head, sharpness=sharpness))
    head = Head(
        name=HEAD, streams=("text",), outputs=built.streams[0].width, reads=reads or "mean", objective="contrast",
        sharpness=sharpness,
    )  # fmt: skip
    return built.with_heads(head)


def prepare(recipe: Recipe, folder: Path) -> list[str]:
    """Tokenizer and tables in `folder`, made or found there."""
    lines, tokenizer = keep_start(recipe, folder)
    return lines + prepare_pairs(recipe, folder, tokenizer)


def width_of(plan: Plan) -> int:
    """Numbers of a text's vector."""
    head = plan.heads[0]
    return head.outputs or head.hidden or plan.streams[0].width


def rows_of(tokenizer: Tokenizer, ids: Ids, lengths: Ids, device: torch.device) -> TokenInput:
    """Texts end to end, and their lengths, as rows: each with a start and an end."""
    ends = np.cumsum(lengths)
    places = np.stack([ends - lengths, ends], 1).ravel()
    controls = np.tile([tokenizer.start, tokenizer.end], len(lengths))
    return TokenInput(torch.from_numpy(np.insert(ids, places, controls)).to(device), Layout.packed(lengths + 2, device))


def batch_of(tokenizer: Tokenizer, table: Table, numbers: Ids, device: torch.device) -> Batch:
    """Some pairs: all their first texts, then all their second ones. The loss is a mean over pairs."""
    sides = [table.rows(side, numbers) for side in SIDES]
    given = rows_of(tokenizer, *(np.concatenate(parts) for parts in zip(*sides, strict=True)), device)
    groups = table.rows("groups", numbers)[0].reshape(len(numbers), -1)
    return Batch(len(numbers), {"text": given}, {HEAD: Labels(torch.from_numpy(groups).to(device))})


def vectors_of(model: Model, tokenizer: Tokenizer, ids: Ids, lengths: Ids) -> retrieval.Vectors:
    """Unit vectors [rows, width] of texts end to end, whatever their order; near lengths are computed together."""
    device = next(model.parameters()).device
    order, ends = np.argsort(lengths, kind="stable"), np.cumsum(lengths)
    found = np.zeros((len(lengths), width_of(model.plan)), np.float32)
    rows = max(1, AT_A_TIME // (int(lengths.max(initial=0)) + 2))
    for first in range(0, len(order), rows):
        some = order[first : first + rows]
        parts = [ids[ends[row] - lengths[row] : ends[row]] for row in some]
        given = {"text": rows_of(tokenizer, np.concatenate(parts), lengths[some], device)}
        with torch.no_grad():
            states, layouts = model.encode(given)
            vectors = torch.nn.functional.normalize(model.logits(HEAD, states, layouts).float(), dim=-1)
        found[some] = vectors.cpu().numpy()
    return found


def _scores(model: Model, tokenizer: Tokenizer, dev: Table, batches: list[Ids]) -> Validation:
    device, nll, count = next(model.parameters()).device, 0.0, 0
    for numbers in batches:
        batch = batch_of(tokenizer, dev, numbers, device)
        sums = model(batch.inputs, batch.labels)[HEAD]
        nll, count = nll + float(sums.nll), count + sums.count
    numbers = np.unique(np.linspace(0, len(dev) - 1, min(len(dev), VALIDATED), dtype=np.int64))
    first, second = (vectors_of(model, tokenizer, *dev.rows(side, numbers)) for side in SIDES)
    groups = dev.rows("groups", numbers)[0].reshape(len(numbers), -1)
    found = retrieval.scores(first, second, groups)
    mrr = (found["mrr_there"] + found["mrr_back"]) / 2
    return Validation({"loss": nll / count, "recall": found["recall"], "mrr": mrr})


def build(recipe: Recipe, folder: Path, device: torch.device) -> Learning:
    """Model and data as the training loop wants them."""
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    model = Model(plan_of(recipe, tokenizer.vocab_size, plan_of_start(recipe, folder)), recipe.seed)
    start_with(model, recipe, folder)
    return learning(recipe, folder, model.to(device), tokenizer, device)


def learning(recipe: Recipe, folder: Path, model: Model, tokenizer: Tokenizer, device: torch.device) -> Learning:
    """Any model with the head, on the run's data."""
    train, dev = (Table.open(folder / f"{name}.safetensors") for name in ("train", "dev"))
    batches = Batches(train, recipe.training.batch_tokens, recipe.seed)
    looked = Batches(dev, recipe.training.batch_tokens, recipe.seed).in_order()
    data, origin = recipe.data, came(recipe, folder)
    return Learning(
        model,
        epoch=batches.epoch,
        batch=lambda numbers, epoch: batch_of(tokenizer, train, numbers, device),
        scores=lambda model: _scores(model, tokenizer, dev, looked),
        save=lambda folder, model: save_model(
            folder, model, "embed", tokenizer, {"longest": data.longest, "fields": data.fields, **origin}
        ),
    )
