"""Pictures inside pages: the pixels come back as they were, larger ones smaller, and no name gets out of its place."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from heedful.page import render
from heedful.page.photo import MOST, photo, png


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)


@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (112, 40)])
def test_the_file_holds_the_pixels(shape: tuple[int, int]) -> None:
    pixels = drawn(*shape)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(pixels)))), pixels)


def test_small_pictures_grow_on_the_page_and_large_ones_are_made_smaller() -> None:
    small, large = photo(drawn(6, 4), "a"), photo(np.full((1000, 500, 3), 77, np.uint8), "b")
    assert 'width="32" height="48"' in small
    inside = re.search('base64,([^"]*)"', large)
    assert inside is not None
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(inside[1]))))
    assert image.shape == (111, 55, 3)
    assert max(image.shape) <= MOST
    assert (image == 77).all()
    assert photo(drawn(500, 1), "narrow")


def test_a_page_allows_pictures_only_where_it_has_some() -> None:
    shown = photo(drawn(2, 2), '"><script>alert(1)</script>')
    assert "<script" not in shown
    table = render.table(("Picture", "Name"), [(shown, "<img src=x>")])
    page = render.page("t", [render.Section("s", "", (table,))])
    assert "img-src data:;" in page
    assert page.count("<img") == 1
    assert "img-src" not in render.page("t", [render.Section("<img", "<img", ("<img",))])
