"""Pictures of pixels in a page: small, inside the page itself, never a request."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
import numpy.typing as npt

from .render import Markup, escape

Pixels = npt.NDArray[np.uint8]
MOST = 112  # pixels of the longer edge: larger pictures are made smaller by whole factors
LEAST = 48  # what the longer edge of smaller ones has at least on the page: they grow by whole factors


def photo(pixels: Pixels, name: str) -> Markup:
    """A picture [height, width, 3] as an image of a page; `name` is what it says to whoever cannot see it."""
    factor = -(-max(pixels.shape[:2]) // MOST)
    if factor > 1:
        height, width = (size // factor or 1 for size in pixels.shape[:2])
        cut = pixels[: height * factor, : width * factor]
        parts = cut.reshape(height, len(cut) // height, width, cut.shape[1] // width, 3)
        pixels = parts.mean((1, 3)).round().astype(np.uint8)
    height, width = pixels.shape[:2]
    larger = max(1, -(-LEAST // max(height, width)))
    data = base64.b64encode(png(pixels)).decode()
    look = ' class="pixels"' if larger > 1 else ""
    size = f'width="{width * larger}" height="{height * larger}"'
    return Markup(f'<img{look} {size} alt="{escape(name)}" title="{escape(name)}" src="data:image/png;base64,{data}">')


def png(pixels: Pixels) -> bytes:
    """Pixels [height, width, 3] as a PNG file (W3C, Portable Network Graphics, 2003: true colour of 8 bits)."""
    height, width, _ = pixels.shape
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)  # each unfiltered
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )
