"""Pictures and pages: escaped, self-contained, and drawn where the numbers say."""

import base64
import hashlib
import math
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.page.drawing import heat_map
from heedful.page.render import (
    Markup,
    Section,
    Series,
    bar,
    curve_svg,
    escape,
    figure,
    page,
    samples,
    side_by_side,
    table,
    tiles,
)

from .reading import HOSTILE, tree


def test_escape_shows_what_would_hide():
    assert escape("a\u202eb\u2067c\u200b\x07") == "a⟨U+202E⟩b⟨U+2067⟩c⟨U+200B⟩⟨U+0007⟩"
    assert escape("\ud800") == "⟨U+D800⟩"
    assert escape("👩\u200d🚀 שלום مرحبا 日本") == "👩\u200d🚀 שלום مرحبا 日本"
    assert escape("<b a=\"1\" c='2'>&") == "&lt;b a=&quot;1&quot; c=&#x27;2&#x27;&gt;&amp;"


@given(st.text())
def test_escape_leaves_nothing_to_markup(text):
    assert not set(escape(text)) & set("<>\"'\x00\u202e")
    escape(text).encode()


def lines(svg):
    return [one for one in tree(svg).iter("path") if one.find("title") is not None]


def numbers(path):
    return [tuple(map(float, pair)) for pair in re.findall(r"[ML]([-\d.]+) ([-\d.]+)", path.get("d"))]


def test_curve_draws_points_in_proportion():
    svg = curve_svg([Series("a", [(0, 0), (1, 10), (2, 5)]), Series("b", [(0, 5)])], x_label="step", y_label="loss")
    one, other = lines(svg)
    (x0, y0), (x1, y1), (x2, y2) = numbers(one)
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y1 == pytest.approx(2 * (y0 - y2), abs=0.2)  # y grows downwards in SVG
    assert numbers(other)[0][1] == pytest.approx(y2, abs=0.1)
    assert one.get("class") != other.get("class")
    assert one.get("stroke-dasharray") != other.get("stroke-dasharray")
    texts = [text.text for text in tree(svg).iter("text")]
    assert {"a", "b", "step", "0", "2", "10"} <= set(texts)


def test_log_scale_is_logarithmic():
    points = numbers(
        lines(curve_svg([Series("a", [(1, 100), (2, 10), (3, 1)])], x_label="x", y_label="y", scale="log"))[0]
    )
    assert points[1][1] - points[0][1] == pytest.approx(points[2][1] - points[1][1], abs=0.2)


def test_small_values_fill_the_height():
    """A rate that goes from 0 to 0.0005 is no flat line; one that does not move lies in the middle."""
    points = numbers(lines(curve_svg([Series("a", [(1, 0.0), (2, 5e-4)])], x_label="x", y_label="y"))[0])
    assert points[0][1] - points[1][1] > 150
    (_, first), (_, last) = numbers(
        lines(curve_svg([Series("a", [(1, 3e-4), (2, 3e-4)])], x_label="x", y_label="y"))[0]
    )
    assert first == last == pytest.approx((40 + 300 - 46) / 2, abs=1)


@pytest.mark.parametrize("values", [(1, 1.000002), (1e8, 1e8 + 200), (0, 5e-324), (-3, -3.0001), (7e-5, 7.01e-5)])
def test_labels_are_all_different(values):
    svg = curve_svg([Series("a", [(1, values[0]), (2, values[1])])], x_label="x", y_label="y")
    ends = [text.text for text in tree(svg).iter("text") if text.get("text-anchor") == "end"]
    assert len(ends) == len(set(ends))


def test_a_log_scale_within_a_decade_has_ticks():
    svg = curve_svg([Series("a", [(1, 4.2), (2, 9.1)])], x_label="x", y_label="y", scale="log")
    assert {"5", "6", "7", "8", "9"} <= {text.text for text in tree(svg).iter("text")}


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_what_cannot_be_drawn_interrupts_the_line(scale):
    for hole in (math.nan, math.inf, -math.inf):
        svg = curve_svg([Series("a", [(0, 1), (1, hole), (2, 3)])], x_label="x", y_label="y", scale=scale)
        assert lines(svg)[0].get("d").count("M") == 2
        assert "nan" not in svg
        assert "inf" not in svg


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats()), max_size=30), st.sampled_from(["linear", "log"]))
def test_any_curve_is_well_formed(points, scale):
    tree(curve_svg([Series("a", sorted(points))], x_label="x", y_label="y", scale=scale))


def test_long_curves_are_thinned_and_range_is_kept():
    svg = curve_svg([Series("a", [(x, float(x)) for x in range(10_000)])], x_label="x", y_label="y")
    assert len(numbers(lines(svg)[0])) <= 400
    svg = curve_svg([Series("a", [(0, -5.0), (1, 5.0)])], x_label="x", y_label="y", y_range=(0, 1), percent=True)
    assert max(y for _, y in numbers(lines(svg)[0])) <= 300
    assert "100%" in svg


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *one) for one in attrs]

    def handle_data(self, data):
        self.text.append(data)


def whole_page():
    parts = (
        side_by_side([figure(heat_map([[1.0] * 8], ["q"], HOSTILE), h) for h in HOSTILE]),
        table(HOSTILE, [HOSTILE]),
        samples([(h, h, h, h[::-1]) for h in HOSTILE]),
        table(["share"], [[bar(0.5)]], ["number"]),
        curve_svg([Series(h, [(0, 1), (1, 2)]) for h in HOSTILE], x_label=HOSTILE[0], y_label=HOSTILE[1]),
        tiles([(h, h, h) for h in HOSTILE]),
        *HOSTILE,
    )
    return page(
        HOSTILE[0],
        [Section(HOSTILE[1], HOSTILE[0], parts)],
        lead=HOSTILE[0],
        facts=[("a", "b", HOSTILE[0])],
        footer=HOSTILE,
    )


def test_page_runs_nothing_and_asks_for_nothing():
    text = whole_page()
    text.encode()
    reader = Reader()
    reader.feed(text)
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & set(reader.tags)
    names = {name for _, name, _ in reader.attributes}
    assert not {"src", "href", "style", "srcset", "action"} & names
    assert not [name for name in names if name.startswith("on")]
    assert "url(" not in text
    assert "@import" not in text


def test_policy_allows_the_one_style_sheet():
    text = whole_page()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    css = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert "unsafe" not in policy
    assert "prefers-color-scheme:dark" in css


def test_text_is_escaped_and_markup_is_not():
    assert "&lt;i&gt;" in table(["a"], [["<i>"]])
    assert "<i>" in table(["a"], [[Markup("<i>")]])
    assert "✓ exact" in samples([("de", "one", "eins", "eins")])
    assert "✗ expected: zwei" in samples([("de", "two", "drei", "zwei")])


def test_pure():
    assert whole_page() == whole_page()
