"""Pictures as patches, without a detector: cut into squares, each with its box, after one row for the whole picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..errors import UserError
from ..text.draws import below, draws
from .pictures import Pixels

Reals = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


def require_fit(size: tuple[int, int], edge: int) -> None:
    """UserError where a picture of `size` (height, width) cannot be cut into whole patches."""
    if size[0] % edge or size[1] % edge:
        raise UserError(
            f"pictures.size = {list(size)} cannot be cut into squares of pictures.edge = {edge}; make it fit"
        )


def rows_of(size: tuple[int, int], edge: int) -> int:
    """Rows of a picture: its patches, and one for the whole."""
    return 1 + (size[0] // edge) * (size[1] // edge)


def patches_of(
    pixels: Pixels, edge: int, zero: float | Sequence[float] = 127.5, unit: float | Sequence[float] = 127.5
) -> Reals:
    """Pictures [n, height, width, channels] -> [n * rows, channels * edge * edge]: brightness (0 to 255) less `zero`,
    divided by `unit`; both may be of each channel.

    A picture's first row is the mean of its patches (ViLBERT's [IMG], Lu et al. 2019, 3.1); the patches follow line by
    line, the numbers of a patch channel by channel.
    """
    count, height, width, channels = pixels.shape
    scaled = (pixels.astype(np.float32) - np.asarray(zero, np.float32)) / np.asarray(unit, np.float32)
    cut = scaled.reshape(count, height // edge, edge, width // edge, edge, channels)
    flat = cut.transpose(0, 1, 3, 5, 2, 4).reshape(count, -1, channels * edge * edge)
    return np.concatenate([flat.mean(1, keepdims=True), flat], axis=1).reshape(-1, channels * edge * edge)


def boxes_of(size: tuple[int, int], edge: int) -> Reals:
    """The boxes [rows, 5] of a picture's rows: x1, y1, x2, y2 and the share of the area, all in 0 .. 1."""
    height, width = size
    top, left = (grid.reshape(-1) for grid in np.mgrid[0:height:edge, 0:width:edge])
    area = np.full(len(top), edge * edge / (height * width))
    cells = np.stack([left / width, top / height, (left + edge) / width, (top + edge) / height, area], 1)
    return np.concatenate([[[0.0, 0.0, 1.0, 1.0, 1.0]], cells]).astype(np.float32)


def moved(pixels: Pixels, examples: Ids, seed: int, epoch: int, shift: int, mirror: bool) -> Pixels:
    """Pictures [n, height, width, channels] as an epoch sees them: moved by up to `shift` pixels each way (what comes
    in repeats the border), every second one mirrored. A pure function of (seed, epoch, example)."""
    if not shift and not mirror:
        return pixels
    _, height, width, _ = pixels.shape
    down, right = (below(draws(seed, epoch, way, examples), 2 * shift + 1) - shift for way in (11, 12))
    turned = (below(draws(seed, epoch, 13, examples), 2) == 1) & mirror
    rows = np.clip(np.arange(height) - down[:, None], 0, height - 1)
    columns = np.clip(np.arange(width) - right[:, None], 0, width - 1)
    columns = np.where(turned[:, None], columns[:, ::-1], columns)
    return pixels[np.arange(len(pixels))[:, None, None], rows[:, :, None], columns[:, None, :]]
