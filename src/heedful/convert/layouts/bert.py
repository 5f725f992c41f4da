"""BERT (Devlin et al. 2019) as `transformers` keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...model.families import encoder, masked_token, pooled_label
from ...model.plan import Head, Norm, Plan
from ...text.tokenizer import Tokenizer
from ..agreement import nearest
from ..encoders import MASKED, has_masked, headed, heads_told, needed, notes_of
from ..layout import Reading, Writing
from ..rules import Rule, Rules, Tensors, layer
from ..settings import Settings
from ..sizes import Table, read, sizes_of, told
from ..tokenizers import read_one

KINDS = ("bert",)

SIZES: Table = {
    "vocab": ("vocab_size", 30522), "width": ("hidden_size", 768), "layers": ("num_hidden_layers", 12),
    "heads": ("num_attention_heads", 12), "feedforward": ("intermediate_size", 3072),
    "activation": ("hidden_act", "gelu"), "eps": ("layer_norm_eps", 1e-12),
    "capacity": ("max_position_embeddings", 512), "segments": ("type_vocab_size", 2),
    "dropout": ("hidden_dropout_prob", 0.1), "attention_dropout": ("attention_probs_dropout_prob", 0.1),
}  # fmt: skip
LAYER = {
    "text.query": "attention.self.query", "text.key": "attention.self.key", "text.value": "attention.self.value",
    "text.output": "attention.output.dense", "text.norm": "attention.output.LayerNorm",
    "feedforward.inner": "intermediate.dense", "feedforward.output": "output.dense",
    "feedforward.norm": "output.LayerNorm",
}  # fmt: skip
EMBEDDING = {
    "tokens": "word_embeddings", "positions": "position_embeddings", "segments": "token_type_embeddings",
    "norm": "LayerNorm",
}  # fmt: skip
LABEL: dict[str, Any] = {"reads": "pooled"}
MASKED_HEAD = {"transform": "transform.dense", "norm": "transform.LayerNorm", "output.bias": "bias"}


def reading(config: Settings, names: Tensors) -> Reading:
    """Of BertModel, BertForPreTraining, ...MaskedLM, ...SequenceClassification, ...TokenClassification and
    ...QuestionAnswering, by the names of the tensors."""
    config.must(position_embedding_type="absolute", is_decoder=False, add_cross_attention=False)
    trunk = "" if "embeddings.word_embeddings.weight" in names else "bert."
    sizes = read(config, SIZES)
    heads: tuple[Head, ...] = ()
    if "cls.predictions.bias" in names:
        heads += (masked_token("text", sizes["vocab"], Norm(eps=sizes["eps"]), sizes["activation"]),)
    if "cls.seq_relationship.weight" in names:
        heads += (pooled_label("next_sentence", ("text",), 2),)
    plan = encoder(**sizes, pool=f"{trunk}pooler.dense.weight" in names)
    dropout = config.share("classifier_dropout", sizes["dropout"])
    plan, purpose = headed(plan, config, heads, dropout, **LABEL)
    return Reading(plan, rules(plan, trunk), purpose.task, purpose.extra)


def rules(plan: Plan, trunk: str = "bert.") -> Rules:
    """The table of a plan; `trunk` is put before all but the heads."""
    decoder = "cls.predictions.decoder"
    table = [
        *layer("text.embedding", f"{trunk}embeddings", EMBEDDING),
        *layer("text.{i}", f"{trunk}encoder.layer.{{i}}", LAYER),
        Rule("text.pool", f"{trunk}pooler.dense"),
        *layer("heads.masked_token", "cls.predictions", MASKED_HEAD),
        Rule("heads.masked_token.output", decoder),
        Rule("heads.next_sentence.output", "cls.seq_relationship"),
        Rule("heads.label.output", "classifier"),
        Rule("heads.span.output", "qa_outputs"),
    ]
    copies = {f"{decoder}.bias": "cls.predictions.bias"} if has_masked(plan.heads) else {}
    if MASKED in plan.ties:
        copies[f"{decoder}.weight"] = f"{trunk}embeddings.word_embeddings.weight"
    return Rules(tuple(table), copies, left=(rf"{trunk}embeddings\.position_ids",))


def layer_of(stream: str) -> dict[str, str]:
    """The parts of a layer of BERT's that belongs to a stream of another name."""
    return {ours.replace("text.", f"{stream}."): theirs for ours, theirs in LAYER.items()}


def tokenizers(folder: Path, config: Settings) -> dict[str, Tokenizer]:
    """WordPiece between [CLS] and [SEP]."""
    return read_one(folder, config)


def writing(plan: Plan, extra: Mapping[str, Any]) -> Writing:
    """Post-norm encoders with learned positions; a model without segments gets one that is 0."""
    plan, sizes = needed(plan, extra), sizes_of(plan, "text")
    sizes["segments"] = max(1, sizes["segments"])
    config = {"model_type": "bert", **heads_told(plan, extra, "Bert"), **told(SIZES, sizes)}
    return nearest(reading, rules(plan, "bert." if plan.heads else ""), plan, config, notes=notes_of(extra))
