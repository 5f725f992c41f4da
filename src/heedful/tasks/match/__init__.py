"""match: pictures and texts that belong together. ViLBERT's pretraining (Lu et al. 2019, 3.2) and retrieval both ways.

Two stages. Before the streams meet, a vector of each caption and of each picture is trained to be like its partner's
(in-batch negatives), so that many are compared at the price of one product; after they have met, co-attention says
whether a pair belongs together (0: yes, 1: no, as in ViLBERT), for the likeliest only. With `matching.contrast` = 0 it
is ViLBERT alone.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import torch

from ...config import Recipe
from ...data.captioned import Part, prepare_captioned
from ...data.gallery import Gallery, open_gallery
from ...data.readers import resolve
from ...data.regions import encoder_of
from ...data.table import Table
from ...errors import UserError
from ...model.families import masked_token, pooled_label
from ...model.model import Model
from ...model.plan import Head, Norm, Plan
from ...text.tokenizer import Tokenizer
from ...train.validation import Validation
from ..beginning import (
    came,
    keep_start,
    located,
    look,
    plan_of_start,
    planned,
    settled,
    sight_of_start,
    start_with,
    task_of_start,
)
from ..finding import save_model
from ..learning import Learning
from .batches import PLAIN, Pairs
from .closing import close, write_report
from .evaluating import evaluate, quick_recall
from .matcher import Matcher, load

__all__ = ["Matcher", "build", "close", "complete", "evaluate", "farewell", "load", "prepare", "write_report"]

VOCABULARY = 4000
VECTOR = 128


def complete(recipe: Recipe, root: Path | None = None) -> Recipe:
    """Files found, sizes chosen; UserError where the recipe's own words do not fit together."""
    weights = recipe.matching
    if not weights.contrast and not weights.alignment:
        raise UserError("nothing says what matches: set matching.contrast or matching.alignment above 0")
    pictures = recipe.pictures
    if pictures.features is not None and Path(pictures.features).suffix in (".safetensors", ".npz"):
        file = str(resolve(pictures.features, root).absolute())
        encoder_of(Path(file))
        recipe = msgspec.structs.replace(recipe, pictures=msgspec.structs.replace(pictures, features=file))
    recipe = settled(located(recipe, root), VOCABULARY)
    if recipe.training.start is not None:
        start, masking = look(recipe.training.start).plan, recipe.masking
        others = weights.alignment or weights.text * masking.share or weights.regions * masking.regions
        if start.apart == len(start.steps) and others:
            raise UserError(
                "training.start: its streams never meet, so only likeness can be trained: set matching.alignment, "
                "matching.text and matching.regions to 0"
            )
    return recipe


def prepare(recipe: Recipe, folder: Path) -> list[str]:
    """Tokenizer, pictures and pairs in the run's data."""
    lines, tokenizer = keep_start(recipe, folder)
    if task_of_start(recipe, folder) is not None:  # a place in every caption is its number's
        recipe = msgspec.structs.replace(
            recipe, data=msgspec.structs.replace(recipe.data, longest=recipe.data.longest - 1)
        )
    return [*lines, *prepare_captioned(recipe, folder, tokenizer, sight_of_start(recipe, folder))]


def plan_of(recipe: Recipe, tokenizer: Tokenizer, gallery: Gallery, start: Plan | None = None) -> Plan:
    """Two streams under the heads that the recipe gives weight to; those that the start has stay its own."""
    built = planned(recipe, tokenizer.vocab_size, start, **gallery.sight.sizes)
    sight, weights = gallery.sight, recipe.matching
    own = {} if start is None else {head.name: head for head in start.heads}
    heads: list[Head] = []
    if weights.contrast:
        heads.append(_likeness(built, own.get("likeness"), weights.sharpness))
    if weights.alignment:
        heads.append(pooled_label("alignment", ("text", "picture"), 2))
    if weights.text and recipe.masking.share:
        heads.append(masked_token("text", tokenizer.vocab_size, Norm(), "gelu"))
    if weights.regions and recipe.masking.regions:
        kind = "distribution" if sight.classes else "values"
        heads.append(Head(name="masked_region", streams=("picture",), outputs=sight.sizes["regions"],
                          transform="gelu", bias=True, objective=kind))  # fmt: skip
    kept = lambda head: head.name in own and head.name != "likeness" and own[head.name].outputs == head.outputs
    return built.with_heads(*(own[head.name] if kept(head) else head for head in heads))


def _likeness(built: Plan, own: Head | None, sharpness: float) -> Head:
    """The head whose vectors are compared: `own` is that of a start, which two towers keep as it is."""
    if own is not None and built.apart == len(built.steps):
        return own
    text, picture = built.stream("text"), built.stream("picture")
    if text.width != picture.width:
        raise UserError(
            f"matching.contrast compares streams of one width, not of {text.width} and {picture.width}: set "
            "model.picture_width, or matching.contrast = 0"
        )
    return Head(
        name="likeness", streams=("text", "picture"), outputs=VECTOR, reads="mean", before=built.apart,
        objective="contrast", sharpness=sharpness,
    )  # fmt: skip


def build(recipe: Recipe, folder: Path, device: torch.device) -> Learning:
    """Model and data as the training loop wants them."""
    tokenizer, gallery = Tokenizer.load(folder / "tokenizer.json"), open_gallery(folder)
    table = Table.open(folder / "pairs.safetensors")
    pools = int(table.columns["pool"][0].max())
    model = Model(plan_of(recipe, tokenizer, gallery, plan_of_start(recipe, folder)), recipe.seed).to(device)
    start_with(model, recipe, folder)
    task = task_of_start(recipe, folder)
    training, *heldout = (
        Pairs(recipe, Part(table, pool, tokenizer), gallery, tokenizer, device, task) for pool in range(pools + 1)
    )
    extra = {
        "pictures": msgspec.to_builtins(gallery.sight), "longest": recipe.data.longest,
        "fields": recipe.data.fields, "features": recipe.pictures.features, **came(recipe, folder),
    }  # fmt: skip

    def scores(model: Model) -> Validation:
        return _validate(model, heldout)

    def save(path: Path, model: Model) -> None:
        save_model(path, model, "match", tokenizer, extra)

    return Learning(model, training.epoch, training.batch, scores, save)


def _validate(model: Model, pools: list[Pairs]) -> Validation:
    """Losses of the held-out pairs, and the mean of their recall at 10 both ways, without looking at pairs again."""
    loss, tokens, right, judged = 0.0, 0, 0, 0
    for pairs in pools:
        for examples in pairs.batches.in_order():
            batch = pairs.batch(examples, PLAIN, learning=False)
            for name, sums in model(batch.inputs, batch.labels).items():
                loss += float(sums.loss)
                if name == "alignment":
                    right, judged = right + int(sums.correct), judged + sums.count
            tokens += batch.tokens
    found = {"loss": loss / tokens} | ({"accuracy": right / judged} if judged else {})
    return Validation(found | {"recall": quick_recall(model, pools)})


def farewell(run: Path) -> str:
    """What to do with the finished run."""
    return f'finished; try: heedful match -m {run} --pictures FOLDER "a red heart"'
