"""M2M-100 (Fan et al. 2021) and NLLB-200 (NLLB Team 2022; its dense models) as `transformers` keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...model.plan import Plan, Tokens
from ...text.tokenizer import Tokenizer
from ..agreement import nearest
from ..languages import language_tokens, said_in, spoken
from ..layout import Reading, Writing
from ..rules import Tensors
from ..settings import Settings
from ..sizes import Table
from ..tokenizers import read_sides
from ..translators import SIZES as COMMON
from ..translators import decoding_of, plan_of, rules, sizes_told

KINDS = ("m2m_100",)

SIZES: Table = {
    **COMMON, "activation": ("activation_function", "relu"),
    "scaled": ("scale_embedding", True), "attention_dropout": ("attention_dropout", 0.1),
}  # fmt: skip
KIND: dict[str, Any] = {"place": "pre", "sinusoid": "fairseq"}


def reading(config: Settings, names: Tensors) -> Reading:
    """Of M2M100ForConditionalGeneration."""
    plan = plan_of(config, SIZES, **KIND, offset=config.take("pad_token_id", int, 1) + 1)
    return Reading(plan, rules(plan), "translate", decoding_of(config))


def writing(plan: Plan, extra: Mapping[str, Any]) -> Writing:
    """Pre-norm encoder-decoders with the sines of fairseq, which count positions from the padding's id + 1."""
    embedding = plan.streams[0].embedding
    assert isinstance(embedding, Tokens)
    config = {
        "model_type": "m2m_100", "architectures": ["M2M100ForConditionalGeneration"],
        "pad_token_id": max(0, embedding.offset - 1), **sizes_told(plan, SIZES),
    }  # fmt: skip
    return nearest(reading, rules(plan), plan, config)


def tokenizers(folder: Path, config: Settings) -> dict[str, Tokenizer]:
    """SentencePiece under vocab.json (NLLB: shifted), and a token for each language."""
    listed = (folder / "vocab.json").is_file()
    roles = {"mapping": None if listed else "shifted", "tags": language_tokens(folder)}
    return read_sides(folder, config, roles, roles)


def extra_of(config: Settings, tokenizers: Mapping[str, Tokenizer]) -> dict[str, Any]:
    """The source's language stands before its text (in NLLB's first way behind it); an answer begins with the
    target's."""
    said = said_in(Path(config.where).parent / "tokenizer_config.json")
    return spoken(config, tokenizers, place="last" if said.get("legacy_behaviour") is True else "first")
