"""Pictures from files, as numbers: PNG, JPEG and the like, or arrays in .npy and .npz; every error says file:line.

A picture is named by its file. An array's is "FILE.npz#12" (the 13th of the file's one array), "FILE.npz#NAME" (a whole
array is the picture), "FILE.npz#NAME[12]", or "FILE.npy#12". Files are looked for beside the record's file, then as
named, then under the data root. Formats other than arrays need Pillow (pip install 'heedful[pictures]').
"""

from __future__ import annotations

import functools
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import UserError
from .readers import resolve

Pixels = npt.NDArray[np.uint8]

MOST_PIXELS = 50_000_000  # of a picture: known from its header, before anything is decoded
MOST_BYTES = 2**32  # of an array in a .npz, which may be packed far smaller
# What is tried; others (EPS, say) would start other programs, or are seldom met.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_PLACE = re.compile(r"(?P<file>.+\.np[yz])#(?:(?P<name>[^\[\]#]*[^\d\[\]#][^\[\]#]*))?(?:\[?(?P<row>\d{1,12})\]?)?")


class Reference(NamedTuple):
    """A picture's name and the "file:line" that names it."""

    name: str
    where: str

    def found(self, root: Path | None = None) -> Reference:
        """The same with its file found; UserError where there is none."""
        file, mark, place = _split(self.name)
        beside = Path(re.sub(r":\d+$", "", self.where)).parent / file
        try:
            path = beside if beside.is_file() else resolve(file, root)
        except (UserError, OSError, ValueError):
            raise UserError(
                f"{self.where}: {self.name}: no such picture; paths are read from the file's folder"
            ) from None
        return Reference(f"{path.absolute()}{mark}{place}", self.where)


def _split(name: str) -> tuple[str, str, str]:
    return name.rpartition("#") if _PLACE.fullmatch(name) else (name, "", "")


class Fit(NamedTuple):
    """How a picture gets the `size` (height, width): scaled to it; or, with a `shortest` side, scaled so that its
    shorter side has so many pixels, and cut out of the middle. `cubic`: by cubic interpolation, not by linear."""

    size: tuple[int, int]
    shortest: int = 0
    cubic: bool = False


def read_picture(one: Reference, fit: Fit | None = None) -> Pixels:
    """The picture [height, width, 3] of a reference that was found, fitted if asked for.

    What is transparent becomes white; of an animation the first picture is taken; a camera's turn is undone.
    """
    match = _PLACE.fullmatch(one.name)
    if match:
        picture = _from_array(one, Path(match["file"]), match["name"], match["row"])
        right = fit is None or (picture.shape[:2] == fit.size and fit.shortest in (0, min(fit.size)))
        return picture if right else _fitted(_pillow(one).fromarray(picture), fit)
    if one.name.endswith((".npy", ".npz")):
        raise UserError(f"{one.where}: {one.name} holds arrays; say which is the picture: {one.name}#0")
    return _from_file(one, fit)


# ---- files ----------------------------------------------------------------------------------------------------------


def _pillow(one: Reference) -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise UserError(
            f"{one.where}: {one.name}: to read or scale pictures Pillow is needed: pip install 'heedful[pictures]'"
        ) from None
    return Image


def _from_file(one: Reference, fit: Fit | None) -> Pixels:
    image_module = _pillow(one)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of size, which is checked here; of odd metadata, which is not read
            with image_module.open(one.name, formats=FORMATS) as image:
                width, height = image.size
                if width * height > MOST_PIXELS:
                    raise UserError(
                        f"{one.where}: {one.name}: {width} x {height} pixels, over {MOST_PIXELS:,}; make it smaller"
                    )
                if image.format == "JPEG" and fit is not None and not fit.shortest:
                    image.draft("RGB", (2 * fit.size[1], 2 * fit.size[0]))  # decodes no more than is needed
                image.load()
                return _fitted(_plain(image, image_module), fit)
    except UserError:
        raise
    except image_module.DecompressionBombError:
        raise UserError(f"{one.where}: {one.name}: more than {MOST_PIXELS:,} pixels; make it smaller") from None
    except FileNotFoundError:
        raise UserError(f"{one.where}: {one.name}: no such picture") from None
    except Exception as error:  # Pillow's decoders raise a dozen kinds of errors on damaged files
        reason = "not a picture that can be read" if "cannot identify" in str(error) else f"damaged ({error})"
        kinds = ", ".join(FORMATS)
        raise UserError(f"{one.where}: {one.name}: {reason}; it must be one of {kinds}") from None


def _plain(image: Any, image_module: Any) -> Any:
    """The image as RGB, whatever its mode."""
    from PIL import ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":  # more than 8 bits a pixel, one channel
        values = np.asarray(image, np.float64)
        most = 1.0 if image.mode == "F" and values.max(initial=0.0) <= 1.0 else 255.0 if image.mode == "F" else 65535.0
        return image_module.fromarray((values.clip(0, most) * (255.0 / most)).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        clear = image.convert("RGBA")
        white = image_module.new("RGBA", clear.size, (255, 255, 255, 255))
        return image_module.alpha_composite(white, clear).convert("RGB")
    return image.convert("RGB")


def _fitted(image: Any, fit: Fit | None) -> Pixels:
    if fit is None:
        return np.array(image, np.uint8)
    size, shorter = fit.size, min(image.height, image.width)
    if fit.shortest:
        size = (fit.shortest * image.height // shorter, fit.shortest * image.width // shorter)
    if (image.height, image.width) != size:
        image = image.resize((size[1], size[0]), 3 if fit.cubic else 2)  # over all pixels that fall together
    top, left = ((here - wanted) // 2 for here, wanted in zip(size, fit.size, strict=True))
    return np.array(image, np.uint8)[top : top + fit.size[0], left : left + fit.size[1]]


# ---- arrays ---------------------------------------------------------------------------------------------------------


def _from_array(one: Reference, path: Path, name: str | None, row: str | None) -> Pixels:
    array = load_array(path, name, one.where)
    if row is not None:
        if array.ndim < 3 or int(row) >= len(array):
            raise UserError(f"{one.where}: {one.name}: the array is {_shape(array)}; it has no picture {row}")
        array = array[int(row)]
    if array.ndim == 2:
        array = array[:, :, None]
    channels = array.shape[2] if array.ndim == 3 else 0
    if array.dtype != np.uint8 or channels not in (1, 3, 4) or 0 in array.shape:
        raise UserError(
            f"{one.where}: {one.name}: {_shape(array)} of {array.dtype} is no picture; "
            "it must be uint8 of [height, width, 1, 3 or 4]"
        )
    if channels == 4:
        seen, clear = array[:, :, :3].astype(np.float32), array[:, :, 3:].astype(np.float32) / 255
        return np.asarray((seen * clear + 255 * (1 - clear)).round(), np.uint8)
    return np.array(np.broadcast_to(array, (*array.shape[:2], 3)))


def load_array(path: Path, name: str | None, where: str) -> npt.NDArray[Any]:
    """An array of a .npy file, or of a .npz by name (None: its only one). UserError with `where` if there is none."""
    try:
        if path.suffix == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
        return _unpacked(str(path), name, path.stat().st_mtime_ns)
    except KeyError as error:
        raise UserError(f"{where}: {path}: {error.args[0]}") from None
    except FileNotFoundError:
        raise UserError(f"{where}: {path}: no such file") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, MemoryError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{where}: {path}: no arrays can be read from it ({error})") from None


@functools.lru_cache(maxsize=4)
def _unpacked(path: str, name: str | None, changed: int) -> npt.NDArray[Any]:
    """One array of a .npz; `changed` is when the file was, so that another one is read anew."""
    with zipfile.ZipFile(path) as packed:
        known = [one.filename.removesuffix(".npy") for one in packed.infolist()]
        if name is None and len(known) > 1:
            raise KeyError(f"it holds {len(known)} arrays; name one: {', '.join(known[:8])}")
        if (name is not None and name not in known) or not known:
            raise KeyError(f"it holds no array {name!r}, but: {', '.join(known[:8])}")
        inside = packed.getinfo(f"{name or known[0]}.npy")
        if inside.file_size > MOST_BYTES:
            raise ValueError(f"{inside.file_size:,} bytes, more than {MOST_BYTES:,}")
        with packed.open(inside) as file:
            array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    array.flags.writeable = False  # it is kept
    return array


def _shape(array: npt.NDArray[Any]) -> str:
    return " x ".join(map(str, array.shape)) or "a single value"
