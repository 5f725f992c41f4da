"""Pairs of a picture and a caption: records to a table of ids beside a gallery of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..config import Recipe
from ..errors import UserError
from ..text.draws import below, draws
from ..text.pipeline import MASK
from ..text.ragged import offsets
from ..text.tokenizer import Tokenizer
from .gallery import Sight, found_all, prepare_gallery, unique
from .pictures import Reference
from .records import read_records
from .shards import key_of
from .table import Table
from .texts import kept_tokenizer, trained_as

Ids = npt.NDArray[np.int64]
NAMES = ("picture", "caption", "group")


class Captioned(NamedTuple):
    """A picture's reference, a caption, and what it belongs with: pairs of one group are no negatives of each other."""

    picture: Reference
    caption: str
    group: str


def read_captioned(path: Path, fields: Sequence[str] = ()) -> list[Captioned]:
    """The pairs of a file; UserError where there are none, or a caption is no text."""
    found = []
    for (picture, caption, group), where in read_records(path, NAMES, fields, optional=("group",)):
        for what, value in (("picture", picture), ("caption", caption)):
            if not isinstance(value, str) or not value.strip():
                raise UserError(f"{where}: the {what} is {value!r}, not a text")
        found.append(Captioned(Reference(picture, where), caption, picture if group in (None, "") else str(group)))
    if not found:
        raise UserError(f"{path}: no pairs are in it; each line needs a picture and a caption")
    return found


def split_captioned(recipe: Recipe) -> tuple[list[Captioned], list[list[Captioned]]]:
    """Pairs of training, and those held out: a list for each dev file, or one of a share of the groups."""
    data = recipe.data
    train = [pair for file in data.train for pair in read_captioned(Path(file), data.fields)]
    if data.dev:
        return train, [read_captioned(Path(file), data.fields) for file in data.dev]
    groups = list(dict.fromkeys(pair.group for pair in train))
    bits = below(draws(recipe.seed, 14, np.arange(len(groups))), 1_000_000)
    held = {group for group, drawn in zip(groups, bits, strict=True) if drawn < data.dev_share * 1_000_000}
    dev = [pair for pair in train if pair.group in held]
    rest = [pair for pair in train if pair.group not in held]
    if not dev or not rest:
        raise UserError(f"{', '.join(data.train)}: too few groups of pairs to hold some out; give --dev FILE")
    return rest, [dev]


def prepare_captioned(
    recipe: Recipe, folder: Path, tokenizer: Tokenizer | None, sight: Sight | None = None
) -> list[str]:
    """Tokenizer, gallery and a table "pairs" in `folder`, made or found there; lines about them. Tokenizer and sight
    are those of the model to start from.

    Columns: caption (ids, without start and end), picture, group, pool (0: training; 1, 2, ...: the held-out lists).
    """
    train, dev = split_captioned(recipe)
    pairs = [*train, *(pair for pool in dev for pair in pool)]
    pictures, numbers = unique(found_all([pair.picture for pair in pairs], recipe.pictures))
    gallery = prepare_gallery(recipe.pictures, folder, pictures, sight)
    files = [Path(file) for file in (*recipe.data.train, *recipe.data.dev)]
    settings = {
        "tokenizer": str(recipe.tokenizer), "fields": recipe.data.fields, "share": recipe.data.dev_share,
        "longest": recipe.data.longest, "seed": recipe.seed, "dev": len(recipe.data.dev),
        "given": tokenizer.fingerprint if tokenizer else "",
    }  # fmt: skip
    key = key_of(files, [], settings)
    if tokenizer is None:
        tokenizer = kept_tokenizer(
            folder, key, lambda: trained_as(recipe.tokenizer, [pair.caption for pair in train], (MASK,))
        )
    elif tokenizer.mask is None and recipe.matching.text * recipe.masking.share > 0:
        raise UserError(f"{recipe.training.start}: its tokenizer has no token that hides others; set matching.text = 0")
    tokenizer.save(folder / "tokenizer.json")
    table = Table.reuse(folder / "pairs.safetensors", key)
    if table is None:
        table = _table(pairs, numbers, [0] * len(train) + [n for n, pool in enumerate(dev, 1) for _ in pool],
                       tokenizer, recipe.data.longest)  # fmt: skip
        table.save(folder / "pairs.safetensors", key)
    dev_pairs = sum(map(len, dev))
    return [
        f"pictures: {len(gallery):,}, of {int(gallery.lengths.max())} rows each at most ({gallery.sight.encoder})",
        f"train: {len(train):,} pairs; dev: {dev_pairs:,} pairs in {len(dev)} list{'s' * (len(dev) > 1)}",
    ]


def _table(pairs: list[Captioned], pictures: Ids, pools: list[int], tokenizer: Tokenizer, longest: int) -> Table:
    ids = tokenizer.encode_many([pair.caption for pair in pairs])
    for pair, row in zip(pairs, ids, strict=True):
        if not row:
            raise UserError(f"{pair.picture.where}: the caption {pair.caption!r} holds nothing to read")
    groups: dict[str, int] = {}
    columns = {
        "caption": [row[: longest - 2] for row in ids],
        "picture": pictures[:, None],
        "group": np.array([groups.setdefault(pair.group, len(groups)) for pair in pairs])[:, None],
        "pool": np.array(pools)[:, None],
    }
    return Table.of(("caption",), columns)


class Part:
    """Some examples of a table as examples of their own, for `Batches`."""

    streams = ("caption",)

    def __init__(self, table: Table, pool: int, tokenizer: Tokenizer) -> None:
        self.table, self.tokenizer = table, tokenizer
        self.numbers = np.flatnonzero(table.columns["pool"][0] == pool)
        self.pictures = table.columns["picture"][0][self.numbers]
        self.groups = table.columns["group"][0][self.numbers]
        self._lengths = table.lengths("caption")[self.numbers]

    def __len__(self) -> int:
        return len(self.numbers)

    def lengths(self, stream: str, epoch: int | None = None) -> Ids:
        """Ids of each caption."""
        return self._lengths

    def captions(self, examples: Ids) -> tuple[Ids, Ids]:
        """The ids of some captions end to end, each with start and end, and their lengths."""
        ids, lengths = self.table.rows("caption", self.numbers[examples])
        ends = np.cumsum(lengths)
        # Where a caption ends the next one begins: of two at one place the end comes first.
        places = np.concatenate([ends, ends - lengths])
        framed = np.insert(ids, places, np.repeat([self.tokenizer.end, self.tokenizer.start], len(lengths)))
        return framed, lengths + 2


def with_task(ids: Ids, lengths: Ids, task: int) -> tuple[Ids, Ids]:
    """Rows end to end and their lengths, each with the number of a task behind its start."""
    return np.insert(ids, np.cumsum(lengths) - lengths + 1, task), lengths + 1


class Sharing:
    """Which examples of a part share a word with one: hard negatives. A pure function of the part.

    A word is a token; of a caption's tokens that others have too, the two that fewest have count.
    """

    def __init__(self, part: Part) -> None:
        ids, begins = part.table.columns["caption"]
        spans = [(begins[number], begins[number + 1]) for number in part.numbers]
        owner = np.repeat(np.arange(len(part)), [end - start for start, end in spans])
        token = np.concatenate([ids[start:end] for start, end in spans])
        order = np.argsort(token, kind="stable")
        self._examples = owner[order]
        self._begins = offsets(np.bincount(token, minlength=int(token.max()) + 1))
        counts = np.diff(self._begins)
        self._rare = np.full((len(part), 2), -1, np.int64)
        for example, (start, end) in enumerate(spans):
            own = sorted((token for token in set(ids[start:end].tolist()) if counts[token] > 1), key=counts.__getitem__)
            self._rare[example, : len(own[:2])] = own[:2]
        self._rare[:, 1] = np.where(self._rare[:, 1] < 0, self._rare[:, 0], self._rare[:, 1])

    def drawn(self, examples: Ids, seed: int, epoch: int, turn: int) -> Ids:
        """For each example another that shares a word with it; -1 where none does. By (seed, epoch, example, turn)."""
        bits = draws(seed, epoch, 15, turn, examples)
        token = self._rare[examples, (bits & np.uint64(1)).astype(np.int64)]
        first, count = self._begins[token], self._begins[token + 1] - self._begins[token]
        place = (below(bits, 2**31) * count) >> 31
        return np.where(token < 0, -1, self._examples[np.minimum(first + place, len(self._examples) - 1)])


def _unit(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """Random bits as numbers in 0 .. 1."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def covered(lengths: Ids, boxes: npt.NDArray[np.float32], examples: Ids, share: float, seed: int, epoch: int
            ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:  # fmt: skip
    """Which of the pictures' rows are to be told from what is left, and which of all rows are to be zeroed.

    Never a picture's first row. 90 % of the chosen are zeroed (Lu et al. 2019, 3.2), and with them what covers more
    than 0.4 of the same area (as the official code meant to), so that nothing shows what is hidden.
    """
    row = np.repeat(np.arange(len(lengths)), lengths)
    starts = np.cumsum(lengths) - lengths
    inside = np.arange(len(boxes)) - starts[row]
    chosen = (inside > 0) & (_unit(draws(seed, epoch, 23, examples[row], inside)) < share)
    zeroed = chosen & (_unit(draws(seed, epoch, 24, examples[row], inside)) < 0.9)
    gone = zeroed.copy()
    for start, length in zip(starts, lengths, strict=True):
        here = slice(start + 1, start + length)
        if zeroed[here].any():
            gone[here] |= (overlap(boxes[here], boxes[here][zeroed[here]]) > 0.4).any(1)
    return chosen, gone


def overlap(some: npt.NDArray[np.float32], others: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Intersection over union of boxes [n, >= 4] with boxes [m, >= 4]: [n, m]."""
    low = np.maximum(some[:, None, :2], others[None, :, :2])
    high = np.minimum(some[:, None, 2:4], others[None, :, 2:4])
    both = np.prod(np.clip(high - low, 0, None), -1)
    area = lambda boxes: np.prod(boxes[:, 2:4] - boxes[:, :2], -1)
    union = area(some)[:, None] + area(others)[None, :] - both
    return np.divide(both, union, out=np.zeros_like(both), where=union > 0)
