"""mBART (Liu et al. 2020) and mBART-50 (Tang et al. 2020) as `transformers` keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...model.plan import Plan
from ...text.tokenizer import Tokenizer
from ..agreement import nearest
from ..languages import NAMED, language_tokens, said_in, spoken
from ..layout import Reading, Writing
from ..rules import Tensors
from ..settings import Settings
from ..tokenizers import read_sides
from ..translators import decoding_of, plan_of, rules, sizes_told, with_logit_bias

KINDS = ("mbart",)
OLD = 25  # languages of the first mBART

KIND: dict[str, Any] = {"place": "pre", "positions": "learned", "offset": 2, "embedding_norm": True}


def reading(config: Settings, names: Tensors) -> Reading:
    """Of MBartForConditionalGeneration."""
    config.must(
        normalize_embedding=True, add_final_layer_norm=True, normalize_before=True, static_position_embeddings=False,
        add_bias_logits=False,
    )  # fmt: skip
    plan = plan_of(config, output_bias="final_logits_bias" in names, **KIND)
    return Reading(plan, rules(plan), "translate", decoding_of(config))


def writing(plan: Plan, extra: Mapping[str, Any]) -> Writing:
    """Pre-norm encoder-decoders with learned positions and a norm after the embedding."""
    config = {"model_type": "mbart", "architectures": ["MBartForConditionalGeneration"], **sizes_told(plan)}
    return nearest(reading, rules(plan), with_logit_bias(plan), config)


def tokenizers(folder: Path, config: Settings) -> dict[str, Tokenizer]:
    """SentencePiece, and a token for each language."""
    tags = language_tokens(folder)
    roles = {"mapping": "shifted", "tags": tags, "between": 2}
    return read_sides(folder, config, roles, roles)


def extra_of(config: Settings, tokenizers: Mapping[str, Tokenizer]) -> dict[str, Any]:
    """mBART puts the source's language behind its text, and answers begin from the target's; mBART-50, which knows more
    languages, puts it before the text, and answers begin with the target's."""
    kind = said_in(Path(config.where).parent / "tokenizer_config.json").get("tokenizer_class")
    first = sum(1 for name in tokenizers["target"].tags if NAMED.fullmatch(name)) > OLD
    if isinstance(kind, str) and kind.startswith("MBart"):
        first = kind.startswith("MBart50")
    return spoken(config, tokenizers, place="first" if first else "last", begins=not first)
