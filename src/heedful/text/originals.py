"""What the files beside a foreign tokenizer say: which token does what, and which tokens were added to its vocabulary.

`transformers` writes them: tokenizer_config.json, special_tokens_map.json, added_tokens.json. A token is named there by
its text, or by an object with the text as "content" and flags.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tokenizers import AddedToken

Files = Mapping[str, bytes]
LISTS = ("tokenizer.json", "vocab.txt", "vocab.json", "target_vocab.json", "merges.txt")
PIECES = (".spm", ".model")  # how SentencePiece's files end
CONFIG, ADDED = "tokenizer_config.json", "added_tokens.json"
SAYING = (CONFIG, "special_tokens_map.json")  # of several that name a token the first counts
NAMED = ("bos", "eos", "cls", "sep", "pad", "unk", "mask")
FLAGS = ("lstrip", "rstrip", "normalized", "single_word")
MOST_IDS = 2**22  # of a tokenizer


class Unfit(ValueError):
    """What is wrong with the files of a foreign tokenizer."""


def tree(files: Files, name: str) -> dict[str, Any]:
    """The object in a JSON file; of a file that is not there an empty one."""
    if name not in files:
        return {}
    try:
        found = json.loads(files[name].decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Unfit(f"{name} is not JSON ({error})") from None
    if not isinstance(found, dict):
        raise Unfit(f"{name} does not hold an object")
    return found


def belongs(name: str) -> bool:
    """Whether a file of that name is a tokenizer's."""
    plain = not {"/", "\\", ":", "\0"}.intersection(name)
    return name in (*LISTS, *SAYING, ADDED) or (plain and name.endswith(PIECES))


def settings(files: Files, **defaults: bool | None) -> dict[str, Any]:
    """Switches of tokenizer_config.json; what is null or not there is the default."""
    config = tree(files, CONFIG)
    for name in defaults:
        if not isinstance(config.get(name), bool | None):
            raise Unfit(f"{CONFIG}: {name} is {config[name]!r}, not true or false")
    return {name: value if config.get(name) is None else config[name] for name, value in defaults.items()}


def named(files: Files) -> dict[str, AddedToken]:
    """The tokens that the files name, by what they do ("bos", "eos", "cls", "sep", "pad", "unk", "mask")."""
    found: dict[str, AddedToken] = {}
    for one in (tree(files, name) for name in SAYING):
        said = {role: token for role in NAMED if (token := _token(one.get(f"{role}_token"), special=True)) is not None}
        found = said | found
    return found


def added(files: Files) -> dict[int, AddedToken]:
    """The tokens that the files add, by id."""
    found: dict[int, AddedToken] = {}
    for content, number in tree(files, ADDED).items():
        if type(number) is int and (token := _token(content)) is not None:
            found[number] = token
    listed = tree(files, CONFIG).get("added_tokens_decoder", {})
    for number, value in listed.items() if isinstance(listed, dict) else ():
        if not number.isascii() or not number.isdigit() or (token := _token(value)) is None:
            raise Unfit(f"{CONFIG}: added_tokens_decoder has {number!r}: {value!r}, which names no token")
        found[int(number)] = token
    return dict(sorted(found.items()))


def extra(files: Files) -> list[AddedToken]:
    """Special tokens that the files list without ids."""
    keys = ("extra_special_tokens", "additional_special_tokens")
    lists = [tree(files, name).get(key) for name in SAYING for key in keys]
    found = [_token(value, special=True) for some in lists if isinstance(some, list) for value in some]
    return list({token.content: token for token in found if token is not None}.values())


def _token(value: Any, special: bool = False) -> AddedToken | None:
    """A token from its text or an object; None where neither says one."""
    if isinstance(value, str) and value:
        return AddedToken(value, special=special, normalized=not special)
    if not isinstance(value, dict) or not isinstance(value.get("content"), str) or not value["content"]:
        return None
    flags = {flag: value[flag] for flag in FLAGS if isinstance(value.get(flag), bool)}
    special = special or value.get("special") is True
    return AddedToken(value["content"], special=special, **{"normalized": not special, **flags})
