"""Pictures of records: the numbers where they belong, in every writing, safe, and the same as pixels."""

from __future__ import annotations

import io
import math
import re
import sys
from dataclasses import replace

import numpy as np
import pytest

from heedful.errors import UserError
from heedful.inside.record import Line, Picture, View
from heedful.page.chosen import chosen, region_names
from heedful.page.drawing import BEND, heat_map, png, svg

from . import records
from .reading import HOSTILE as SHORT
from .reading import tree

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    *SHORT,
    "]]><x/>",
    "</svg><img src=x onerror=alert(1)>",
    "</style>",
    "\ufffe",
    "\u2069\u2069x",
    "\n",
    "",
    " ",
]
ELEMENTS = {"svg", "title", "desc", "style", "rect", "text", "g", "defs", "image", "use"}


def heats(text):
    return [float(one.get("fill-opacity")) for one in tree(text).iter("rect") if one.get("class") == "heat"]


def test_cells_hold_their_weights():
    text = heat_map([[0.1, 0.9], [1.0, 0.0], [0.25, 0.75]], ["a", "b", "c"], ["x", "y"])
    wanted = [0.1, 0.9, 1.0, 0.0, 0.25, 0.75]
    np.testing.assert_allclose(heats(text)[:6], np.array(wanted) ** BEND, atol=6e-4)
    titles = [title.text for title in tree(text).iter("title")]
    assert titles == ["a → x: 0.100", "a → y: 0.900", "b → x: 1.000", "b → y: 0.000", "c → x: 0.250", "c → y: 0.750"]
    boxes = [one for one in tree(text).iter("rect") if one.get("class") == "heat"][:6]
    assert float(boxes[0].get("x")) < float(boxes[1].get("x"))
    assert boxes[0].get("y") == boxes[1].get("y") != boxes[2].get("y")


def test_signed_weights_have_two_colours_and_their_own_scale():
    text = heat_map([[-0.5, 2.0, 0.0]], ["a"], ["x", "y", "z"], signed=True)
    looks = [
        (one.get("class"), float(one.get("fill-opacity")))
        for one in tree(text).iter("rect")
        if one.get("class") in ("heat", "against")
    ]
    assert [name for name, _ in looks[:3]] == ["against", "heat", "heat"]
    np.testing.assert_allclose([share for _, share in looks[:3]], [0.25**BEND, 1, 0], atol=6e-4)


def test_labels_must_fit():
    with pytest.raises(ValueError, match=r"\[2 queries, 2 keys\]"):
        heat_map([[0.5, 0.5]], ["a", "b"], ["x", "y"])
    with pytest.raises(ValueError, match=r"\[1 queries, 2 keys\]"):
        heat_map([[1.0]], ["a"], ["x", "y"])


def test_odd_weights_and_labels():
    text = heat_map([[math.nan, 2.0, -1.0]], ["x" * 500], HOSTILE[:3])
    assert heats(text)[:3] == [0.0, 1.0, 0.0]
    assert float(tree(text).get("width")) < 700
    assert heat_map([], [], [])
    assert heat_map([[]], ["a"], [])


def test_a_file_shows_the_best_heads_by_words():
    record = records.translation()
    text = svg(record)
    best, line = record.views[0].weights, record.lines["source"]
    wanted = np.stack([best[:, line.word == word].sum(1) for word in range(6)], 1)  # sums over the tokens of a word
    found = [title.text for title in tree(text).iter(f"{SVG}title")][1:]
    assert found[6 * 1 + 2] == f"kleine → small: {wanted[1, 2]:.3f}"
    np.testing.assert_allclose([float(one.rsplit(" ", 1)[1]) for one in found], wanted.flatten(), atol=6e-4)


def test_a_file_speaks_for_itself():
    root = tree(svg(records.translation()))
    title, told = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert root.get("role") == "img"
    assert root.get("aria-labelledby").split() == [title.get("id"), told.get("id")]
    assert title.text == "written reads source: best heads"
    assert "kleine reads most small (0.90)" in told.text
    css = root.find(f"{SVG}style").text
    assert "prefers-color-scheme:dark" in css


def test_writing_from_right_to_left_keeps_its_order_by_itself():
    record = records.translation(("<ar>", "the", "small", "dog", "barks", "</s>"), ("مرحبا!", "x", "עולם", "b", "e"))
    labels = [one.text for one in tree(svg(record)).iter(f"{SVG}text")]
    assert "\u2068مرحبا!\u2069" in labels
    assert "x" in labels


@pytest.mark.parametrize(
    ("kind", "view", "told"),
    [
        ("a.b", None, "no kind of attention is called 'a.b'; there are source.source, target.target, target.source"),
        (None, "x", "no view of target.source is called 'x'; there are best, last, mean, layer N"),
        (None, "layer 3", "no layer 3; what is shown has 1, 2"),
        (None, "layer 2 head 3", "heads 1 to 2, not 3"),
    ],
)
def test_what_is_not_there_is_told(kind, view, told):
    with pytest.raises(UserError, match=re.escape(told)):
        svg(records.translation(), kind, view)


def test_a_view_is_found_by_its_name():
    record = records.translation()
    layers = record.kind("target.source").layers
    line = record.lines["source"]
    for view, wanted in (
        ("layer 1 head 2", layers[0].weights[1]),
        ("layer 1", layers[0].weights.mean(0)),
        ("last", layers[1].weights.mean(0)),
        ("mean", np.concatenate([layer.weights for layer in layers]).mean(0)),
    ):
        by_word = np.stack([wanted[:, line.word == word].sum(1) for word in range(6)], 1)
        np.testing.assert_allclose(chosen(record, "target.source", view).weights, by_word, atol=1e-6)


def test_negative_weights_are_drawn_where_the_largest_is_one():
    text = heat_map([[-1.0, 0.5, -0.25]], ["a"], ["x", "y", "z"], signed=True)
    shades = [one for one in tree(text).iter("rect") if one.get("class") in ("heat", "against")][:3]
    assert [one.get("class") for one in shades] == ["against", "heat", "against"]
    np.testing.assert_allclose(
        [float(one.get("fill-opacity")) for one in shades], np.array([1, 0.5, 0.25]) ** BEND, atol=6e-4
    )


def test_a_layer_is_found_by_its_number_where_some_are_left_out():
    record = records.translation()
    kinds = tuple(replace(kind, layers=kind.layers[-1:]) for kind in record.kinds)
    one = chosen(replace(record, kinds=kinds), "target.source", "layer 2 head 2")
    assert one.label == "layer 2, head 2"
    np.testing.assert_allclose(one.weights[1, 2], 0.90, atol=1e-6)  # both tokens of "small"
    with pytest.raises(UserError, match="no layer 1; what is shown has 2"):
        chosen(replace(record, kinds=kinds), "target.source", "layer 1")


def test_regions_are_called_by_their_place():
    def named(picture: Picture, whole: bool = True) -> list[str]:
        count = len(picture.boxes)
        flags = (whole, *[False] * (count - 1))
        return region_names(Line("p", "", ("",) * count, ("",) * count, np.arange(count), flags, picture))

    assert named(records.shapes(2)) == [
        "the whole picture",
        *("row 1, column 1", "row 1, column 2", "row 2, column 1", "row 2, column 2"),
    ]
    loose = replace(records.shapes(2), boxes=np.array([[0, 0, 0.5, 0.5], [0.1, 0.2, 0.7, 0.9]], np.float32))
    assert named(loose, False) == ["region 1", "region 2"]
    alone = replace(records.shapes(2), boxes=np.array([[0, 0, 1, 1]], np.float32))
    assert named(alone, False) == ["row 1, column 1"]
    large = replace(records.shapes(2), boxes=np.array([[0, 0, 1, 1], [0.1, 0.2, 0.7, 0.9]], np.float32))
    assert named(large, False) == ["region 1", "region 2"]
    assert named(large) == ["the whole picture", "row 1, column 1"]


def test_every_word_has_its_picture():
    root = tree(svg(records.seeing()))
    tiles = list(root.iter(f"{SVG}g"))
    labels = [[text.text for text in tile.iter(f"{SVG}text")] for tile in tiles]
    weights = records.seeing().kinds[0].layers[1].weights.mean(0)
    assert [label[0] for label in labels] == ["a", "red", "square"]
    assert labels[1][1] == f"row 2, column 3 · {weights[2, 6]:.2f}"
    parts = {part.find(f"{SVG}title").text: part for part in tiles[1].iter(f"{SVG}svg")}
    strongest = parts[f"row 2, column 3: {weights[2, 6]:.3f}"]
    assert float(strongest.find(f"{SVG}use").get("opacity")) == 1.0
    assert (float(strongest.get("x")), float(strongest.get("y"))) == (100, 50)
    assert all("whole" not in title for title in parts)
    back = tree(svg(records.seeing(), "picture.text"))
    column = records.seeing().kinds[1].layers[1].weights.mean(0)[1:, 2]
    assert f"row 2, column 3 · {column.max():.2f}" in [text.text for text in back.iter(f"{SVG}text")]


def test_nothing_in_a_record_becomes_markup():
    record = records.translation(["s", *HOSTILE, "e"], [*HOSTILE, "e"], ())
    views = (View("target.source", "best", HOSTILE[0], HOSTILE[1], record.views[0].weights),)
    kinds = tuple(replace(kind, label=HOSTILE[9]) for kind in record.kinds)
    record = replace(record, model=HOSTILE[0], text=HOSTILE[9], answer=HOSTILE[10], views=views, kinds=kinds)
    for text in (svg(record), svg(records.seeing(("<s>", *HOSTILE, "</s>")))):
        root = tree(text.encode("utf-8", "strict").decode())
        assert {one.tag.removeprefix(SVG) for one in root.iter()} <= ELEMENTS
        names = {name for one in root.iter() for name in one.attrib}
        assert not [name for name in names if name.startswith("on")]
        links = [one.get("href") for one in root.iter() if one.get("href")]
        assert all(link == "#picture" or link.startswith("data:image/png;base64,") for link in links)


def pixels(data):
    image = pytest.importorskip("PIL.Image")
    return np.asarray(image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def colour(text):
    return np.array([int(text[start : start + 2], 16) for start in (1, 3, 5)])


@pytest.mark.parametrize(("dark", "sheet", "heat"), [(False, "#ffffff", "#0b5394"), (True, "#1b1f23", "#63b8f5")])
def test_png_is_the_same_picture(dark, sheet, heat):
    pytest.importorskip("resvg_py")
    record = records.translation()
    shown = pixels(png(record, scale=2, dark=dark))
    root = tree(svg(record))
    assert shown.shape[:2] == (round(2 * float(root.get("height"))), round(2 * float(root.get("width"))))
    np.testing.assert_array_equal(shown[4, 4], colour(sheet))
    inner = root.find(f"{SVG}svg")
    cells = [one for one in inner.iter(f"{SVG}rect") if one.get("class") == "heat"]
    empty = colour("#272c31" if dark else "#eceef0")
    for cell in cells[:30]:
        middle = [float(cell.get(name)) + float(cell.get(size)) / 2 for name, size in (("x", "width"), ("y", "height"))]
        share = float(cell.get("fill-opacity"))
        wanted = empty * (1 - share) + colour(heat) * share
        at = shown[round(2 * (58 + middle[1])), round(2 * middle[0])]
        np.testing.assert_allclose(at, wanted, atol=2)


def test_png_of_a_picture_has_sharp_cells():
    pytest.importorskip("resvg_py")
    shown = pixels(png(records.seeing(), scale=1))
    tile = shown[58 + 6 : 58 + 156, 16 + 170 : 16 + 320]  # the second word, "red"
    np.testing.assert_array_equal(tile[75, 125], records.RED)
    assert len({tuple(colour) for colour in tile[75, 112:138]}) == 1  # no blur from edge to edge


def test_png_without_its_package_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(UserError, match=r"heedful\[png\]"):
        png(records.translation())
