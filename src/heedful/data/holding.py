"""Which examples are held out for validation, by what they say: the same text is never on both sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..errors import UserError
from ..text.draws import draws

HELD_OUT = 5  # what of an example is drawn


def held_out(hashes: Sequence[int], seed: int, share: float, where: str) -> npt.NDArray[np.bool_]:
    """For each example whether it is held out, a pure function of (seed, what it says).

    UserError where nothing is left on one side.
    """
    drawn = draws(seed, HELD_OUT, np.array(hashes, np.uint64))
    held = drawn < np.uint64(share * 2.0**64)
    if held.all() or not held.any():
        raise UserError(
            f"{where}: of {len(held):,} examples {int(held.sum()):,} are held out with data.dev_share = {share}; "
            "change it, or give --dev FILE"
        )
    return held
