"""The report of heads: numbers where they belong, no script, nothing from outside, safe whatever is called what."""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest
from rich.cells import cell_len

from heedful.inside.headreport import Aligned, Followed, HeadKind, HeadReport
from heedful.page.heads import BEND, grid_svg, heads_json, heads_page, heads_terminal, ranked

from .reading import read

HOSTILE = [
    "<script>alert(1)</script>",
    '" onload="x',
    "\ud800",
    "a\u202eb",
    "\x1b[31m",
    "日本語",
    "\n",
    "</style>",
    "&lt;",
]


def report(name: str = "shapes") -> HeadReport:
    """Two kinds; one pruned, so that layers differ in heads."""
    cross = HeadKind(
        "target.source",
        "written reads source",
        ("target.0.source", "target.1.source"),
        {"entropy": [[0.5, 2.0, 1.0], [3.0]], "coverage": [[0.1, 0.2, 0.3], [0.4]]},
        [[0.6, 0.8, 0.0], [1.0]],
        [[0.25, -0.05, 0.0], [0.5]],
        followed=(Followed("gender", "f", 0, 1, 0.3, 0.1, 3.0, 0.02, 1200, 80),),
        aligned=(Aligned(1, 0, 0.875), Aligned(0, 2, 0.5)),
    )
    own = HeadKind("source.source", "source reads itself", ("source.0.source",), {"previous": [[0.9, 0.125]]})
    return HeadReport("a translator", "translate", name, 300, (cross, own), 1.25, ("Only 300 of 1000 texts.",))


def test_a_grid_has_every_head_where_it_is():
    text = grid_svg("entropy", [[0.5, 2.0, -1.0], [math.nan]], ["a.0.b", "a.1.b"])
    cells = list(ElementTree.fromstring(text).iter("g"))
    assert [one.find("title").text for one in cells] == [
        "layer 1, head 1 (a.0.b): 0.500",
        "layer 1, head 2 (a.0.b): 2.000",
        "layer 1, head 3 (a.0.b): -1.000",
        "layer 2, head 1 (a.1.b): no number",
    ]
    shades = [one.findall("rect")[1] for one in cells]
    assert [one.get("class") for one in shades] == ["heat", "heat", "against", "heat"]
    opacities = [float(one.get("fill-opacity")) for one in shades]
    np.testing.assert_allclose(opacities, [0.25**BEND, 1, 0.5**BEND, 0], atol=6e-4)
    x, y = ([float(one.get(axis)) for one in shades] for axis in ("x", "y"))
    assert x[0] < x[1] < x[2]
    assert x[3] == x[0]
    assert y[0] == y[1] == y[2] < y[3]


def test_layers_are_called_by_their_block():
    """Cross-attention in blocks 2 and 4 of six: layers 3 and 5 for everybody."""
    cross = replace(report().kinds[0], addresses=("text.2.picture", "text.4.picture"))
    odd = replace(report(), kinds=(cross,))
    labels = [one.text for one in ElementTree.fromstring(grid_svg("x", [[1.0], [1.0]], cross.addresses)).iter("text")]
    assert labels == ["1", "3", "5"]
    text, terminal = " ".join(read(heads_page(odd)).text), heads_terminal(odd, 80, False)
    for shown in (text, terminal):
        assert "layer 5, head 1" in shown
        assert "layer 3, head 2" in shown
        assert not re.search("layer [124],", shown)
    assert "  5  ██" in terminal.split("\n")


def test_heads_are_ranked_by_what_the_loss_is_without_them():
    cross, own = report().kinds
    assert ranked(cross) == [(1, 0), (0, 0), (0, 2), (0, 1)]
    assert ranked(replace(cross, ablation=None)) == [(1, 0), (0, 1), (0, 0), (0, 2)]
    assert ranked(own) == []


def test_the_page_tells_what_there_is():
    reader = read(heads_page(report()))
    text = " ".join(reader.text)
    for told in ("written reads source", "source reads itself", "gender: f", "3.00", "1,200 in 80", "87.5%", "1.250"):
        assert told in text
    assert "+20.0% ± 3.9%" in text  # 1.96 standard errors of 0.02
    assert re.search(r"The most important.*layer 2, head 1\s+0\.500\s+1\.000\s+3\.000\s+0\.400", text, re.DOTALL)
    for told in ("not what the head is for", "first-order", "Only 300 of 1000 texts."):
        assert told in text


def test_the_page_runs_nothing_and_asks_for_nothing():
    kinds = tuple(
        replace(
            kind,
            label=HOSTILE[0],
            addresses=(f"{HOSTILE[1]}.0.{HOSTILE[0]}",),
            measures={name: [[1.0]] for name in HOSTILE},
            followed=tuple(Followed(name, name, 0, 0, 0.1, 0.1, 1.0, 0.1, 1, 1) for name in HOSTILE),
        )
        for kind in report().kinds
    )
    hostile = replace(report(HOSTILE[0]), model=HOSTILE[7], task=HOSTILE[1], kinds=kinds, notes=tuple(HOSTILE))
    page = heads_page(hostile)
    page.encode()
    reader = read(page)
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & reader.tags
    assert not {"src", "href", "style", "onload"} & reader.attributes
    assert "script-src" not in page
    assert "default-src 'none'" in page
    terminal = heads_terminal(hostile, 80, False)
    assert "\x1b" not in terminal
    assert "\u202e" not in terminal
    json.loads(heads_json(hostile))


def test_json_has_everything():
    data = json.loads(heads_json(report()), parse_constant=lambda name: pytest.fail(name))
    assert data["format"] == "heedful.heads.v1"
    kind = data["kinds"][0]
    assert kind["measures"]["entropy"] == [[0.5, 2.0, 1.0], [3.0]]
    assert kind["ablation"] == [[0.25, -0.05, 0.0], [0.5]]
    assert kind["followed"][0]["lift"] == 3.0
    assert data["kinds"][1]["importance"] is None
    odd = replace(report(), loss=math.nan)
    assert json.loads(heads_json(odd))["loss"] is None


@pytest.mark.parametrize("width", [20, 40, 80])
def test_the_terminal_has_the_heads_that_matter(width):
    plain, coloured = (heads_terminal(report(), width, colour) for colour in (False, True))
    assert [line.rstrip() for line in re.sub(r"\x1b\[[\d;]*m", "", coloured).split("\n")] == plain.split("\n")
    lines = plain.split("\n")
    assert max(map(cell_len, lines)) <= width
    assert len(lines) <= 30
    # Shades of what the loss grows by, 0.5 the largest: 0.25, -0.05 and 0; 0.5.
    assert "  1  ▓▓-░·" in lines
    assert "  2  ██" in lines
    if width == 80:
        assert [line.split()[-1] for line in lines if line.startswith("most")] == ["0.500", "0.250", "0.000"]
        assert [line.split()[-1] for line in lines if line.startswith("least")] == ["-0.050"]
        assert "layer 1, head 2 follows gender: f × 3.00" in lines
        assert "layer 2, head 1 aligns words best: 87.5%" in lines


def test_a_large_model_stays_short():
    scores = [[0.1] * 64 for _ in range(48)]
    kind = HeadKind("text.text", "text", tuple(f"text.{n}.text" for n in range(48)), {"entropy": scores}, scores)
    text = heads_terminal(HeadReport("m", "write", "d", 1, (kind, kind, kind)), 60, False)
    assert len(text.split("\n")) <= 45
    assert "… and 42 more layers" in text
    assert heads_page(HeadReport("m", "write", "d", 1, (kind,)))
