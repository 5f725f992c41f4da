"""Hugging Face models as heedful models with the same weights: MarianMTModel and GPT2LMHeadModel."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from heedful.model.model import Model
from heedful.model.presets import plan

Tensors = dict[str, Tensor]


def marian(theirs: Any) -> Model:
    """A MarianMTModel with shared embeddings."""
    config = theirs.config
    ours = plan(
        "encoder-decoder",
        vocab=config.vocab_size,
        width=config.d_model,
        layers=config.encoder_layers,
        decoder_layers=config.decoder_layers,
        heads=config.encoder_attention_heads,
        feedforward=config.encoder_ffn_dim,
        activation=config.activation_function,
        sinusoid="halves",
        capacity=config.max_position_embeddings,
        scaled=config.scale_embedding,
        output_bias=True,
        dropout=0.0,
    )
    found = theirs.state_dict()
    tensors: Tensors = {
        "target.embedding.tokens.weight": found["model.shared.weight"],
        "heads.next_token.output.bias": found["final_logits_bias"][0],
    }
    attention = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "out_proj": "output"}
    for stream, side, layers in (
        ("source", "encoder", config.encoder_layers),
        ("target", "decoder", config.decoder_layers),
    ):
        for layer in range(layers):
            their, our = f"model.{side}.layers.{layer}", f"{stream}.{layer}"
            names = {f"self_attn.{t}": f"{stream}.{o}" for t, o in attention.items()}
            names |= {"self_attn_layer_norm": f"{stream}.norm", "final_layer_norm": "feedforward.norm"}
            names |= {"fc1": "feedforward.inner", "fc2": "feedforward.output"}
            if side == "decoder":
                names |= {f"encoder_attn.{t}": f"source.{o}" for t, o in attention.items()}
                names["encoder_attn_layer_norm"] = "source.norm"
            for theirs_name, ours_name in names.items():
                for kind in ("weight", "bias"):
                    tensors[f"{our}.{ours_name}.{kind}"] = found[f"{their}.{theirs_name}.{kind}"]
    return _filled(ours, tensors)


def gpt2(theirs: Any) -> Model:
    """A GPT2LMHeadModel."""
    config = theirs.config
    ours = plan(
        "decoder",
        vocab=config.vocab_size,
        width=config.n_embd,
        layers=config.n_layer,
        heads=config.n_head,
        feedforward=config.n_inner or 4 * config.n_embd,
        capacity=config.n_positions,
        eps=config.layer_norm_epsilon,
        dropout=0.0,
        attention_dropout=0.0,
    )
    found = {name.removeprefix("transformer."): tensor for name, tensor in theirs.state_dict().items()}
    tensors: Tensors = {
        "text.embedding.tokens.weight": found["wte.weight"],
        "text.embedding.positions.weight": found["wpe.weight"],
        "text.norm.weight": found["ln_f.weight"],
        "text.norm.bias": found["ln_f.bias"],
    }
    for layer in range(config.n_layer):
        their, our = f"h.{layer}", f"text.{layer}"
        for kind in ("weight", "bias"):
            # Their linear layers hold [inputs, outputs].
            turn = (lambda tensor: tensor.t()) if kind == "weight" else (lambda tensor: tensor)
            parts = turn(found[f"{their}.attn.c_attn.{kind}"]).chunk(3)
            for name, part in zip(("query", "key", "value"), parts, strict=True):
                tensors[f"{our}.text.{name}.{kind}"] = part
            tensors[f"{our}.text.output.{kind}"] = turn(found[f"{their}.attn.c_proj.{kind}"])
            tensors[f"{our}.feedforward.inner.{kind}"] = turn(found[f"{their}.mlp.c_fc.{kind}"])
            tensors[f"{our}.feedforward.output.{kind}"] = turn(found[f"{their}.mlp.c_proj.{kind}"])
            tensors[f"{our}.text.norm.{kind}"] = found[f"{their}.ln_1.{kind}"]
            tensors[f"{our}.feedforward.norm.{kind}"] = found[f"{their}.ln_2.{kind}"]
    return _filled(ours, tensors)


def _filled(ours: Any, tensors: Tensors) -> Model:
    model = Model(ours, seed=None)
    model.load_tensors(tensors)
    assert all(math.isfinite(float(tensor.abs().max())) for tensor in tensors.values())
    return model.eval()
