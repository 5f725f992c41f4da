"""CLIP's two towers (Radford et al. 2021) as `transformers` keeps them: a text and a picture, each made a vector."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...errors import UserError
from ...model.plan import Head, Norm, Patches, Plan, Pool, Tokens
from ...text.tokenizer import Tokenizer
from ..agreement import nearest
from ..layout import Reading, Writing
from ..preparing import FILES
from ..preparing import told as told_of_pictures
from ..rules import Rule, Rules, Tensors, layer
from ..settings import Settings
from ..sizes import Table, read, sizes_of, told
from ..tokenizers import read_one
from .vit import PATCHES, capacity, image_size, tower

KINDS = ("clip",)

COMMON: Table = {
    "layers": ("num_hidden_layers", 12), "activation": ("hidden_act", "quick_gelu"), "eps": ("layer_norm_eps", 1e-5),
    "attention_dropout": ("attention_dropout", 0.0),
}  # fmt: skip
TEXT: Table = {
    **COMMON, "width": ("hidden_size", 512), "heads": ("num_attention_heads", 8),
    "feedforward": ("intermediate_size", 2048),
}  # fmt: skip
PICTURE: Table = {
    **COMMON, "width": ("hidden_size", 768), "heads": ("num_attention_heads", 12),
    "feedforward": ("intermediate_size", 3072),
}  # fmt: skip
TOKENS: Table = {"vocab": ("vocab_size", 49408), "capacity": ("max_position_embeddings", 77)}
VISION: Table = {**PATCHES, "edge": ("patch_size", 32)}
ATTENTION = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "out_proj"}
FEEDFORWARD = {
    "feedforward.inner": "mlp.fc1", "feedforward.output": "mlp.fc2", "feedforward.norm": "layer_norm2"
}  # fmt: skip
SCALE = "logit_scale"


def reading(config: Settings, names: Tensors) -> Reading:
    """Of CLIPModel. A text's vector is read off its last token, which is the end; pictures begin with a vector."""
    text, vision = _part(config, "text_config"), _part(config, "vision_config")
    joint = config.size("projection_dim", 512)
    tokens, patches, seen = read(text, TOKENS), read(vision, VISION), read(vision, PICTURE)
    words = tower(
        "text", Tokens(**tokens, positions="learned"), Pool(width=joint, activation="none", bias=False, reads="last"),
        mask="causal", **read(text, TEXT),
    )  # fmt: skip
    sight = Patches(
        **patches, box=0, capacity=capacity(vision, patches["edge"]), first=True, bias=False, norm=Norm(eps=seen["eps"])
    )  # fmt: skip
    shown = tower("picture", sight, Pool(width=joint, activation="none", bias=False), **seen)
    if SCALE not in names or tuple(names.shape(SCALE)) not in ((), (1,)):
        raise UserError(f"{config.where}: {SCALE!r}, a single number, is not among the tensors")
    scale = float(names[SCALE].float())
    if not -100 < scale < 100:  # nor if it is no number
        raise UserError(f"{config.where}: {SCALE!r} is {scale}; it is the logarithm of what cosines are multiplied by")
    head = Head(
        name="likeness", streams=("text", "picture"), outputs=0, reads="pooled", objective="contrast",
        sharpness=math.exp(scale),
    )  # fmt: skip
    both = {part: (*words[part], *shown[part]) for part in words}
    plan = Plan(**both, heads=(head,), initialization="bert")
    size = math.isqrt(sight.capacity - 1) * sight.edge
    pictures = {"encoder": "patches", "size": [size, size], "edge": sight.edge}
    extra = {"pictures": pictures, "longest": tokens["capacity"], SCALE: scale}
    return Reading(plan, rules(plan), "match", extra)


def _part(config: Settings, key: str) -> Settings:
    """The settings of a tower; those of an older table, with defaults where it is silent, count if both are there."""
    older = f"{key}_dict"
    return config.part(older if older in config else key)


def rules(plan: Plan) -> Rules:
    """The table of a plan. The temperature is a number of the plan, not a parameter."""
    picture = plan.stream("picture")
    embedding = picture.embedding
    assert isinstance(embedding, Patches)
    shape = (picture.width, embedding.channels, embedding.edge, embedding.edge)
    table = [
        Rule("text.embedding.tokens", "text_model.embeddings.token_embedding"),
        Rule("text.embedding.positions", "text_model.embeddings.position_embedding"),
        Rule("text.norm", "text_model.final_layer_norm"),
        Rule("text.pool", "text_projection"),
        Rule("picture.embedding.first", "vision_model.embeddings.class_embedding"),
        Rule("picture.embedding.pixels", "vision_model.embeddings.patch_embedding", shape=shape),
        Rule("picture.embedding.positions", "vision_model.embeddings.position_embedding"),
        Rule("picture.embedding.norm", "vision_model.pre_layrnorm"),
        Rule("picture.norm", "vision_model.post_layernorm"),
        Rule("picture.pool", "visual_projection"),
    ]
    for ours, theirs in (("text", "text_model"), ("picture", "vision_model")):
        here = f"{theirs}.encoder.layers.{{i}}"
        table += layer(f"{ours}.{{i}}.{ours}", f"{here}.self_attn", ATTENTION)
        table += layer(f"{ours}.{{i}}", here, {f"{ours}.norm": "layer_norm1", **FEEDFORWARD})
    return Rules(tuple(table), left=(SCALE, r"(text|vision)_model\.embeddings\.position_ids"))


def tokenizers(folder: Path, config: Settings) -> dict[str, Tokenizer]:
    """Byte-level pairs of lower case, between <|startoftext|> and <|endoftext|>."""
    return read_one(folder, config.part("text_config"))


def writing(plan: Plan, extra: Mapping[str, Any]) -> Writing:
    """Two towers that never meet, of pre-norm blocks."""
    text, picture, pool = sizes_of(plan, "text"), sizes_of(plan, "picture"), plan.stream("text").pool
    if [head.name for head in plan.heads] != ["likeness"] or pool is None:
        raise UserError("the layout clip has one head, likeness, of vectors that are pooled")
    scale = extra.get(SCALE, math.log(plan.heads[0].sharpness))
    config = {
        "model_type": "clip", "architectures": ["CLIPModel"], "projection_dim": pool.width,
        "text_config": {**told(TEXT, text), **told(TOKENS, text)},
        "vision_config": {**told(PICTURE, picture), **told(VISION, picture), "image_size": image_size(picture)},
    }  # fmt: skip
    files = (
        {FILES[0]: json.dumps(told_of_pictures(extra["pictures"]), indent=2).encode()} if "pictures" in extra else {}
    )
    return nearest(reading, rules(plan), plan, config, {SCALE: torch.tensor(scale)}, files=files)
