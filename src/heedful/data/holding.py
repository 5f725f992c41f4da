"""Which examples are trained on and which are held out, by what they say: the same text is never on both sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import UserError
from ..text.draws import draws
from .cleaning import canonical, hash_of

HELD_OUT = 5  # what of an example is drawn
Example = TypeVar("Example")


class Parts(NamedTuple, Generic[Example]):
    """Examples to learn from and for validation, and rows (what, how many) about them."""

    train: list[Example]
    dev: list[Example]
    notes: list[tuple[str, str]]


def parts(
    train: list[Example],
    dev: list[Example],
    test: list[Example],
    says: Callable[[Example], Sequence[str]],
    seed: int,
    share: float,
    where: str,
    leaks: bool = False,
) -> Parts[Example]:
    """What is trained on: examples that `says` finds text in and that are in neither the dev nor the test files (unless
    `leaks` allows it).

    Without dev examples a `share` of training is held out. UserError where nothing is left for either part.
    """
    full = [(_hash(says(one)), one) for one in train if says(one) and all(text.strip() for text in says(one))]
    notes = [("training examples read", f"{len(train):,}")]
    if len(full) < len(train):
        notes.append(("left out: without text", f"{len(train) - len(full):,}"))
    apart = {_hash(says(one)) for one in [*dev, *test] if not leaks}
    kept = [one for one in full if one[0] not in apart]
    if len(kept) < len(full):
        notes.append(("left out: in the dev or test files as well", f"{len(full) - len(kept):,}"))
    if not kept:
        raise UserError(f"{where}: no example is left for training")
    if not dev:
        held = held_out([own for own, _ in kept], seed, share, where)
        dev = [one for (_, one), out in zip(kept, held, strict=True) if out]
        kept = [one for one, out in zip(kept, held, strict=True) if not out]
    return Parts(
        [one for _, one in kept], dev, [*notes, ("trained on", f"{len(kept):,}"), ("for validation", f"{len(dev):,}")]
    )


def held_out(hashes: Sequence[int], seed: int, share: float, where: str) -> npt.NDArray[np.bool_]:
    """For each example whether it is held out, a pure function of (seed, what it says).

    UserError where nothing is left on one side.
    """
    held = draws(seed, HELD_OUT, np.array(hashes, np.uint64)) < np.uint64(share * 2.0**64)
    if held.all() or not held.any():
        raise UserError(
            f"{where}: of {len(held):,} examples {int(held.sum()):,} are held out with data.dev_share = {share}; "
            "change it, or give --dev FILE"
        )
    return held


def _hash(texts: Sequence[str]) -> int:
    return hash_of(*map(canonical, texts))
