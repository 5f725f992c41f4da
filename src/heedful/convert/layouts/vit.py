"""ViT (Dosovitskiy et al. 2021) as `transformers` keeps it: one stream of patches, the first of which is a vector."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...model.plan import Attend, Block, FeedForward, FinalNorm, Head, Norm, Patches, Plan, Pool, Step, Stream
from ...text.tokenizer import Tokenizer
from ..agreement import nearest
from ..encoders import labels_told
from ..layout import Reading, Writing
from ..rules import Rule, Rules, Tensors, layer
from ..settings import Settings
from ..sizes import Table, read, sizes_of, told

KINDS = ("vit",)

SIZES: Table = {
    "width": ("hidden_size", 768), "layers": ("num_hidden_layers", 12), "heads": ("num_attention_heads", 12),
    "feedforward": ("intermediate_size", 3072), "activation": ("hidden_act", "gelu"), "eps": ("layer_norm_eps", 1e-12),
    "dropout": ("hidden_dropout_prob", 0.0), "attention_dropout": ("attention_probs_dropout_prob", 0.0),
}  # fmt: skip
PATCHES: Table = {"edge": ("patch_size", 16), "channels": ("num_channels", 3)}
POOL: Table = {"activation": ("pooler_act", "tanh")}
LAYER = {
    "picture.query": "attention.attention.query", "picture.key": "attention.attention.key",
    "picture.value": "attention.attention.value", "picture.output": "attention.output.dense",
    "picture.norm": "layernorm_before", "feedforward.inner": "intermediate.dense",
    "feedforward.output": "output.dense", "feedforward.norm": "layernorm_after",
}  # fmt: skip


def reading(config: Settings, names: Tensors) -> Reading:
    """Of ViTModel and ViTForImageClassification. Pictures are patches of brightness, (value - 127.5) / 127.5."""
    config.must(qkv_bias=True)
    trunk = "" if "embeddings.cls_token" in names else "vit."
    sizes, patches = read(config, SIZES), read(config, PATCHES)
    embedding = Patches(
        **patches, box=0, capacity=capacity(config, patches["edge"]), first=True, norm=None, dropout=sizes["dropout"]
    )  # fmt: skip
    pool = None
    if f"{trunk}pooler.dense.weight" in names:
        pool = Pool(width=config.size("pooler_output_size", sizes["width"]), **read(config, POOL))
    heads: tuple[Head, ...] = ()
    if "classifier.weight" in names:
        labels = config.labels() or ["LABEL_0", "LABEL_1"]
        heads = (Head(name="label", streams=("picture",), outputs=len(labels), reads="first", bias=True),)
    plan = Plan(**tower("picture", embedding, pool, **sizes), heads=heads, initialization="bert")
    return Reading(plan, rules(plan, trunk))


def capacity(config: Settings, edge: int) -> int:
    """Patches of a picture, and the vector before them."""
    size = config.tree.get("image_size", 224)
    height, width = size if isinstance(size, list) and len(size) == 2 else (size, size)
    if not isinstance(height, int) or height != width or height < edge or height % edge:
        raise UserError(f"{config.where}: 'image_size' is {size!r}; it is one multiple of the patches' {edge}")
    return 1 + (height // edge) ** 2


def tower(
    name: str, embedding: Any, pool: Pool | None, *, width: int, layers: int, heads: int, feedforward: int,
    activation: Any, eps: float, attention_dropout: float, dropout: float = 0.0, mask: Any = "open",
) -> dict[str, Any]:  # fmt: skip
    """The stream and the steps of a pre-norm encoder with a final norm."""
    norm = Norm(eps=eps)
    attend = Attend(stream=name, heads=heads, head_width=width // heads, mask=mask, dropout=attention_dropout)
    feed = FeedForward(width=feedforward, activation=activation)
    block = Block(stream=name, attends=(attend,), feedforward=feed, norm=norm, place="pre", dropout=dropout)
    return {
        "streams": (Stream(name=name, width=width, embedding=embedding, pool=pool),),
        "steps": (*(Step(blocks=(block,)) for _ in range(layers)), FinalNorm(stream=name, norm=norm)),
    }


def rules(plan: Plan, trunk: str = "vit.") -> Rules:
    """The table of a plan."""
    width, embedding = plan.streams[0].width, plan.streams[0].embedding
    assert isinstance(embedding, Patches)
    here, edge = f"{trunk}embeddings", embedding.edge
    table = [
        Rule("picture.embedding.first", f"{here}.cls_token", shape=(1, 1, width)),
        Rule("picture.embedding.positions.weight", f"{here}.position_embeddings", shape=(1, embedding.capacity, width)),
        Rule("picture.embedding.pixels.weight", f"{here}.patch_embeddings.projection.weight",
             shape=(width, embedding.channels, edge, edge)),
        Rule("picture.embedding.pixels", f"{here}.patch_embeddings.projection"),
        *layer("picture.{i}", f"{trunk}encoder.layer.{{i}}", LAYER),
        Rule("picture.norm", f"{trunk}layernorm"),
        Rule("picture.pool", f"{trunk}pooler.dense"),
        Rule("heads.label.output", "classifier"),
    ]  # fmt: skip
    # A learned patch that stands for hidden ones, in models that were pretrained so.
    return Rules(tuple(table), left=(rf"{trunk}embeddings\.mask_token",))


def tokenizers(folder: Path, config: Settings) -> dict[str, Tokenizer]:
    """There is no text."""
    return {}


def writing(plan: Plan, extra: Mapping[str, Any]) -> Writing:
    """Pre-norm encoders of patches without boxes."""
    sizes = sizes_of(plan, "picture")
    config = {
        "model_type": "vit", "architectures": ["ViTForImageClassification" if plan.heads else "ViTModel"],
        **told(SIZES, sizes), **told(PATCHES, sizes), "image_size": image_size(sizes),
    }  # fmt: skip
    pool = plan.streams[0].pool
    if pool is not None:
        config |= {"pooler_output_size": pool.width, **told(POOL, {"activation": pool.activation})}
    if plan.heads:
        config |= labels_told(plan.heads[0].outputs, (), extra)
    return nearest(reading, rules(plan, "vit." if plan.heads else ""), plan, config)


def image_size(sizes: Mapping[str, Any]) -> int:
    """Of a square picture that has the most patches."""
    return math.isqrt(max(0, sizes["capacity"] - 1)) * int(sizes["edge"])
