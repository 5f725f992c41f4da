"""All pictures of a run as a model reads them: patches of pixels or regions with features. Made once, kept on disk.

`Sight` says how a model sees pictures and is stored with it; `Gallery` holds pictures by number and gives some of them
as the picture stream's input.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch
import xxhash
from msgspec import Struct

from ..config import Pictures
from ..errors import UserError
from ..model.embeddings import PatchInput, RegionInput
from ..model.layout import Layout
from ..text.ragged import offsets, spans
from .patches import boxes_of, moved, patches_of, require_fit, rows_of
from .pictures import Fit, Pixels, Reference, read_picture
from .regions import FeatureFile, Reals, Regions, encoder_of

Ids = npt.NDArray[np.int64]
PATCHES = "patches"
UNKNOWN = "regions"  # the encoder of a model from another library, which does not say what made its features
NETWORKS = ("efficientnet-lite0",)


class Sight(Struct, frozen=True, kw_only=True):
    """How pictures are seen: as patches of `edge` pixels after fitting (see `pictures.Fit`), or as regions of
    `features` numbers with `classes` chances (0: none) that the encoder of that name made.

    Of patches a pixel's brightness (0 to 255) less `zero` is divided by 127.5; with `mean` and `deviation`, which are
    of each channel, it is divided by 255, and they count. `whole`: regions are read after a row for the whole picture.
    """

    encoder: str = PATCHES
    size: tuple[int, int] = (32, 32)
    shortest: int = 0
    cubic: bool = False
    edge: int = 4
    zero: float = 127.5
    mean: tuple[float, float, float] | None = None
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    features: int = 0
    classes: int = 0
    whole: bool = True

    @property
    def fit(self) -> Fit:
        return Fit(self.size, self.shortest, self.cubic)

    @property
    def told(self) -> str:
        """What is seen, in words."""
        if self.encoder == PATCHES:
            return f"patches of {self.edge} pixels"
        return f"{self.features} numbers a region" + ("" if self.encoder == UNKNOWN else f" that {self.encoder!r} made")

    def patches(self, pixels: Pixels) -> Reals:
        """Pictures [n, *size, 3] as rows of patches [n * rows, numbers]."""
        if self.mean is None:
            return patches_of(pixels, self.edge, self.zero)
        zero, unit = ([255 * one for one in part] for part in (self.mean, self.deviation))
        return patches_of(pixels, self.edge, zero, unit)

    @property
    def sizes(self) -> dict[str, int]:
        """What the plan of two streams needs to know."""
        if self.encoder == PATCHES:
            return {"edge": self.edge, "channels": 3, "regions": 3 * self.edge**2}
        return {"features": self.features, "regions": self.classes or self.features}


class Gallery:
    """Pictures by number. `pixels` [n, height, width, 3] of patches, else `rows`, `boxes` and `classes` end to end.

    `lengths` [n] are the rows of each picture; the first is the whole picture, unless the sight is without (`whole`).
    """

    def __init__(
        self, sight: Sight, array: npt.NDArray[Any], lengths: Ids, boxes: Reals, classes: Reals | None = None
    ) -> None:
        self.sight, self.array, self.lengths, self.boxes = sight, array, lengths, boxes
        self.classes = classes
        self._begins = offsets(lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    def input(
        self,
        numbers: Ids,
        device: torch.device | str = "cpu",
        *,
        epoch: int | None = None,
        examples: Ids | None = None,
        seed: int = 0,
        change: Pictures | None = None,
    ) -> PatchInput | RegionInput:
        """Some pictures, a row of the stream each. With an `epoch`, patches are moved and mirrored as `change` says,
        by (seed, epoch, example); `examples` are the pictures' numbers if not given."""
        numbers = np.asarray(numbers, np.int64)
        layout = Layout.packed(self.lengths[numbers], device)
        move = lambda array: torch.from_numpy(array).to(device)
        if self.sight.encoder != PATCHES:
            places = spans(self._begins[numbers], self.lengths[numbers])
            return RegionInput(move(self.array[places]), move(self.boxes[places]), layout)
        pixels = self.array[numbers]
        if epoch is not None and change is not None:
            drawn = numbers if examples is None else examples
            pixels = moved(pixels, drawn, seed, epoch, change.shift, change.mirror)
        return PatchInput(move(self.sight.patches(pixels)), move(np.tile(self.boxes, (len(numbers), 1))), layout)

    def wanted_classes(self, numbers: Ids) -> Reals | None:
        """The chances of the rows' classes [rows, classes] where the encoder gave some."""
        if self.classes is None or not self.sight.classes:
            return None
        return self.classes[spans(self._begins[numbers], self.lengths[numbers])]


# ---- making one -----------------------------------------------------------------------------------------------------


def found_all(references: Iterable[Reference], pictures: Pictures, root: Path | None = None) -> list[Reference]:
    """The references with their files found; in a file of features nothing is looked for."""
    if pictures.features is not None and pictures.features not in NETWORKS:
        return list(references)
    return [one.found(root) for one in references]


def unique(references: Sequence[Reference]) -> tuple[list[Reference], Ids]:
    """Each picture once, and the number of each reference's picture."""
    numbers: dict[str, int] = {}
    found = [numbers.setdefault(one.name, len(numbers)) for one in references]
    first = {one.name: one for one in reversed(references)}
    return [first[name] for name in numbers], np.array(found, np.int64)


def look_at(
    sight: Sight, references: Sequence[Reference], features: Path | None = None, folder: Path | None = None
) -> Gallery:
    """A gallery as a finished model sees it, in memory, or its pixels in `folder`; UserError for features of another
    encoder than its own, or of any where it sees patches."""
    if sight.encoder == PATCHES:
        if features is not None:
            raise UserError(f"{features}: the model sees pictures as patches and reads no features; leave the file out")
        count = len(references)
        shape = (count, *sight.size, 3)
        array: npt.NDArray[Any] = np.zeros(shape, np.uint8) if folder is None else _on_disk(folder, shape)
        for number, one in enumerate(references):
            array[number] = read_picture(one, sight.fit)
        lengths = np.full(count, rows_of(sight.size, sight.edge), np.int64)
        return Gallery(sight, array, lengths, boxes_of(sight.size, sight.edge))
    rows = [*_regions(sight.encoder, references, features, sight.whole)]
    for one, regions in zip(references, rows, strict=True):
        if regions.features.shape[1] != sight.features or regions.classes.shape[1] not in (0, sight.classes):
            raise UserError(
                f"{one.where}: {one.name}: {regions.features.shape[1]} features and {regions.classes.shape[1]} classes "
                f"where the model reads {sight.features} and {sight.classes}"
            )
    return _of_regions(sight, rows)


def _regions(encoder: str, references: Sequence[Reference], features: Path | None, whole: bool = True) -> list[Regions]:
    if encoder in NETWORKS and features is None:
        from .networks import regions_of

        return regions_of(references)
    if features is None:
        made = "" if encoder == UNKNOWN else f" that {encoder!r} made"
        raise UserError(f"the model reads features of regions{made}; give their file with --features FILE")
    with FeatureFile(features) as file:
        if encoder not in (UNKNOWN, file.encoder):
            raise UserError(f"{features}: made by the encoder {file.encoder!r}; the model reads those of {encoder!r}")
        found = [file.regions(one) for one in references]
    return found if whole else [Regions(*(part[1:] for part in one)) for one in found]


def _of_regions(sight: Sight, rows: Sequence[Regions]) -> Gallery:
    lengths = np.array([len(one.features) for one in rows], np.int64)
    joined = Regions(*(np.concatenate(part) for part in zip(*rows, strict=True)))
    return Gallery(sight, joined.features, lengths, joined.boxes, joined.classes)


def prepare_gallery(
    pictures: Pictures, folder: Path, references: Sequence[Reference], given: Sight | None = None
) -> Gallery:
    """The gallery of a run's pictures (each once) in `folder`, made or found there. `given` is how the model to start
    from sees; UserError where `pictures` are of another kind."""
    key = _key(pictures, references, given)
    try:
        return open_gallery(folder, key)
    except UserError:
        pass
    sight, rows = given or Sight(size=pictures.size, edge=pictures.edge, zero=pictures.zero), None
    if pictures.features is None:
        require_fit(sight.size, sight.edge)
    else:
        path = None if pictures.features in NETWORKS else Path(pictures.features)
        encoder = pictures.features if path is None else encoder_of(path)
        rows = _regions(encoder, references, path, sight.whole)
        first = rows[0]
        sizes = {"features": first.features.shape[1], "classes": first.classes.shape[1]}
        sight = Sight(encoder=encoder, whole=sight.whole, **sizes)
        if given is not None and (given.encoder not in (UNKNOWN, encoder) or given.features != sight.features):
            raise UserError(f"the model to start from sees {given.told}, and pictures.features has {sight.told}")
        for one, regions in zip(references, rows, strict=True):
            if [part.shape[1] for part in regions] != [part.shape[1] for part in first]:
                raise UserError(f"{one.where}: {one.name}: features of another size than those of the first picture")
    gallery = look_at(sight, references, folder=folder) if rows is None else _of_regions(sight, rows)
    _save(gallery, folder, key)
    return open_gallery(folder, key)


def _key(pictures: Pictures, references: Sequence[Reference], given: Sight | None) -> str:
    """A hash of what a gallery is made from: names, files' sizes and times, settings."""
    settings = f"{pictures.size} {pictures.edge} {pictures.zero} {pictures.features}"
    state = xxhash.xxh3_128((settings if given is None else f"{settings} {given}").encode())
    files = {one.name.rpartition("#")[0] or one.name for one in references} | {pictures.features or ""}
    for one in references:
        state.update(f"{one.name}\n".encode())
    for file in sorted(files):
        if (path := Path(file)).is_file():
            state.update(f"{file} {path.stat().st_size} {path.stat().st_mtime_ns}\n".encode())
    return state.hexdigest()


def _on_disk(folder: Path, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Room for all pixels in pictures.npy, which may be more than fits into memory."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pictures.json").unlink(missing_ok=True)
        return np.lib.format.open_memmap(folder / "pictures.npy", "w+", np.uint8, shape)
    except OSError as error:
        raise _full(folder, error) from None


def _full(folder: Path, error: OSError) -> UserError:
    return UserError(f"{folder}: cannot be written: {error.strerror or error}; free some space")


def _save(gallery: Gallery, folder: Path, key: str) -> None:
    """pictures.npy, boxes.npy, classes.npy, lengths.npy and, last, pictures.json with their hash."""
    parts = {"pictures": gallery.array, "boxes": gallery.boxes, "lengths": gallery.lengths, "classes": gallery.classes}
    told = {"key": key, "hash": {}, "sight": _plain(gallery.sight)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pictures.json").unlink(missing_ok=True)
        for name, array in parts.items():
            if isinstance(array, np.memmap):
                array.flush()
            elif array is not None:
                np.save(folder / f"{name}.npy", array)
            if array is not None:
                told["hash"][name] = _digest(folder / f"{name}.npy")  # type: ignore[index]
        aside = folder / ".pictures.json.tmp"
        aside.write_text(json.dumps(told), "utf-8")
        os.replace(aside, folder / "pictures.json")
    except OSError as error:
        raise _full(folder, error) from None


def open_gallery(folder: Path, key: str | None = None) -> Gallery:
    """What `prepare_gallery` made; pixels and features stay on disk until they are read. UserError if damaged."""
    path = folder / "pictures.json"
    try:
        told = json.loads(path.read_text("utf-8"))
        if key is not None and told["key"] != key:
            raise UserError(f"{path}: made from other pictures or settings; delete it")
        arrays = {}
        for name, wanted in told["hash"].items():
            if _digest(folder / f"{name}.npy") != wanted:
                raise UserError(
                    f"{folder / name}.npy: damaged (its hash differs); delete it and prepare the data again"
                )
            arrays[name] = np.load(folder / f"{name}.npy", mmap_mode="r" if name == "pictures" else None)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: cannot be read: {error}; delete it and prepare the data again") from None
    return Gallery(sight_from(told["sight"], path), arrays["pictures"], arrays["lengths"], arrays["boxes"],
                   arrays.get("classes"))  # fmt: skip


def _digest(path: Path) -> str:
    state = xxhash.xxh3_128()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()


def _plain(sight: Sight) -> dict[str, Any]:
    return {name: getattr(sight, name) for name in Sight.__struct_fields__}


def sight_from(plain: object, where: object) -> Sight:
    """What a model's config.json holds under "pictures"; UserError for what is none."""
    try:
        sight = msgspec.convert(plain, Sight)
    except msgspec.ValidationError as error:
        raise UserError(f"{where}: how pictures are seen is not understood: {error}") from None
    if 0 < sight.shortest < max(sight.size) or min(sight.deviation) <= 0:
        raise UserError(f"{where}: how pictures are seen is not understood: {sight.shortest}, {sight.deviation}")
    return sight
