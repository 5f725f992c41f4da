"""Random numbers that are a pure function of their coordinates: no state, the same in any order and on any machine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]


def draws(*coordinates: int | npt.NDArray[np.integer]) -> Words:
    """64 random bits for each element of the coordinates broadcast together (SplitMix64, Steele et al. 2014)."""
    state = np.zeros(1, np.uint64)
    for coordinate in coordinates:
        if isinstance(coordinate, int):
            coordinate = np.array([coordinate & 0xFFFF_FFFF_FFFF_FFFF], np.uint64)
        state = _mix(state + coordinate.astype(np.uint64) + np.uint64(0x9E37_79B9_7F4A_7C15))
    return state


def below(bits: Words, limit: int | npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """A number in 0 ... limit - 1 from the upper 32 random bits; `limit` is at most 2^31, for all or for each."""
    return (((bits >> np.uint64(32)) * np.asarray(limit, np.uint64)) >> np.uint64(32)).astype(np.int64)


def _mix(state: Words) -> Words:
    # Unsigned arithmetic wraps around on purpose; on arrays (never on scalars) numpy does so without a warning.
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D0_49BB_1331_11EB)
    return state ^ (state >> np.uint64(31))
