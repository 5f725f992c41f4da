"""How pictures are prepared before they are patches: what the file beside a model says of it, in both directions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError
from .settings import Settings, read_settings

FILES = ("preprocessor_config.json", "processor_config.json")  # of today: in the second, under a key
BILINEAR, CUBIC = 2, 3  # Pillow's numbers, which theirs are
# CLIP's (Radford et al. 2021, released code), where a file leaves them out.
MEAN, DEVIATION = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def sight_of(folder: Path, size: int) -> dict[str, Any]:
    """How a model of square pictures of `size` pixels sees them (fields of `gallery.Sight`); UserError, by name, for
    what we do not do to pictures."""
    path = next((folder / name for name in FILES if (folder / name).is_file()), None)
    settings = Settings({}, str(folder)) if path is None else read_settings(path)
    if "image_processor" in settings:
        settings = settings.part("image_processor")
    settings.must(do_resize=True, do_rescale=True, do_normalize=True)
    if abs(settings.take("rescale_factor", float, 1 / 255) - 1 / 255) > 1e-6:
        raise UserError(f"{settings.where}: 'rescale_factor' is {settings.tree['rescale_factor']}; known is 1/255")
    resample = settings.take("resample", int, CUBIC)
    if resample not in (BILINEAR, CUBIC):
        raise UserError(f"{settings.where}: 'resample' is {resample}; known are {BILINEAR} and {CUBIC}")
    mean = settings.take("image_mean", tuple[float, float, float], tuple(MEAN))
    deviation = settings.take("image_std", tuple[float, float, float], tuple(DEVIATION))
    if min(deviation) <= 0:
        raise UserError(f"{settings.where}: 'image_std' is {list(deviation)}; it is above 0")
    return {"shortest": _shortest(settings, size), "cubic": resample == CUBIC, "mean": mean, "deviation": deviation}


def _shortest(settings: Settings, size: int) -> int:
    """The pixels of the shorter side after scaling; 0: a picture is scaled to its size, and nothing is cut off."""
    crops = settings.take("do_center_crop", bool, True)
    edges, cut = _edges(settings, "size", size), _edges(settings, "crop_size", size)
    wanted = {"height": size, "width": size}
    if edges == wanted:
        return 0
    shortest = edges.get("shortest_edge", 0)
    if not crops or cut != wanted or not size <= shortest < 2**16 or len(edges) > 1:
        raise UserError(
            f"{settings.where}: pictures of {edges}, cut to {cut if crops else None}; known is a shortest edge, cut to "
            f"the model's {size} pixels"
        )
    return shortest


def _edges(settings: Settings, key: str, size: int) -> dict[str, int]:
    """A number alone is both sides of what is cut out, and else the shorter side."""
    given = settings.take(key, int | dict[str, int], size)
    if isinstance(given, dict):
        return given
    return {"shortest_edge": given} if key == "size" else {"height": given, "width": given}


def told(pictures: Mapping[str, Any]) -> dict[str, Any]:
    """The content of their file, for a model that sees pictures so (config.json's "pictures")."""
    height, width = pictures["size"]
    shortest = pictures.get("shortest", 0)
    size = {"shortest_edge": shortest} if shortest else {"height": height, "width": width}
    mean, deviation = pictures.get("mean"), pictures.get("deviation")
    if mean is None:
        mean, deviation = [pictures.get("zero", 127.5) / 255] * 3, [0.5] * 3
    return {
        "image_processor_type": "CLIPImageProcessor", "do_convert_rgb": True, "do_resize": True, "size": size,
        "resample": CUBIC if pictures.get("cubic") else BILINEAR, "do_center_crop": bool(shortest),
        "crop_size": {"height": height, "width": width}, "do_rescale": True, "rescale_factor": 1 / 255,
        "do_normalize": True, "image_mean": list(mean), "image_std": list(deviation or ()),
    }  # fmt: skip
