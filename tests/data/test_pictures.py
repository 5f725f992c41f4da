"""Pictures of every kind, and files that are none: what is read, and the one line that is told."""

from __future__ import annotations

import builtins
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from heedful.data import pictures
from heedful.data.pictures import Fit, Reference, read_picture
from heedful.errors import UserError

SMALL = (4, 6)


def read(path: Path | str, size: tuple[int, int] | None = None) -> np.ndarray:
    return read_picture(Reference(str(path), "pairs.tsv:7"), size and Fit(size))


def refused(path: Path | str, words: str, size: tuple[int, int] | None = None) -> None:
    with pytest.raises(UserError, match=words) as told:
        read(path, size)
    assert str(told.value).startswith(f"pairs.tsv:7: {str(path).rpartition('#')[0] or path}")
    assert "\n" not in str(told.value)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, shape, np.uint8)


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header claims any size; its data are cut short."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_a_png_is_read_as_it_is(tmp_path: Path) -> None:
    given = noise(*SMALL, 3)
    Image.fromarray(given).save(tmp_path / "a.png")
    assert (read(tmp_path / "a.png") == given).all()
    assert (read(tmp_path / "a.png", SMALL) == given).all()
    assert read(tmp_path / "a.png", (2, 3)).shape == (2, 3, 3)


@pytest.mark.parametrize(
    ("mode", "value", "seen"),
    [
        ("L", 100, (100, 100, 100)),
        ("1", 1, (255, 255, 255)),
        ("LA", (0, 0), (255, 255, 255)),
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (255, 0, 0, 255), (255, 0, 0)),
        ("I;16", 65535, (255, 255, 255)),
        ("I;16", 0, (0, 0, 0)),
    ],
)
def test_modes(tmp_path: Path, mode: str, value: Any, seen: tuple[int, int, int]) -> None:
    Image.new(mode, (6, 4), value).save(tmp_path / "a.png")
    assert (read(tmp_path / "a.png") == np.array(seen)).all()


def test_palettes_with_and_without_something_clear(tmp_path: Path) -> None:
    image = Image.new("P", (6, 4), 1)
    image.putpalette([9, 9, 9, 10, 200, 30])
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "clear.png", transparency=1)
    assert (read(tmp_path / "a.png") == np.array((10, 200, 30))).all()
    assert (read(tmp_path / "clear.png") == 255).all()


def test_other_formats(tmp_path: Path) -> None:
    Image.new("CMYK", (6, 4), (0, 0, 0, 0)).save(tmp_path / "a.jpg")
    assert read(tmp_path / "a.jpg").min() > 250
    frames = [Image.new("RGB", (6, 4), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (read(tmp_path / "a.gif") == np.array((255, 0, 0))).all()
    Image.fromarray(np.full(SMALL, 1.0, np.float32)).save(tmp_path / "a.tiff")
    assert (read(tmp_path / "a.tiff") == 255).all()


def test_a_cameras_turn_is_undone(tmp_path: Path) -> None:
    image = Image.new("RGB", (6, 4))
    turned = image.getexif()
    turned[0x0112] = 6
    image.save(tmp_path / "a.png", exif=turned)
    assert read(tmp_path / "a.png").shape == (6, 4, 3)


def test_damaged_files(tmp_path: Path) -> None:
    Image.fromarray(noise(40, 40, 3)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    for number, content in enumerate((b"", b"words", whole[:60], whole[: len(whole) // 2], whole[:50] + b"\xff" * 99)):
        path = tmp_path / f"{number}.png"
        path.write_bytes(content)
        refused(path, "damaged|not a picture")
    refused(tmp_path / "none.png", "no such picture")
    refused(tmp_path, "not a picture|damaged")


def test_what_would_be_too_large_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, size in enumerate([(60_000, 60_000), (8_000, 7_000), (2**31 - 1, 2**31 - 1)]):
        path = tmp_path / f"{number}.png"
        path.write_bytes(png_of(*size))
        refused(path, "50,000,000|damaged")
    monkeypatch.setattr(pictures, "MOST_BYTES", 1000)
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((50, 8, 8, 3), np.uint8))
    refused(f"{tmp_path / 'a.npz'}#1", "9,728 bytes, more than 1,000")


def test_what_other_programs_would_read_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    refused(tmp_path / "a.eps", "not a picture")


def test_arrays(tmp_path: Path) -> None:
    given = noise(5, *SMALL, 3)
    np.savez(tmp_path / "one.npz", images=given)
    np.savez(tmp_path / "two.npz", images=given, other=given[0], gray=given[:, :, :, 0])
    np.save(tmp_path / "a.npy", given)
    for name in ("one.npz#2", "one.npz#images[2]", "two.npz#images[2]", "a.npy#2"):
        assert (read(f"{tmp_path / name}") == given[2]).all()
    assert (read(f"{tmp_path}/two.npz#other") == given[0]).all()
    assert (read(f"{tmp_path}/two.npz#gray[1]") == given[1, :, :, :1]).all()
    assert read(f"{tmp_path}/two.npz#other", (2, 2)).shape == (2, 2, 3)
    for name, words in (
        ("two.npz#1", "name one: images, other"),
        ("one.npz#5", "has no picture 5"),
        ("one.npz#faces", "no array 'faces'"),
        ("one.npz#images", "is no picture"),
        ("one.npz", "say which"),
    ):
        refused(f"{tmp_path / name}", words)


def test_arrays_that_are_no_pictures(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", reals=np.zeros((2, 4, 4, 3)), objects=np.array([{"run": 1}, None], object))
    refused(f"{tmp_path}/a.npz#reals[0]", "float64 is no picture")
    refused(f"{tmp_path}/a.npz#objects[0]", "no arrays can be read")
    (tmp_path / "b.npz").write_bytes(b"PK\3\4 no")
    refused(f"{tmp_path}/b.npz#0", "no arrays can be read")
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as file:
        file.writestr("images.npy", b"not numpy")
    refused(f"{tmp_path}/c.npz#0", "no arrays|is no picture|has no picture")


def test_a_changed_array_is_read_anew(tmp_path: Path) -> None:
    import os

    for value, time in ((1, 10**9), (2, 2 * 10**9)):
        np.savez(tmp_path / "a.npz", images=np.full((1, 2, 2, 3), value, np.uint8))
        os.utime(tmp_path / "a.npz", ns=(time, time))
        assert (read(f"{tmp_path}/a.npz#0") == value).all()


def test_a_picture_is_looked_for_beside_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data" / "more").mkdir(parents=True)
    for name in ("data/a.png", "data/more/b.png"):
        (tmp_path / name).write_bytes(b"")
    where = f"{tmp_path}/data/pairs.tsv:3"
    assert Reference("a.png", where).found().name == str(tmp_path / "data/a.png")
    monkeypatch.setenv("HEEDFUL_DATA", str(tmp_path / "data/more"))
    assert Reference("b.png", where).found().name == str(tmp_path / "data/more/b.png")
    for name in ("c.png", "", "a\0b", "x" * 5000, "more"):
        with pytest.raises(UserError, match="no such picture"):
            Reference(name, where).found()


def test_without_pillow_arrays_are_read_and_files_say_what_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(noise(*SMALL, 3)).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", noise(1, *SMALL, 3))
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == "PIL":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert read(f"{tmp_path}/a.npy#0", SMALL).shape == (*SMALL, 3)
    refused(tmp_path / "a.png", r"pip install 'heedful\[pictures\]'")
