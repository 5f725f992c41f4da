"""Translators of many languages: which tokens name a language, and where the model wants them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..model.files import content
from ..text.originals import SAYING, Unfit, extra
from ..text.sentencepieces import CODE
from ..text.tokenizer import Tokenizer
from .settings import Settings

# en_XX (mBART), eng_Latn (NLLB), __en__ (M2M100).
NAMED = re.compile(r"[a-z]{2}_[A-Z]{2}|[a-z]{3}_[A-Z][a-z]{3}|__([a-z]{2,3})__")


def language_tokens(folder: Path) -> list[str]:
    """The tokens of languages that special_tokens_map.json or tokenizer_config.json list, in the order of their ids."""
    files = {name: content(folder / name) for name in SAYING if (folder / name).is_file()}
    try:
        return [token.content for token in extra(files) if NAMED.fullmatch(token.content)]
    except Unfit:
        return []  # the tokenizer's reader says what is wrong with them


def target_codes(folder: Path) -> list[str]:
    """The entries of a Marian's vocab.json that name a language to translate into."""
    return [name for name in said_in(folder / "vocab.json") if CODE.fullmatch(name)]


def said_in(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a tokenizer; {} where there is none: its reader says what is wrong with it."""
    try:
        tree = json.loads(content(path)) if path.is_file() else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return tree if isinstance(tree, dict) else {}


def spoken(
    config: Settings, tokenizers: Mapping[str, Tokenizer], *, place: str, begins: bool = False
) -> dict[str, Any]:
    """The keys of a translator's config.json that say how languages are told: their codes with the tokens that mean
    them; whether the source's stands "first" or "last" in its row; whether answers begin from the target's (`begins`)
    or say it first."""
    names = [name for name in tokenizers["target"].tags if NAMED.fullmatch(name)]
    codes = {(match.group(1) if (match := NAMED.fullmatch(name)) and match.group(1) else name): name for name in names}
    if not codes:
        raise UserError(
            f"{Path(config.where).parent}: its tokenizer names no languages; list their tokens in "
            "special_tokens_map.json, as additional_special_tokens"
        )
    return {"framing": {"codes": codes, "source": place, "begins": begins}}
