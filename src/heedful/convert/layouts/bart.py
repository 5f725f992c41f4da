"""BART (Lewis et al. 2019) as `transformers` keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...model.plan import Plan
from ...text.tokenizer import Tokenizer
from ..agreement import nearest
from ..layout import Reading, Writing
from ..rules import Tensors
from ..settings import Settings
from ..tokenizers import read_sides
from ..translators import decoding_of, plan_of, rules, sizes_told, with_logit_bias

KINDS = ("bart",)

KIND: dict[str, Any] = {"place": "post", "positions": "learned", "offset": 2, "embedding_norm": True}


def reading(config: Settings, names: Tensors) -> Reading:
    """Of BartForConditionalGeneration."""
    config.must(
        normalize_embedding=True, add_final_layer_norm=False, normalize_before=False, static_position_embeddings=False,
        add_bias_logits=False,
    )  # fmt: skip
    plan = plan_of(config, output_bias="final_logits_bias" in names, **KIND)
    return Reading(plan, rules(plan), "translate", decoding_of(config))


def tokenizers(folder: Path, config: Settings) -> dict[str, Tokenizer]:
    """Byte-level pairs; texts stand between <s> and </s>, answers begin with </s>."""
    return read_sides(folder, config, {"between": 2}, {"between": 2})


def extra_of(config: Settings, tokenizers: Mapping[str, Tokenizer]) -> dict[str, Any]:
    """Texts begin with <s>, and so do answers where theirs force it."""
    forced = config.answering.tree.get("forced_bos_token_id")
    return {"framing": {"opens": True, "forced": forced if isinstance(forced, int) else None}}


def writing(plan: Plan, extra: Mapping[str, Any]) -> Writing:
    """Post-norm encoder-decoders with learned positions and a norm after the embedding."""
    config = {"model_type": "bart", "architectures": ["BartForConditionalGeneration"], **sizes_told(plan)}
    return nearest(reading, rules(plan), with_logit_bias(plan), config)
