"""Which of our parameters is which in other libraries: one table per layout, read in both directions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

View = Callable[[Tensor], Tensor]


def same(tensor: Tensor) -> Tensor:
    return tensor


def transposed(tensor: Tensor) -> Tensor:
    """GPT-2's Conv1D keeps its matrices [inputs, outputs]."""
    return tensor.t() if tensor.ndim == 2 else tensor


def third(number: int) -> View:
    """Query, key or value out of one joined matrix of a Conv1D."""
    return lambda tensor: transposed(tensor).chunk(3, 0)[number]


def row(tensor: Tensor) -> Tensor:
    """A bias that is kept as [1, outputs]."""
    return tensor[0]


@dataclass(frozen=True)
class Rule:
    """Parameters whose name begins with `ours` are those that begin with `theirs`; {i} is a number in both."""

    ours: str
    theirs: str
    view: View = same

    def read(self, name: str) -> str | None:
        """Their name of our `name`, if this rule is about it."""
        pattern = re.escape(self.ours).replace(r"\{i\}", r"(\d+)")
        found = re.match(pattern + r"(?=\.|$)", name)
        if found is None:
            return None
        return self.theirs.replace("{i}", found.group(1) if found.groups() else "") + name[found.end() :]


def to_ours(
    names: Mapping[str, object], rules: list[Rule], theirs: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], set[str]]:
    """Their tensors under our `names`, and which of theirs were used. The first rule that fits a name counts."""
    made, used = {}, set()
    for name in names:
        rule, other = next((rule, other) for rule in rules if (other := rule.read(name)) is not None)
        made[name] = rule.view(theirs[other])
        used.add(other)
    return made, used


def tensors_of(module: torch.nn.Module) -> dict[str, Tensor]:
    """Everything that the other library would save, tied parameters under each of their names."""
    return {name: value.detach() for name, value in module.state_dict(keep_vars=True).items()}


def gradients_of(module: torch.nn.Module) -> dict[str, Tensor]:
    """Gradients by name, tied parameters under each of their names; zeros where there are none."""
    values = module.state_dict(keep_vars=True)
    return {n: torch.zeros_like(v) if v.grad is None else v.grad for n, v in values.items() if v.is_floating_point()}


def layer(ours: str, theirs: str, parts: Mapping[str, str], view: View = same) -> list[Rule]:
    """Rules of one kind of layer."""
    return [Rule(f"{ours}.{mine}", f"{theirs}.{other}", view) for mine, other in parts.items()]


BERT_LAYER = {
    "text.query": "attention.self.query", "text.key": "attention.self.key", "text.value": "attention.self.value",
    "text.output": "attention.output.dense", "text.norm": "attention.output.LayerNorm",
    "feedforward.inner": "intermediate.dense", "feedforward.output": "output.dense",
    "feedforward.norm": "output.LayerNorm",
}  # fmt: skip

BERT = [
    Rule("text.embedding.tokens", "bert.embeddings.word_embeddings"),
    Rule("text.embedding.positions", "bert.embeddings.position_embeddings"),
    Rule("text.embedding.segments", "bert.embeddings.token_type_embeddings"),
    Rule("text.embedding.norm", "bert.embeddings.LayerNorm"),
    *layer("text.{i}", "bert.encoder.layer.{i}", BERT_LAYER),
    Rule("text.pool", "bert.pooler.dense"),
    Rule("heads.masked_token.transform", "cls.predictions.transform.dense"),
    Rule("heads.masked_token.norm", "cls.predictions.transform.LayerNorm"),
    Rule("heads.masked_token.output.bias", "cls.predictions.bias"),
    Rule("heads.next_sentence.output", "cls.seq_relationship"),
]

GPT2 = [
    Rule("text.embedding.tokens", "transformer.wte"),
    Rule("text.embedding.positions", "transformer.wpe"),
    *(Rule(f"text.{{i}}.text.{part}", "transformer.h.{i}.attn.c_attn", third(number))
      for number, part in enumerate(("query", "key", "value"))),
    Rule("text.{i}.text.output", "transformer.h.{i}.attn.c_proj", transposed),
    Rule("text.{i}.text.norm", "transformer.h.{i}.ln_1"),
    Rule("text.{i}.feedforward.inner", "transformer.h.{i}.mlp.c_fc", transposed),
    Rule("text.{i}.feedforward.output", "transformer.h.{i}.mlp.c_proj", transposed),
    Rule("text.{i}.feedforward.norm", "transformer.h.{i}.ln_2"),
    Rule("text.norm", "transformer.ln_f"),
]  # fmt: skip

ATTENTION = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "out_proj"}

# Marian and BART name alike; BART has learned positions and an embedding norm besides.
MARIAN = [
    Rule("target.embedding.tokens", "model.shared"),
    *(
        rule
        for ours, theirs, attentions in (
            ("source", "encoder", {"source": "self_attn"}),
            ("target", "decoder", {"target": "self_attn", "source": "encoder_attn"}),
        )
        for rule in (
            *(
                Rule(f"{ours}.{{i}}.{attended}.{part}", f"model.{theirs}.layers.{{i}}.{name}.{other}")
                for attended, name in attentions.items()
                for part, other in ATTENTION.items()
            ),
            *(
                Rule(f"{ours}.{{i}}.{attended}.norm", f"model.{theirs}.layers.{{i}}.{name}_layer_norm")
                for attended, name in attentions.items()
            ),
            Rule(f"{ours}.{{i}}.feedforward.inner", f"model.{theirs}.layers.{{i}}.fc1"),
            Rule(f"{ours}.{{i}}.feedforward.output", f"model.{theirs}.layers.{{i}}.fc2"),
            Rule(f"{ours}.{{i}}.feedforward.norm", f"model.{theirs}.layers.{{i}}.final_layer_norm"),
            Rule(f"{ours}.embedding.positions", f"model.{theirs}.embed_positions"),
            Rule(f"{ours}.embedding.norm", f"model.{theirs}.layernorm_embedding"),
        )
    ),
    Rule("heads.next_token.output.bias", "final_logits_bias", row),
]

CO_ATTENTION = "bert.encoder.c_layer.{i}"


def vilbert(co: dict[str, list[int]], layers: dict[str, list[int]]) -> list[Rule]:
    """ViLBERT's table; `co` and `layers` say which of a stream's blocks are co-attention and which its own.

    Their stream 1 is the picture. `query2`, `key1` and `value1` make what the text sees of the picture, and `dense2`
    brings it back to the text (Lu et al. 2019, figure 2).
    """
    rules = [
        *(rule for rule in BERT if rule.ours.startswith(("text.embedding", "heads.masked_token"))),
        Rule("picture.embedding.features", "bert.v_embeddings.image_embeddings"),
        Rule("picture.embedding.box", "bert.v_embeddings.image_location_embeddings"),
        Rule("picture.embedding.norm", "bert.v_embeddings.LayerNorm"),
        Rule("text.pool", "bert.t_pooler.dense"),
        Rule("picture.pool", "bert.v_pooler.dense"),
        Rule("heads.masked_region.transform", "cls.imagePredictions.transform.dense"),
        Rule("heads.masked_region.norm", "cls.imagePredictions.transform.LayerNorm"),
        Rule("heads.masked_region.output", "cls.imagePredictions.decoder"),
        Rule("heads.alignment.output", "cls.bi_seq_relationship"),
    ]
    for stream, other, mine, others, feed, own in (
        ("text", "picture", 2, 1, "t", "layer"), ("picture", "text", 1, 2, "v", "v_layer")
    ):  # fmt: skip
        for number, block in enumerate(layers[stream]):
            parts = {ours.replace("text.", f"{stream}."): theirs for ours, theirs in BERT_LAYER.items()}
            rules += layer(f"{stream}.{block}", f"bert.encoder.{own}.{number}", parts)
        for number, block in enumerate(co[stream]):
            here = CO_ATTENTION.replace("{i}", str(number))
            parts = {
                f"{other}.query": f"biattention.query{mine}", f"{other}.key": f"biattention.key{others}",
                f"{other}.value": f"biattention.value{others}", f"{other}.output": f"biOutput.dense{mine}",
                f"{other}.norm": f"biOutput.LayerNorm{mine}", "feedforward.inner": f"{feed}_intermediate.dense",
                "feedforward.output": f"{feed}_output.dense", "feedforward.norm": f"{feed}_output.LayerNorm",
            }  # fmt: skip
            rules += layer(f"{stream}.{block}", here, parts)
    return rules
