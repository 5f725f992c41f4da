"""RoBERTa (Liu et al. 2019), XLM-R and CamemBERT as `transformers` keeps them; and its pre-norm form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...model.families import encoder, masked_token
from ...model.plan import Norm, Plan
from ...text.tokenizer import Tokenizer
from ..agreement import nearest
from ..encoders import MASKED, has_masked, headed, heads_told, needed, notes_of
from ..layout import Reading, Writing, kind_of
from ..rules import Rule, Rules, Tensors, layer
from ..settings import Settings
from ..sizes import Table, read, sizes_of, told
from ..tokenizers import read_one
from . import bert

PRE = "roberta-prelayernorm"
CLASSES = {"roberta": "Roberta", "xlm-roberta": "XLMRoberta", "camembert": "Camembert", PRE: "RobertaPreLayerNorm"}
KINDS = tuple(CLASSES)
MAPPINGS = {"xlm-roberta": "shifted", "camembert": "camembert"}  # how their SentencePiece models are numbered
POST = tuple(kind for kind in KINDS if kind != PRE)

SIZES: Table = {**bert.SIZES, "vocab": ("vocab_size", 50265)}
# Pre-norm: the norms before attention and feed-forward are named apart from BERT's after them.
PRE_LAYER = {**bert.LAYER, "text.norm": "attention.LayerNorm", "feedforward.norm": "intermediate.LayerNorm"}
OFFSET = 2  # fairseq counts positions from the padding's id + 1
# Of a row's label: dense + tanh on the first token (RobertaClassificationHead).
LABEL: dict[str, Any] = {"reads": "first", "transform": "tanh", "norm": None}


def reading(config: Settings, names: Tensors) -> Reading:
    """Of RobertaModel, ...ForMaskedLM, ...SequenceClassification, ...TokenClassification and ...QuestionAnswering."""
    config.must(position_embedding_type="absolute", is_decoder=False, add_cross_attention=False)
    pre = config.take("model_type", str) == PRE
    trunk = "" if "embeddings.word_embeddings.weight" in names else _stem(pre)
    sizes, offset = read(config, SIZES), config.take("pad_token_id", int, OFFSET - 1) + 1
    if not 0 <= offset < sizes["capacity"]:
        raise UserError(f"{config.where}: 'pad_token_id' is {offset - 1}; positions begin after it, so it is from 0 on")
    sizes["capacity"] -= offset
    masked = (masked_token("text", sizes["vocab"], Norm(eps=sizes["eps"]), "gelu"),) if "lm_head.bias" in names else ()
    pool = f"{trunk}pooler.dense.weight" in names
    plan = encoder(**sizes, offset=offset, pool=pool, place="pre" if pre else "post")
    dropout = config.share("classifier_dropout", sizes["dropout"])
    plan, purpose = headed(plan, config, masked, dropout, **LABEL)
    return Reading(plan, rules(plan, trunk), purpose.task, purpose.extra)


def rules(plan: Plan, trunk: str = "roberta.") -> Rules:
    """The table of a plan; `trunk` is put before all but the heads."""
    through = any(head.name == "label" and head.transform for head in plan.heads)
    table = [
        *layer("text.embedding", f"{trunk}embeddings", bert.EMBEDDING),
        *layer("text.{i}", f"{trunk}encoder.layer.{{i}}", PRE_LAYER if _is_pre(plan) else bert.LAYER),
        Rule("text.norm", f"{trunk}LayerNorm"),
        Rule("text.pool", f"{trunk}pooler.dense"),
        Rule("heads.masked_token.transform", "lm_head.dense"),
        Rule("heads.masked_token.norm", "lm_head.layer_norm"),
        Rule("heads.masked_token.output.bias", "lm_head.bias"),
        Rule("heads.masked_token.output", "lm_head.decoder"),
        Rule("heads.label.transform", "classifier.dense"),
        Rule("heads.label.output", "classifier.out_proj" if through else "classifier"),
        Rule("heads.span.output", "qa_outputs"),
    ]
    copies = {"lm_head.decoder.bias": "lm_head.bias"} if has_masked(plan.heads) else {}
    if MASKED in plan.ties:
        copies["lm_head.decoder.weight"] = f"{trunk}embeddings.word_embeddings.weight"
    return Rules(tuple(table), copies, left=(rf"{trunk}embeddings\.position_ids",))


def _is_pre(plan: Plan) -> bool:
    return any(block.place == "pre" for _, _, block in plan.blocks())


def _stem(pre: bool) -> str:
    return "roberta_prelayernorm." if pre else "roberta."


def tokenizers(folder: Path, config: Settings) -> dict[str, Tokenizer]:
    """Byte-level pairs (XLM-R, CamemBERT: SentencePiece) between <s> and </s>; two </s> between the texts of a pair."""
    roles: dict[str, Any] = {"between": 2}
    mapping = MAPPINGS.get(config.take("model_type", str))
    if mapping is not None and not (folder / "tokenizer.json").is_file():
        roles |= {"mapping": mapping, "mask": "<mask>", "tags": ["<mask>"]}  # which follows the pieces
    return read_one(folder, config, **roles)


def writing(plan: Plan, extra: Mapping[str, Any]) -> Writing:
    """Encoders with learned positions, post-norm or pre-norm; positions that are never used are 0."""
    plan, sizes, pre = needed(plan, extra), sizes_of(plan, "text"), _is_pre(plan)
    offset = sizes["offset"] or 1  # the padding of our tokenizers is 0
    sizes |= {"segments": max(1, sizes["segments"]), "capacity": sizes["capacity"] + offset}
    kind = PRE if pre else kind_of(extra, POST)
    config = {
        "model_type": kind, **heads_told(plan, extra, CLASSES[kind]), **told(SIZES, sizes), "pad_token_id": offset - 1
    }  # fmt: skip
    return nearest(reading, rules(plan, _stem(pre) if plan.heads else ""), plan, config, notes=notes_of(extra))
