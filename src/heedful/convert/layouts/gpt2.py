"""GPT-2 (Radford et al. 2019) as `transformers` keeps it: matrices [inputs, outputs], query, key and value in one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import structs

from ...model.families import decoder
from ...model.plan import Plan
from ...text.tokenizer import Tokenizer
from ..agreement import nearest
from ..layout import Reading, Writing
from ..rules import Rule, Rules, Tensors, layer
from ..settings import Settings
from ..sizes import Table, read, sizes_of, told
from ..tokenizers import read_one

KINDS = ("gpt2",)

SIZES: Table = {
    "vocab": ("vocab_size", 50257), "width": ("n_embd", 768), "layers": ("n_layer", 12), "heads": ("n_head", 12),
    "feedforward": ("n_inner", int), "activation": ("activation_function", "gelu_new"),
    "eps": ("layer_norm_epsilon", 1e-5), "capacity": ("n_positions", 1024), "dropout": ("resid_pdrop", 0.1),
    "attention_dropout": ("attn_pdrop", 0.1),
}  # fmt: skip
PARTS = tuple(f"text.{{i}}.text.{part}" for part in ("query", "key", "value"))


def reading(config: Settings, names: Tensors) -> Reading:
    """Of GPT2Model and GPT2LMHeadModel."""
    config.must(
        scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False, reorder_and_upcast_attn=False,
        add_cross_attention=False,
    )  # fmt: skip
    trunk = "" if "wte.weight" in names else "transformer."
    headed = config.architecture.endswith("LMHeadModel") or not config.architecture
    sizes = read(config, {**SIZES, "feedforward": ("n_inner", 4 * config.size("n_embd", 768))})
    plan = decoder(**sizes, tie=config.take("tie_word_embeddings", bool, True))
    (text,) = plan.streams
    embedding = structs.replace(text.embedding, dropout=config.share("embd_pdrop", 0.1))
    plan = structs.replace(plan, streams=(structs.replace(text, embedding=embedding),))
    if not headed:
        plan = structs.replace(plan, heads=(), ties=())
        return Reading(plan, rules(plan, trunk))
    return Reading(plan, rules(plan, trunk), "write", {"context": sizes["capacity"], "documents": "file"})


def rules(plan: Plan, trunk: str = "transformer.") -> Rules:
    """The table of a plan; `trunk` is put before all but the head."""
    here = f"{trunk}h.{{i}}"
    table = [
        Rule("text.embedding.tokens", f"{trunk}wte"),
        Rule("text.embedding.positions", f"{trunk}wpe"),
        Rule(PARTS, f"{here}.attn.c_attn", turned=True),
        *layer("text.{i}", here, {"text.output": "attn.c_proj", "feedforward.inner": "mlp.c_fc",
                                  "feedforward.output": "mlp.c_proj"}, turned=True),
        *layer("text.{i}", here, {"text.norm": "ln_1", "feedforward.norm": "ln_2"}),
        Rule("text.norm", f"{trunk}ln_f"),
        Rule("heads.next_token.output", "lm_head"),
    ]  # fmt: skip
    copies = {"lm_head.weight": f"{trunk}wte.weight"} if plan.ties else {}
    return Rules(tuple(table), copies, left=(rf"{trunk}h\.\d+\.attn\.(masked_)?bias",))


def tokenizers(folder: Path, config: Settings) -> dict[str, Tokenizer]:
    """Byte-level pairs; <|endoftext|> is start and end."""
    return read_one(folder, config)


def writing(plan: Plan, extra: Mapping[str, Any]) -> Writing:
    """Pre-norm decoders with learned positions; biases that are not there are 0."""
    sizes = sizes_of(plan, "text")
    config = {
        "model_type": "gpt2", "architectures": ["GPT2LMHeadModel" if plan.heads else "GPT2Model"],
        **told(SIZES, sizes), "embd_pdrop": plan.streams[0].embedding.dropout,
    }  # fmt: skip
    if plan.heads:
        config["tie_word_embeddings"] = bool(plan.ties)
    return nearest(reading, rules(plan, "transformer." if plan.heads else ""), plan, config)
