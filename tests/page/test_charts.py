"""Bars as high as their values, intervals where they lie."""

import math
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.page.charts import bars_svg, interval_svg, signed

GROUPS = [("1-5", "20"), ("6-10", "7")]


def bars(svg):
    return [one for one in ElementTree.fromstring(svg).iter("rect") if one.find("title") is not None]


def test_bars_are_in_proportion_and_named():
    found = bars(bars_svg(GROUPS, [("a", [10.0, None]), ("<b>", [40.0, 20.0])], x_label="words", y_label="BLEU"))
    assert [one.find("title").text for one in found] == ["a, 1-5: 10.0", "<b>, 1-5: 40.0", "<b>, 6-10: 20.0"]
    heights = [float(one.get("height")) for one in found]
    assert heights[1] == pytest.approx(4 * heights[0], abs=0.2)
    assert heights[1] == pytest.approx(2 * heights[2], abs=0.2)
    assert [one.get("class") for one in found] == ["b0", "b1", "b1"]
    assert float(found[0].get("x")) < float(found[1].get("x")) < float(found[2].get("x"))


def test_shares_are_on_a_scale_of_one():
    found = bars(bars_svg(GROUPS, [("a", [0.5, 1.0])], x_label="x", y_label="y", percent=True))
    assert found[0].find("title").text == "a, 1-5: 50.0%"
    assert float(found[1].get("height")) == pytest.approx(2 * float(found[0].get("height")), abs=0.2)


@given(
    st.lists(st.floats() | st.none(), min_size=2, max_size=2),
    st.lists(st.text(max_size=40), min_size=1, max_size=6),
    st.booleans(),
)
def test_any_bars_are_well_formed(values, names, percent):
    svg = bars_svg(GROUPS, [(name, values) for name in names], x_label="x", y_label="y", percent=percent)
    assert not {"nan", "inf"} & {one.get("height") for one in ElementTree.fromstring(svg).iter("rect")}


def test_no_groups():
    ElementTree.fromstring(bars_svg([], [("a", [])], x_label="x", y_label="y"))


def test_interval_lies_on_its_side_of_zero():
    tree = ElementTree.fromstring(interval_svg(0.5, 1.0, 1.5, 2.0, "good", 200))
    assert float(tree.find("line").get("x1")) == 100
    assert float(tree.find("circle").get("cx")) == 146
    assert tree.find("path").get("d").startswith("M123.0 11H169.0")
    assert tree.get("aria-label") == "+1.0, between +0.5 and +1.5"
    left = ElementTree.fromstring(interval_svg(-9.0, -1.0, -0.5, 2.0, "bad", 200))
    assert left.find("path").get("d").startswith("M8.0 11H77.0")  # what is outside is moved to the edge


def test_signed():
    assert [signed(1.25, 2), signed(-3.0), signed(0.0)] == ["+1.25", "−3.0", "+0.0"]
    assert "−" in signed(-math.pi)
