"""ViLBERT as MMF keeps it: all under "model.", the masked-token output not shared, one classifier for a task."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from msgspec import structs

from ...model.plan import Head, Norm, Plan
from ...text.tokenizer import Tokenizer
from ..agreement import nearest
from ..layout import Reading, Writing
from ..rules import Rules, Tensors, layer, matrix
from ..settings import Settings
from . import vilbert

KINDS = ()
EMBEDDING = "bert.embeddings.word_embeddings.weight"
STEMS = ("model.", "bert.")  # today's, and that of older files
CLASSIFIER = {"transform": "0.dense", "norm": "0.LayerNorm", "output": "1"}


def recognises(config: Settings, names: Collection[str]) -> bool:
    """ViLBERT's config.json over tensors that lie one level deeper."""
    return "bi_hidden_size" in config and any(f"{stem}{EMBEDDING}" in names for stem in STEMS)


def reading(config: Settings, names: Tensors) -> Reading:
    """Of ViLBERTForPretraining and ViLBERTForClassification."""
    stem = next(stem for stem in STEMS if f"{stem}{EMBEDDING}" in names)
    plan = vilbert.trunk(config, names, f"{stem}bert.")
    heads = (*vilbert.pretraining(config, names, stem), *_classifier(config, names, plan, stem))
    plan = structs.replace(plan, heads=heads, ties=())
    return Reading(plan, rules(plan, stem), *vilbert.purpose(config, plan))


def _classifier(config: Settings, names: Tensors, plan: Plan, stem: str) -> tuple[Head, ...]:
    """The head of a task, if there is one: two layers over the fused vector, or over those of two pictures."""
    if (output := f"{stem}classifier.1.weight") not in names:
        return ()
    outputs, width = matrix(names, output, config.where)
    pool = plan.streams[0].pool
    assert pool is not None
    head = vilbert.fused(
        config, "label", outputs, transform=config.activation("hidden_act"), hidden=width, norm=Norm(eps=vilbert.EPS),
        together=max(1, width // pool.width),
    )  # fmt: skip
    return (head,)


def rules(plan: Plan, stem: str = STEMS[0]) -> Rules:
    """The table of a plan."""
    table = vilbert.rules(plan, f"{stem}bert.", stem)
    return replace(table, rules=(*layer("heads.label", f"{stem}classifier", CLASSIFIER), *table.rules))


def tokenizers(folder: Path, config: Settings) -> dict[str, Tokenizer]:
    """BERT's WordPiece."""
    return vilbert.tokenizers(folder, config)


def writing(plan: Plan, extra: Mapping[str, Any]) -> Writing:
    """Two streams of tokens and regions, post-norm; the masked-token output is a matrix of its own."""
    config = vilbert.config_of(plan)
    return nearest(reading, rules(plan), plan, config)
