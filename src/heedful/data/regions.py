"""The user's own picture features: for each picture vectors of its regions with their boxes, made by some encoder.

A .safetensors or .npz file holds, for a picture that records call NAME, "NAME/features" [n, d], "NAME/boxes"
[n, 4 or 5] (x1, y1, x2, y2 in 0 .. 1, and the share of the area) and, if the encoder knows classes, "NAME/classes"
[n, c] (chances). It names the encoder that made them: safetensors in its metadata under "encoder", .npz in an entry
"encoder". Features of two encoders have nothing to do with each other, so a model refuses those of another than it was
trained with.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from ..errors import UserError
from .pictures import Reference

Reals = npt.NDArray[np.float32]
WHOLE = np.array([[0.0, 0.0, 1.0, 1.0, 1.0]], np.float32)


class Regions(NamedTuple):
    """Of one picture: features [n, d], boxes [n, 5], classes [n, c] or [n, 0]; the first row is the whole picture."""

    features: Reals
    boxes: Reals
    classes: Reals


class FeatureFile:
    """A file of features, opened; `encoder` is the name of what made them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if path.suffix == ".npz":
                self._file: Any = np.load(path, allow_pickle=False)
                self._names = set(self._file.files)
                encoder = str(self._file["encoder"]) if "encoder" in self._names else ""
            else:
                self._file = safe_open(path, "numpy")
                self._names = set(self._file.keys())
                encoder = (self._file.metadata() or {}).get("encoder", "")
        except (OSError, SafetensorError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: not a file of features (.safetensors or .npz): {error}") from None
        if not encoder:
            self.close()
            raise UserError(f'{path}: it does not name the encoder that made the features; add it as "encoder"')
        self.encoder = encoder

    def __enter__(self) -> FeatureFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self.path.suffix == ".npz":
            self._file.close()

    def _get(self, name: str) -> Any:
        return self._file[name] if self.path.suffix == ".npz" else self._file.get_tensor(name)

    def regions(self, one: Reference) -> Regions:
        """What the file holds of a picture; UserError with the record's place where it holds nothing that fits."""
        here = f"{one.where}: {one.name}"
        if f"{one.name}/features" not in self._names or f"{one.name}/boxes" not in self._names:
            raise UserError(f"{here}: {self.path} has no features and boxes of this picture")
        try:
            features, boxes = (
                np.asarray(self._get(f"{one.name}/{what}"), np.float32) for what in ("features", "boxes")
            )
            named = f"{one.name}/classes" in self._names
            classes = np.asarray(self._get(f"{one.name}/classes"), np.float32) if named else features[:, :0]
        except (OSError, SafetensorError, ValueError, TypeError, IndexError, zipfile.BadZipFile) as error:
            raise UserError(f"{here}: {self.path}: {error}") from None
        if features.ndim != 2 or 0 in features.shape or boxes.shape not in ((len(features), 4), (len(features), 5)):
            raise UserError(
                f"{here}: features {list(features.shape)} and boxes {list(boxes.shape)} do not fit; "
                "they must be [n, d] and [n, 4 or 5]"
            )
        if len(classes) != len(features) or classes.ndim != 2:
            raise UserError(f"{here}: classes {list(classes.shape)} for {len(features)} regions")
        if not np.isfinite(features).all() or not np.isfinite(classes).all():
            raise UserError(f"{here}: the features hold what is not a finite number; make them again")
        if not ((boxes >= 0) & (boxes <= 1.0001)).all():
            raise UserError(f"{here}: boxes must lie in 0 to 1; divide them by the picture's width and height")
        return with_whole(features, boxes, classes)


def encoder_of(path: Path) -> str:
    """The name of the encoder that made a file of features."""
    with FeatureFile(path) as file:
        return file.encoder


def with_whole(features: Reals, boxes: Reals, classes: Reals) -> Regions:
    """A picture's regions after a row for the whole: the mean of them all (ViLBERT's [IMG])."""
    if boxes.shape[1] == 4:
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        boxes = np.concatenate([boxes, area[:, None]], 1)
    first = lambda rows: rows.mean(0, keepdims=True, dtype=np.float32)
    parts = (np.concatenate([first(features), features]), np.concatenate([WHOLE, boxes]))
    return Regions(*parts, np.concatenate([first(classes), classes]))
