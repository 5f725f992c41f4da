"""DistilBERT (Sanh et al. 2019) as `transformers` keeps it: BERT without segments, pool and next sentences."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...model.families import encoder, masked_token
from ...model.plan import Norm, Plan
from ...text.tokenizer import Tokenizer
from ..agreement import nearest
from ..encoders import MASKED, headed, heads_told, needed, notes_of
from ..layout import Reading, Writing
from ..rules import Rule, Rules, Tensors, layer
from ..settings import Settings
from ..sizes import Table, read, sizes_of, told
from ..tokenizers import read_one
from .bert import EMBEDDING

KINDS = ("distilbert",)

SIZES: Table = {
    "vocab": ("vocab_size", 30522), "width": ("dim", 768), "layers": ("n_layers", 6), "heads": ("n_heads", 12),
    "feedforward": ("hidden_dim", 3072), "activation": ("activation", "gelu"),
    "capacity": ("max_position_embeddings", 512), "dropout": ("dropout", 0.1),
    "attention_dropout": ("attention_dropout", 0.1),
}  # fmt: skip
EPS = 1e-12  # no setting of theirs
LAYER = {
    "text.query": "attention.q_lin", "text.key": "attention.k_lin", "text.value": "attention.v_lin",
    "text.output": "attention.out_lin", "text.norm": "sa_layer_norm", "feedforward.inner": "ffn.lin1",
    "feedforward.output": "ffn.lin2", "feedforward.norm": "output_layer_norm",
}  # fmt: skip
# Of a row's label: dense + ReLU on the first token.
LABEL: dict[str, Any] = {"reads": "first", "transform": "relu", "norm": None}


def reading(config: Settings, names: Tensors) -> Reading:
    """Of DistilBertModel, ...ForMaskedLM, ...SequenceClassification, ...TokenClassification, ...QuestionAnswering."""
    trunk, sizes = "" if "embeddings.word_embeddings.weight" in names else "distilbert.", read(config, SIZES)
    masked = (masked_token("text", sizes["vocab"], Norm(eps=EPS), sizes["activation"]),)
    plan = encoder(**sizes, eps=EPS, segments=0, pool=False)
    of_rows = config.architecture.endswith("ForSequenceClassification")
    dropout = config.share("seq_classif_dropout", 0.2) if of_rows else sizes["dropout"]
    plan, purpose = headed(plan, config, masked if "vocab_transform.weight" in names else (), dropout, **LABEL)
    return Reading(plan, rules(plan, trunk), purpose.task, purpose.extra)


def rules(plan: Plan, trunk: str = "distilbert.") -> Rules:
    """The table of a plan; `trunk` is put before all but the heads."""
    table = [
        *layer("text.embedding", f"{trunk}embeddings", EMBEDDING),
        *layer("text.{i}", f"{trunk}transformer.layer.{{i}}", LAYER),
        Rule("heads.masked_token.transform", "vocab_transform"),
        Rule("heads.masked_token.norm", "vocab_layer_norm"),
        Rule("heads.masked_token.output", "vocab_projector"),
        Rule("heads.label.transform", "pre_classifier"),
        Rule("heads.label.output", "classifier"),
        Rule("heads.span.output", "qa_outputs"),
    ]
    copies = {"vocab_projector.weight": f"{trunk}embeddings.word_embeddings.weight"} if MASKED in plan.ties else {}
    return Rules(tuple(table), copies, left=(rf"{trunk}embeddings\.position_ids",))


def tokenizers(folder: Path, config: Settings) -> dict[str, Tokenizer]:
    """WordPiece between [CLS] and [SEP]."""
    return read_one(folder, config)


def writing(plan: Plan, extra: Mapping[str, Any]) -> Writing:
    """Post-norm encoders without segments and pool, with learned positions."""
    plan = needed(plan, extra)
    config = {
        "model_type": "distilbert",
        **heads_told(plan, extra, "DistilBert"),
        **told(SIZES, sizes_of(plan, "text")),
    }
    return nearest(reading, rules(plan, "distilbert." if plan.heads else ""), plan, config, notes=notes_of(extra))
