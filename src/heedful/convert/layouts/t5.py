"""T5 (Raffel et al. 2020), T5 1.1 and mT5 as `transformers` keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import structs

from ...errors import UserError
from ...model.families import encoder_decoder
from ...model.plan import Attend, Block, Plan, Step
from ...text.tokenizer import Tokenizer
from ..agreement import nearest
from ..layout import Reading, Writing, kind_of
from ..rules import Rule, Rules, Tensors, layer
from ..settings import ACTIVATIONS, THEIR_ACTIVATIONS, Settings
from ..sizes import Table, read, sizes_of, told
from ..tokenizers import read_sides
from ..translators import decoding_of

CLASSES = {"t5": "T5ForConditionalGeneration", "mt5": "MT5ForConditionalGeneration"}
KINDS = tuple(CLASSES)

SIZES: Table = {
    "vocab": ("vocab_size", 32128), "width": ("d_model", 512), "layers": ("num_layers", 6), "heads": ("num_heads", 8),
    "head_width": ("d_kv", 64), "feedforward": ("d_ff", 2048), "eps": ("layer_norm_epsilon", 1e-6),
    "dropout": ("dropout_rate", 0.1),
}  # fmt: skip
BUCKETS: Table = {
    "buckets": ("relative_attention_num_buckets", 32), "bucket_distance": ("relative_attention_max_distance", 128)
}  # fmt: skip
ATTENTION = {"query": "q", "key": "k", "value": "v", "output": "o"}
# Of a block's parts, theirs are numbered.
SIDES = (
    ("source", "encoder", {"source": "layer.0.SelfAttention"}, "layer.1"),
    ("target", "decoder", {"target": "layer.0.SelfAttention", "source": "layer.1.EncDecAttention"}, "layer.2"),
)
TIE = "heads.next_token.output.weight"


def reading(config: Settings, names: Tensors) -> Reading:
    """Of T5ForConditionalGeneration and MT5ForConditionalGeneration. In T5 1.0 the output is the embedding, and what it
    reads is scaled by 1 / sqrt(width); `tie_word_embeddings` has come to mean the latter only."""
    config.must(is_decoder=False)
    scaled = config.take("scale_decoder_outputs", bool, config.take("tie_word_embeddings", bool, True))
    scaled = scaled and config.take("model_type", str) == "t5"
    sizes, buckets, (gated, activation) = read(config, SIZES), read(config, BUCKETS), _feedforward(config)
    plan = encoder_decoder(
        **sizes, decoder_layers=config.size("num_decoder_layers", sizes["layers"]), activation=activation, gated=gated,
        attention_dropout=sizes["dropout"], place="pre", norm="rms", positions="buckets", bias=False, scaled=False,
    )  # fmt: skip
    head = structs.replace(plan.heads[0], scale=sizes["width"] ** -0.5 if scaled else 1.0)
    tied = scaled or "lm_head.weight" not in names
    ties = tuple(tie for tie in plan.ties if tied or tie.share != TIE)
    plan = structs.replace(plan, steps=_unscaled(plan, buckets), heads=(head,), ties=ties)
    return Reading(plan, rules(plan), "translate", decoding_of(config))


def _feedforward(config: Settings) -> tuple[bool, Any]:
    """Whether it is gated, and its activation: "relu", "gated-gelu" (which means GELU in its tanh form)."""
    said = config.take("feed_forward_proj", str, "relu")
    gated, name = said.startswith("gated-"), said.removeprefix("gated-")
    if name not in ACTIVATIONS:
        raise UserError(f"{config.where}: 'feed_forward_proj' is {said!r}, which we lack")
    return gated, "gelu_tanh" if said == "gated-gelu" else ACTIVATIONS[name]


def _unscaled(plan: Plan, buckets: Mapping[str, int]) -> tuple[Any, ...]:
    """The steps of a plan with query . key not scaled down, and these relative buckets."""

    def attend(given: Attend) -> Attend:
        return structs.replace(given, scale=1.0, **(buckets if given.positions == "buckets" else {}))

    def block(given: Block) -> Block:
        return structs.replace(given, attends=tuple(map(attend, given.attends)))

    return tuple(
        structs.replace(step, blocks=tuple(map(block, step.blocks))) if isinstance(step, Step) else step
        for step in plan.steps
    )


def rules(plan: Plan) -> Rules:
    """The table of a plan."""
    gated = any(block.feedforward.gated for _, _, block in plan.blocks() if block.feedforward)
    inner = {"gate": "wi_0", "inner": "wi_1"} if gated else {"inner": "wi"}
    table = [Rule("target.embedding.tokens", "shared"), Rule("heads.next_token.output", "lm_head")]
    for ours, theirs, attentions, feed in SIDES:
        here = f"{theirs}.block.{{i}}"
        for attended, name in attentions.items():
            stem, part = f"{ours}.{{i}}.{attended}", f"{here}.{name}"
            table += layer(stem, part, {**ATTENTION, "buckets": "relative_attention_bias.weight"})
            table.append(Rule(f"{stem}.norm", f"{part.rpartition('.')[0]}.layer_norm"))
        table += layer(f"{ours}.{{i}}.feedforward", f"{here}.{feed}.DenseReluDense", {**inner, "output": "wo"})
        table.append(Rule(f"{ours}.{{i}}.feedforward.norm", f"{here}.{feed}.layer_norm"))
        table.append(Rule(f"{ours}.norm", f"{theirs}.final_layer_norm"))
    copies = {f"{theirs}.embed_tokens.weight": "shared.weight" for _, theirs, *_ in SIDES}
    if any(tie.share == TIE for tie in plan.ties):
        copies["lm_head.weight"] = "shared.weight"
    # A table that the first checkpoints hold and nothing ever read.
    left = (r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",)
    return Rules(tuple(table), copies, left=left)


def tokenizers(folder: Path, config: Settings) -> dict[str, Tokenizer]:
    """SentencePiece; texts end with </s>, answers begin with the padding's token."""
    return read_sides(folder, config, {}, {})


def writing(plan: Plan, extra: Mapping[str, Any]) -> Writing:
    """Encoder-decoders with relative buckets, root-mean-square norms and no biases."""
    source, target, kind = sizes_of(plan, "source"), sizes_of(plan, "target"), kind_of(extra, KINDS)
    if [head.name for head in plan.heads] != ["next_token"]:
        raise UserError("this layout has one head, next_token")
    said = THEIR_ACTIVATIONS[source["activation"]]
    config = {
        "model_type": kind, "architectures": [CLASSES[kind]], **told(SIZES, source), **told(BUCKETS, source),
        "num_decoder_layers": target["layers"], "is_encoder_decoder": True,
        "feed_forward_proj": f"gated-{'gelu' if said == 'gelu_new' else said}" if source["gated"] else said,
        "tie_word_embeddings": plan.heads[0].scale != 1.0,
    }  # fmt: skip
    return nearest(reading, rules(plan), plan, config)
