"""The colours of a page, computed in Python from the colours its style names."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from heedful.page import look, style

BEND = 1.4
LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def named(name: str, *, dark: bool = False) -> npt.NDArray[np.float64]:
    """A colour of the style sheets by its name, as sRGB 0..1."""
    css = style.COLOURS + (Path(look.__file__).parent / "look.css").read_text("utf-8")
    found = re.findall(rf"--{name}:#([0-9a-f]{{6}})", css)
    assert len(found) == 2, f"--{name} has a light and a dark value"
    value = found[dark]
    return np.array([int(value[start : start + 2], 16) for start in (0, 2, 4)]) / 255


def lab(colour: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return LAB @ np.cbrt(LMS @ linear)


def srgb(value: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """0..255."""
    linear = np.linalg.inv(LMS) @ (np.linalg.inv(LAB) @ value) ** 3
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055)
    return 255 * np.clip(curved, 0, 1)


def colour(weight: float, *, dark: bool = False, signed: bool = False) -> npt.NDArray[np.float64]:
    """Of a weight in 0..1, or a signed number in -1..1: evenly through OKLab, by |weight| ** 0.7."""
    names = ("hot", "warm", "empty", "heat", "deep") if signed else ("empty", "heat", "deep")
    stops = [lab(named(name, dark=dark)) for name in names]
    share = float(np.sign(weight) * abs(weight) ** (BEND / 2))
    place = ((1 + share) / 2 if signed else share) * (len(stops) - 1)
    left = min(int(place), len(stops) - 2)
    return srgb(stops[left] + (stops[left + 1] - stops[left]) * (place - left))
