"""A model folder's config.json: the plan in full, a format number, and what tasks add. No torch here."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import msgspec
import xxhash

from ..errors import UserError
from .plan import Attend, Plan
from .shapes import count

FORMAT = 1
LARGEST_CONFIG = 16 * 2**20
MOST_PARAMETERS = 10**12
FOREIGN = ("model_type", "architectures", "bi_hidden_size")  # keys of other libraries' config.json


def write_config(folder: Path, plan: Plan, extra: dict[str, Any]) -> None:
    """config.json in `folder`; `extra` are the other top-level keys. A seal over all of it finds what was changed."""
    tree = {"format": FORMAT, **extra, "plan": msgspec.to_builtins(plan)}
    tree = {"seal": _seal(tree), **tree}
    text = msgspec.json.format(msgspec.json.encode(tree), indent=1)
    temporary = folder / ".config.json.tmp"
    temporary.write_bytes(text + b"\n")
    os.replace(temporary, folder / "config.json")


def content(path: Path) -> bytes:
    """Of a file of settings; OSError if it cannot be read, UserError for what is too large or no file of a disk: a pipe
    would be waited for, and a device has no end."""
    kind = path.stat()
    if not stat.S_ISREG(kind.st_mode):
        raise UserError(f"{path}: not a regular file")
    with path.open("rb") as file:
        found = file.read(LARGEST_CONFIG + 1)
    if len(found) > LARGEST_CONFIG:
        raise UserError(f"{path}: larger than {LARGEST_CONFIG} bytes, so it is no model's {path.name}")
    return found


def is_foreign(folder: Path) -> bool:
    """Whether a folder is a checkpoint of another library, as far as its files say."""
    try:
        if (folder / "modules.json").is_file():  # of sentence-transformers
            return True
        tree = msgspec.json.decode(content(folder / "config.json"))
    except (OSError, UserError, msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    return isinstance(tree, dict) and "plan" not in tree and any(key in tree for key in FOREIGN)


def read_config(folder: Path) -> tuple[Plan, dict[str, Any]]:
    """The plan and the other keys; UserError if it is missing, damaged, too new or too large."""
    path = folder / "config.json"
    try:
        tree = msgspec.json.decode(content(path))
    except FileNotFoundError:
        raise UserError(f"{folder}: no config.json, so this is not a model folder") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(tree, dict) or "format" not in tree or "plan" not in tree:
        remedy = f"; read it with: heedful convert {folder} NEW_FOLDER" if is_foreign(folder) else ""
        raise UserError(f"{path}: no 'format' and 'plan'; this is not a heedful model{remedy}")
    number = tree["format"]
    if number != FORMAT:
        raise UserError(f"{path}: format {number!r}; this version reads {FORMAT}; update heedful")
    if "seal" in tree and tree.pop("seal") != _seal(tree):
        raise UserError(f'{path}: changed since it was written; copy the model again, or remove "seal" if you meant to')
    del tree["format"]
    try:
        plan = msgspec.convert(tree.pop("plan"), Plan)
        check(plan)
    except (msgspec.ValidationError, ValueError, LookupError) as error:
        raise UserError(f"{path}: the plan does not fit together: {error}") from None
    return plan, tree


def _seal(tree: dict[str, Any]) -> str:
    return xxhash.xxh3_128_hexdigest(msgspec.json.encode(tree, order="deterministic"))


def check(plan: Plan) -> None:
    """ValueError for what no model could be, what would exhaust the memory first, and names that upset a terminal."""
    pools = {stream.name: stream.pool for stream in plan.streams}
    if len(pools) != len(plan.streams) or not pools:
        raise ValueError("streams need distinct names, and there must be one")
    for name in (*pools, *(head.name for head in plan.heads)):
        if not name.isidentifier() or name == "heads":
            raise ValueError(f"{name!r} is not a name for a stream or a head")
    for head in plan.heads:
        if not head.streams:
            raise ValueError(f"the head {head.name!r} reads no stream")
        if head.reads == "pooled" and any(pools[name] is None for name in head.streams):
            raise ValueError(f"the head {head.name!r} reads a pooled vector of a stream without one")
    for _, address, block in plan.blocks():
        for attend in block.attends:
            _check_attend(f"{address}.{attend.stream}", attend, own=attend.stream == block.stream)
    shapes = plan.shapes()
    for name, shape in shapes.items():
        if min(shape) < 1 or max(shape) >= 2**31:
            raise ValueError(f"{name} has shape {shape}; sizes are 1 to {2**31 - 1}")
    if sum(count(shape) for shape in shapes.values()) > MOST_PARAMETERS:
        raise ValueError(f"more than {MOST_PARAMETERS} parameters")


def _check_attend(address: str, attend: Attend, own: bool) -> None:
    if attend.kv_heads < 1 or attend.heads % attend.kv_heads:
        raise ValueError(f"{address}: {attend.heads} heads cannot share {attend.kv_heads} key heads evenly")
    if attend.window is not None and attend.window < 1:
        raise ValueError(f"{address}: a window of {attend.window} sees nothing; it is 1 or more")
    if attend.positions == "rotary" and attend.head_width % 2:
        raise ValueError(f"{address}: rotary positions turn pairs; a head width of {attend.head_width} is odd")
    if attend.positions == "buckets" and (attend.buckets < 4 or attend.bucket_distance < attend.buckets):
        raise ValueError(f"{address}: {attend.buckets} buckets up to distance {attend.bucket_distance} do not fit")
    if not own and (attend.mask != "open" or attend.positions != "none"):
        # Positions of two streams are not comparable, and a cache prepares another stream's keys once.
        raise ValueError(f"{address}: only an own stream can be seen causally or by relative position")
