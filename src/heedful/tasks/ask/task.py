"""The task as recipes and the training loop see it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from ...config import Recipe
from ...data.batches import Batches
from ...data.gallery import NETWORKS
from ...data.patches import require_fit
from ...data.readers import resolve
from ...errors import UserError
from ...model.model import Model
from ...model.plan import Head, Norm, Patches, Plan, Tokens
from ...train.validation import Sample, Validation
from ..beginning import came, located, plan_of_start, planned, settled, start_with
from ..finding import save_model
from ..learning import Batch, Learning
from .batching import HEAD, inputs_of, labels_of
from .prepared import Prepared, open_all

VOCABULARY = 2000
VALIDATION_TOKENS = 2048
SHOWN = 5  # questions with the model's answer, at every validation


def complete(recipe: Recipe, root: Path | None = None) -> Recipe:
    """The recipe with files found and what it leaves open chosen; UserError for what could only fail later."""
    recipe = settled(located(recipe, root), VOCABULARY)
    if recipe.data.labels == "number":
        raise UserError('data.labels = "number" is not for ask: numbers are answers like others; leave it out')
    if recipe.pictures.features is None:
        require_fit(recipe.pictures.size, recipe.pictures.edge)
    elif recipe.pictures.features not in NETWORKS:
        found = str(resolve(recipe.pictures.features, root).absolute())
        recipe = msgspec.structs.replace(recipe, pictures=msgspec.structs.replace(recipe.pictures, features=found))
    return recipe


def plan_of(recipe: Recipe, data: Prepared, start: Plan | None, foreign: bool = False) -> Plan:
    """Two streams under one head, whose classes are the answers; `foreign`: the start came from another library."""
    built = planned(recipe, data.tokenizer.vocab_size, start, **data.gallery.sight.sizes)
    embedding, patches = (built.stream(name).embedding for name in ("text", "picture"))
    assert isinstance(embedding, Tokens)
    if isinstance(patches, Patches) and patches.capacity:
        most = max(data.longest_picture(table) for table in (data.train, data.dev))
        if patches.capacity < most:
            raise UserError(
                f"model.picture_capacity = {patches.capacity} positions; {most} patches are shown: raise it"
            )
    head, objective = head_of(start, foreign), "several" if data.answers.several else "classes"
    return built.with_heads(
        msgspec.structs.replace(head, outputs=len(data.answers), objective=objective, dropout=embedding.dropout)
    )


def head_of(start: Plan | None, foreign: bool) -> Head:
    """How answers are read: off the question's first state, which has seen the picture (LXMERT: Tan & Bansal 2019,
    3.1); or as the model to start from does. A ViLBERT that has no answers yet gets what 12-in-1 has (Lu et al. 2020,
    3.2): a perceptron over both pooled vectors."""
    own = {} if start is None else {head.name: head for head in start.heads}
    if HEAD in own:
        return own[HEAD]
    judges, pool = own.get("alignment"), start and start.stream("text").pool
    if foreign and pool and judges is not None and len(judges.streams) == 2:
        norm = Norm(eps=1e-12)
        return msgspec.structs.replace(judges, name=HEAD, transform="gelu", hidden=2 * pool.width, norm=norm)
    return Head(name=HEAD, streams=("text",), outputs=0, reads="first", transform="gelu", bias=True)


def build(recipe: Recipe, folder: Path, device: torch.device) -> Learning:
    """Model and data as the training loop wants them."""
    data = open_all(folder)
    origin = came(recipe, folder)
    model = Model(plan_of(recipe, data, plan_of_start(recipe, folder), bool(origin)), recipe.seed).to(device)
    start_with(model, recipe, folder)
    # Questions are short and pictures alike: examples are not sorted by length, so every batch is mixed.
    batches = Batches(data.train, recipe.training.batch_tokens, recipe.seed, window=1)
    several, count = data.answers.several, len(data.answers)
    change = {"seed": recipe.seed, "change": recipe.pictures}

    def batch(examples: Any, epoch: int) -> Batch:
        inputs = inputs_of(data.train, data.gallery, examples, device, epoch=epoch, **change)
        labels = labels_of(data.train, examples, count, several, device)
        return Batch(len(examples), dict(inputs), {HEAD: labels})

    extra = {
        "answers": data.answers.words, "longest": recipe.data.longest, "fields": recipe.data.fields,
        "pictures": msgspec.to_builtins(data.gallery.sight), **origin,
    }  # fmt: skip

    def save(path: Path, model: Model) -> None:
        save_model(path, model, "ask", data.tokenizer, extra)

    return Learning(model, batches.epoch, batch, lambda model: validated(model, data, device), save)


def validated(model: Model, data: Prepared, device: torch.device) -> Validation:
    """Mean loss of the dev questions whose answer is known, accuracy of all of them, and some to look at."""
    table, loss, known = data.dev, 0.0, 0
    said = np.zeros(len(table), np.int64)
    for examples in Batches(table, VALIDATION_TOKENS, 0).in_order():
        labels = labels_of(table, examples, len(data.answers), data.answers.several, device)
        states, layouts = model.encode(inputs_of(table, data.gallery, examples, device))
        sums = model.head_loss(HEAD, states, layouts, labels, 0.0)
        loss, known = loss + float(sums.nll), known + sums.count
        said[examples] = model.logits(HEAD, states, layouts).argmax(-1).cpu().numpy()
    (right, counts), (credit, _) = (table.rows(name, np.arange(len(table))) for name in ("answer", "credit"))
    accuracy = float(credit[right == np.repeat(said, counts)].sum()) / len(table)
    shown = np.linspace(0, len(table) - 1, min(SHOWN, len(table))).round().astype(int)
    samples = tuple(_sample(data, int(number), data.answers.words[said[number]]) for number in shown)
    return Validation({"loss": loss / max(known, 1), "accuracy": accuracy}, samples)


def _sample(data: Prepared, number: int, said: str) -> Sample:
    question = data.tokenizer.decode(int(one) for one in data.dev.row("text", number))
    right = data.dev.row("answer", number)
    return Sample(question, data.answers.words[int(right[0])] if len(right) else "(not in training)", said)
