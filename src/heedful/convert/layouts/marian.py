"""Marian's translators (Junczys-Dowmunt et al. 2018) as `transformers` keeps them; pre-norm ones in Pegasus's form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from msgspec import structs

from ...model.plan import Plan
from ...text.sentencepieces import CODE
from ...text.tokenizer import Tokenizer
from ..agreement import nearest
from ..languages import target_codes
from ..layout import Reading, Writing
from ..rules import Tensors
from ..settings import Settings
from ..sizes import sizes_of
from ..tokenizers import read_sides
from ..translators import decoding_of, plan_of, rules, sines, sizes_told, with_logit_bias

KINDS = ("marian", "pegasus")


def reading(config: Settings, names: Tensors) -> Reading:
    """Of MarianMTModel and PegasusForConditionalGeneration."""
    pre = config.take("model_type", str) == "pegasus"
    config.must(
        normalize_embedding=False, add_final_layer_norm=pre, normalize_before=pre, static_position_embeddings=True,
        add_bias_logits=False,
    )  # fmt: skip
    plan = plan_of(
        config, place="pre" if pre else "post", sinusoid="halves", output_bias="final_logits_bias" in names,
        target_vocab=_target_vocab(config),
    )  # fmt: skip
    return Reading(plan, rules(plan), "translate", decoding_of(config))


def _target_vocab(config: Settings) -> int | None:
    """The target's own vocabulary; None: both share one."""
    if config.take("share_encoder_decoder_embeddings", bool, True):
        return None
    return config.size("decoder_vocab_size", config.size("vocab_size"))


def tokenizers(folder: Path, config: Settings) -> dict[str, Tokenizer]:
    """source.spm and target.spm under vocab.json (and target_vocab.json), which may name languages; or Pegasus's
    spiece.model. Answers begin with the padding's token."""
    if config.take("model_type", str) == "pegasus" and not (folder / "vocab.json").is_file():
        return read_sides(folder, config, {"mapping": "pegasus"}, {"mapping": "pegasus"})
    return read_sides(folder, config, {"tags": target_codes(folder)}, {})


def extra_of(config: Settings, tokenizers: Mapping[str, Tokenizer]) -> dict[str, Any]:
    """The languages of answers, the tokens of which may stand before a text."""
    found = {name[2:-2]: name for name in tokenizers["source"].tags if CODE.fullmatch(name)}
    return {"framing": {"targets": found}} if found else {}


def writing(plan: Plan, extra: Mapping[str, Any]) -> Writing:
    """Encoder-decoders with sines as positions. Ours, which alternate with cosines, are put in two halves: so is the
    width of both streams, and the model computes the same."""
    config = sizes_told(plan)
    pre = any(block.place == "pre" for _, _, block in plan.blocks())
    if pre:
        config |= {"model_type": "pegasus", "architectures": ["PegasusForConditionalGeneration"]}
    else:
        separate = "source.embedding.tokens.weight" in plan.shapes()
        config |= {"model_type": "marian", "architectures": ["MarianMTModel"]}
        config |= {"share_encoder_decoder_embeddings": not separate, "decoder_vocab_size": plan.heads[0].outputs}
    written = nearest(reading, rules(plan), with_logit_bias(plan), config)
    if pre:  # transformers keeps these tables in files of Pegasus, and none in files of Marian
        written = replace(written, numbers={name: known.make() for name, known in sines(written.plan).items()})
    if sizes_of(plan, "source")["sinusoid"] != "interleaved":
        return written
    width = plan.streams[0].width
    order = torch.cat([torch.arange(0, width, 2), torch.arange(1, width, 2)])
    streams = tuple(
        structs.replace(stream, embedding=structs.replace(stream.embedding, sinusoid="interleaved"))
        for stream in written.plan.streams
    )
    reordered = structs.replace(written.plan, streams=streams)
    return replace(written, plan=reordered, permuted={stream.name: order for stream in streams})
