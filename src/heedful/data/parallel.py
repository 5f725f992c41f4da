"""Parallel text from a recipe's files to tokenizers and shards on disk."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import numpy as np
import xxhash

from ..config import Data, Recipe
from ..errors import UserError
from ..text.tokenizer import Tokenizer, train_tokenizer
from .lexicon import learn_lexicon
from .placing import Placing
from .readers import Pair, paths, read_pairs
from .shards import Counts, Sampling, Shards, build_shards, key_of

SIDES = ("source", "target")
READ_FOR_TOKENIZER = 1_000_000  # pairs; more change a vocabulary little and cost memory


def prepare(recipe: Recipe, folder: Path, given: dict[str, Tokenizer] | None = None) -> list[str]:
    """Tokenizers and shards in `folder`, from the recipe's files; what is there and still right is used again.

    `given` tokenizers are taken instead of trained.

    Returns a line for each corpus that says what became of it. Without dev files some examples, drawn by seed, are held
    out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = parts_of(recipe.data)
    files = [path for data in parts for dev in (False, True) for path in paths(data, dev=dev)]
    options = msgspec.to_builtins((recipe.tokenizer, recipe.seed, recipe.data.longest, recipe.data.hold_out))
    if given is not None:
        save_tokenizers(folder, given)
    tokenizers = given or _tokenizers(recipe, folder, key_of(files, [], {"of": "tokenizer", "options": options}))
    lines = []
    for number, data in enumerate(parts):
        sampling = None
        if recipe.tokenizer.sampling:
            sampling = Sampling(recipe.tokenizer.sampling, recipe.tokenizer.segmentations, recipe.seed + number)
        held = _held_out(recipe, data, number)
        for name in ("train", "dev"):
            about = {"part": number, "name": name, "placeholders": recipe.data.placeholders, "options": options}
            key = key_of(files, list(tokenizers.values()), about)
            shards = Shards.reuse(folder / f"{name}-{number}", key)
            if shards is None:
                pairs = ((pair.source, pair.target) for pair in _pairs(data, name, held))
                placing = _placing(recipe, data, number, held, invents=name == "train")
                shards = build_shards(
                    folder / f"{name}-{number}", itertools.starmap(placing, enumerate(pairs)), tokenizers, key=key,
                    longest=recipe.data.longest, sampling=sampling if name == "train" else None,
                )  # fmt: skip
            if name == "train":
                lines.append(_line(data, shards.counts, len(held)))
    return lines


def _placing(recipe: Recipe, data: Data, number: int, held: frozenset[int], invents: bool) -> Placing:
    """Where the placeholders of a corpus go. The dev set gets those it has: it is to be like what is translated."""
    share = recipe.data.placeholders if recipe.tokenizer.placeholders and invents else 0.0
    lexicon = learn_lexicon((pair.source, pair.target) for pair in _pairs(data, "train", held)) if share else {}
    return Placing(recipe.tokenizer.placeholders, share, recipe.seed + number, lexicon)


def _line(data: Data, counts: Counts, held: int) -> str:
    parts = [f"data: {' '.join([*data.tags, ''])}{counts.kept} pairs to train on"]
    parts += [f"left out: {counts.empty} with an empty side, {counts.long} longer than {data.longest} tokens"]
    parts += [f"held out for validation: {held}"] if held else []
    return "; ".join(parts)


def parts_of(data: Data) -> list[Data]:
    """The corpora that get a tag each: one per file (or pair of files); a single one where there are no tags."""
    if not data.tags:
        return [data]
    train, dev = (
        [len(data.source) + len(data.pairs), len(data.target) + len(data.pairs)],
        len(data.dev_source + data.dev_pairs),
    )
    if train != [len(data.tags)] * 2 or dev not in (0, len(data.tags)):
        raise UserError(
            f"data.tags names {len(data.tags)} languages for {train[0]} training and {dev} dev corpora; one for each"
        )
    split = []
    for number in range(len(data.tags)):
        one = slice(number, number + 1)
        if number < len(data.source):
            kept = {"source": data.source[one], "target": data.target[one], "pairs": ()}
        else:
            kept = {"source": (), "target": (), "pairs": data.pairs[number - len(data.source) :][:1]}
        if number < len(data.dev_source):
            kept |= {"dev_source": data.dev_source[one], "dev_target": data.dev_target[one], "dev_pairs": ()}
        else:
            kept |= {
                "dev_source": (),
                "dev_target": (),
                "dev_pairs": data.dev_pairs[number - len(data.dev_source) :][:1],
            }
        split.append(msgspec.structs.replace(data, tags=data.tags[one], **kept))
    return split


def _has_dev(data: Data) -> bool:
    return bool(data.dev_source or data.dev_pairs)


def _pairs(data: Data, name: str, held: frozenset[int]) -> Iterator[Pair]:
    if _has_dev(data):
        yield from read_pairs(data, dev=name == "dev")
        return
    for number, pair in enumerate(read_pairs(data)):
        if (number in held) == (name == "dev"):
            yield pair


def _held_out(recipe: Recipe, data: Data, number: int) -> frozenset[int]:
    if _has_dev(data):
        return frozenset()
    total = sum(1 for _ in read_pairs(data))
    if total < 2:
        raise UserError(f"too few pairs ({total}): one to train on and one to hold out are needed")
    wanted = recipe.data.hold_out or min(1000, max(1, total // 20))
    if wanted > total // 2:
        raise UserError(f"data.hold_out = {wanted} of {total} pairs leaves too few to train on; at most half")
    drawn = np.random.default_rng((recipe.seed, number)).choice(total, size=wanted, replace=False)
    return frozenset(drawn.tolist())


def _tokenizers(recipe: Recipe, folder: Path, key: str) -> dict[str, Tokenizer]:
    """Those in `folder` if they were made from the same; else trained and saved there."""
    stamp = folder / "tokenizers.key"
    if stamp.exists() and stamp.read_text("ascii") == key:
        return load_tokenizers(folder)
    chosen, sides = recipe.tokenizer, {}
    if chosen.size is None:
        raise UserError("tokenizer.size is not chosen yet; complete the recipe first")
    for side in ("joint",) if chosen.joint else SIDES:
        tags = recipe.data.tags if side != "target" else ()
        lines = _training_text(recipe.data, side)
        sides[side] = train_tokenizer(
            lines, chosen.kind, chosen.size, chosen.lowercase, chosen.digits, list(dict.fromkeys(tags)),
            chosen.placeholders,
        )  # fmt: skip
    tokenizers = {side: sides.get(side) or sides["joint"] for side in SIDES}
    save_tokenizers(folder, tokenizers)
    stamp.write_text(key, "ascii")
    return tokenizers


def _training_text(data: Data, side: str) -> Iterator[str]:
    for number, pair in enumerate(read_pairs(data)):
        if number == READ_FOR_TOKENIZER:
            return
        if side != "target":
            yield pair.source
        if side != "source":
            yield pair.target


def save_tokenizers(folder: Path, tokenizers: dict[str, Tokenizer]) -> None:
    """tokenizer.json where both sides share one, else one file a side."""
    if tokenizers["source"] is tokenizers["target"]:
        tokenizers["source"].save(folder / "tokenizer.json")
    else:
        for side, tokenizer in tokenizers.items():
            tokenizer.save(folder / f"tokenizer.{side}.json")


def load_tokenizers(folder: Path, fingerprints: Mapping[str, str] | None = None) -> dict[str, Tokenizer]:
    """What `save_tokenizers` wrote; with `fingerprints` by side, UserError unless the files are those."""
    apart = (folder / "tokenizer.source.json").exists()
    files = {side: folder / (f"tokenizer.{side}.json" if apart else "tokenizer.json") for side in SIDES}
    loaded = {file: Tokenizer.load(file) for file in set(files.values())}
    for side, file in files.items():
        if fingerprints is not None and fingerprints.get(side) != xxhash.xxh3_128_hexdigest(file.read_bytes()):
            raise UserError(f"{file}: damaged, or not the tokenizer the model was trained with; copy the model again")
    return {side: loaded[file] for side, file in files.items()}
