"""Questions and their pictures as the model's two streams, in training and after it."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from ...data.gallery import Gallery
from ...data.table import Table
from ...model.embeddings import Input, PatchInput, RegionInput, TokenInput
from ...model.heads import Labels
from ...model.layout import Layout

Ids = npt.NDArray[np.int64]
HEAD = "label"
Seen = TypeVar("Seen", PatchInput, RegionInput)


def together(given: Seen, counts: Ids) -> Seen:
    """Pictures as rows of the stream, `counts` of them (one or two) in each.

    Two are laid side by side, as one picture twice as wide: the first has the left half of the boxes, the second the
    right. So "the left picture" is where it is, and nothing is added to the model.
    """
    if not (counts > 1).any():
        return given
    lengths = given.layout.lengths
    first = np.cumsum(counts) - counts
    right = np.ones(len(lengths), bool)
    right[first] = False
    paired = np.repeat(counts > 1, counts)
    per_token = lambda values: torch.from_numpy(np.repeat(values, lengths)).to(given.boxes.device)
    narrow = per_token(np.where(paired, 0.5, 1.0).astype(np.float32))
    shift = per_token(np.where(right, 0.5, 0.0).astype(np.float32))
    boxes = given.boxes.clone()
    boxes[:, 0] = boxes[:, 0] * narrow + shift
    boxes[:, 2] = boxes[:, 2] * narrow + shift
    boxes[:, 4] = boxes[:, 4] * narrow
    layout = Layout.packed(np.add.reduceat(lengths, first), given.layout.device)
    values = given.pixels if isinstance(given, PatchInput) else given.features
    return type(given)(values, boxes, layout)


def inputs_of(
    table: Table, gallery: Gallery, examples: Ids, device: torch.device | str, **change: object
) -> dict[str, Input]:
    """The streams of some examples; `change` is how training moves pictures, see `Gallery.input`."""
    ids, lengths = table.rows("text", examples)
    numbers, counts = table.rows("picture", examples)
    if change:
        change["examples"] = np.repeat(examples, counts)
    text = TokenInput(torch.from_numpy(ids).to(device), Layout.packed(lengths, device))
    return {"text": text, "picture": together(gallery.input(numbers, device, **change), counts)}  # type: ignore[arg-type, dict-item]


def labels_of(table: Table, examples: Ids, answers: int, several: bool, device: torch.device | str) -> Labels:
    """What should be said of the examples that have a known answer: its id, or with `several` the credit of each."""
    ids, counts = table.rows("answer", examples)
    if not several:
        known = None if counts.all() else torch.from_numpy(np.flatnonzero(counts)).to(device)
        return Labels(torch.from_numpy(ids).to(device), known)
    credit = np.zeros((len(examples), answers), np.float32)
    credit[np.repeat(np.arange(len(examples)), counts), ids] = table.rows("credit", examples)[0]
    return Labels(torch.from_numpy(credit).to(device))
