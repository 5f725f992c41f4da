"""What the layouts of Marian, Pegasus, BART, mBART and M2M100 have in common: one table of names, one set of sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import structs
from torch import Tensor

from ..errors import UserError
from ..model.families import encoder_decoder
from ..model.plan import Block, Plan, Step, Tokens
from ..model.positions import sinusoids
from .rules import Known, Rule, Rules, layer
from .settings import Settings
from .sizes import Table, read, sizes_of, told

# Of both sides, and of the source; the target's own.
SIZES: Table = {
    "vocab": ("vocab_size", int), "width": ("d_model", 1024), "layers": ("encoder_layers", 12),
    "decoder_layers": ("decoder_layers", 12), "heads": ("encoder_attention_heads", 16),
    "feedforward": ("encoder_ffn_dim", 4096), "activation": ("activation_function", "gelu"),
    "capacity": ("max_position_embeddings", 1024), "scaled": ("scale_embedding", False), "dropout": ("dropout", 0.1),
    "attention_dropout": ("attention_dropout", 0.0),
}  # fmt: skip
TARGET: Table = {"heads": ("decoder_attention_heads", 16), "feedforward": ("decoder_ffn_dim", 4096)}

ATTENTION = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "out_proj"}
SIDES = (
    ("source", "encoder", {"source": "self_attn"}),
    ("target", "decoder", {"target": "self_attn", "source": "encoder_attn"}),
)
SHARED = "model.shared.weight"
MOST_POSITIONS = 2**20


def plan_of(config: Settings, table: Table = SIZES, **kind: Any) -> Plan:
    """The plan of a config.json; `kind` is what the layout always has (options of `encoder_decoder`)."""
    config.must(tie_word_embeddings=True, is_decoder=False)
    sizes, own = read(config, table), read(config, TARGET)
    if sizes["capacity"] > MOST_POSITIONS:  # sines are a table in memory, whatever the file holds
        key = table["capacity"][0]
        raise UserError(f"{config.where}: {key!r} is {sizes['capacity']}; it is at most {MOST_POSITIONS:,}")

    def target(block: Block) -> Block:
        assert block.feedforward is not None
        shape = {"heads": own["heads"], "head_width": plan.streams[1].width // own["heads"]}
        attends = tuple(structs.replace(attend, **shape) for attend in block.attends)
        feed = structs.replace(block.feedforward, width=own["feedforward"])
        return structs.replace(block, attends=attends, feedforward=feed)

    plan = encoder_decoder(**sizes, **kind)
    steps = tuple(
        structs.replace(step, blocks=tuple(map(target, step.blocks)))
        if isinstance(step, Step) and step.blocks[0].stream == "target"
        else step
        for step in plan.steps
    )
    return structs.replace(plan, steps=steps)


def rules(plan: Plan) -> Rules:
    """The table of a plan. Vocabularies are one, or each its own (Marian)."""
    shared = "source.embedding.tokens.weight" not in plan.shapes()
    kept = SHARED if shared else "model.decoder.embed_tokens.weight"
    table = [
        Rule("source.embedding.tokens", "model.encoder.embed_tokens"),
        Rule("target.embedding.tokens", kept.removesuffix(".weight")),
        Rule("heads.next_token.output.bias", "final_logits_bias", shape=(1, plan.heads[0].outputs)),
    ]
    for ours, theirs, attentions in SIDES:
        here = f"model.{theirs}.layers.{{i}}"
        for attended, name in attentions.items():
            table += layer(f"{ours}.{{i}}.{attended}", f"{here}.{name}", ATTENTION)
            table.append(Rule(f"{ours}.{{i}}.{attended}.norm", f"{here}.{name}_layer_norm"))
        table += [
            Rule(f"{ours}.{{i}}.feedforward.inner", f"{here}.fc1"),
            Rule(f"{ours}.{{i}}.feedforward.output", f"{here}.fc2"),
            Rule(f"{ours}.{{i}}.feedforward.norm", f"{here}.final_layer_norm"),
            Rule(f"{ours}.embedding.positions", f"model.{theirs}.embed_positions"),
            Rule(f"{ours}.embedding.norm", f"model.{theirs}.layernorm_embedding"),
            Rule(f"{ours}.norm", f"model.{theirs}.layer_norm"),
        ]
    repeated = ("lm_head", *(("model.encoder.embed_tokens", "model.decoder.embed_tokens") if shared else ()))
    copies = {f"{name}.weight": kept for name in repeated}
    return Rules(tuple(table), copies, sines(plan), left=(r"model\.(en|de)coder\.version",))


def sines(plan: Plan) -> dict[str, Known]:
    """The tables of sines that files may hold, by their names; none where positions are learned."""
    embedding = plan.streams[0].embedding
    assert isinstance(embedding, Tokens)
    if embedding.positions != "sinusoidal":
        return {}
    shape, fairseq = (embedding.capacity + embedding.offset, plan.streams[0].width), embedding.sinusoid == "fairseq"

    def table() -> Tensor:
        made = sinusoids(*shape, embedding.sinusoid)
        if fairseq:
            made[embedding.offset - 1] = 0.0  # that of padding
        return made

    name = "weights" if fairseq else "weight"
    return {f"model.{theirs}.embed_positions.{name}": Known(shape, table) for _, theirs, _ in SIDES}


def sizes_told(plan: Plan, table: Table = SIZES) -> dict[str, Any]:
    """Their config.json of a plan, but for its kind."""
    if [head.name for head in plan.heads] != ["next_token"]:
        raise UserError("this layout has one head, next_token")
    source, target = sizes_of(plan, "source"), sizes_of(plan, "target")
    sizes = told(table, {**source, "decoder_layers": target["layers"]})
    return {**sizes, **told(TARGET, target), "is_encoder_decoder": True}


def with_logit_bias(plan: Plan) -> Plan:
    """The same with a bias of the logits, which most of these layouts hold though it is 0."""
    return structs.replace(plan, heads=tuple(structs.replace(head, bias=True) for head in plan.heads))


def decoding_of(config: Settings) -> Mapping[str, Any]:
    """The keys of a translator's config.json: how theirs decodes (generation_config.json, or config.json of old)."""
    asked = config.answering
    positions = asked.take("max_position_embeddings", int, asked.take("n_positions", int, 512))
    return {
        "decoding": {
            "beam": asked.take("num_beams", int, 1), "length_penalty": "hf",
            "alpha": asked.take("length_penalty", float, 1.0), "longest": max(1, positions - 2), "protect": False,
        }
    }  # fmt: skip
