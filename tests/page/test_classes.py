"""Sections about labels: what stands in them, safely."""

from __future__ import annotations

import numpy as np

from heedful.measure.labels import by_label, confusion, reliability
from heedful.page.classes import calibration_section, confusion_section, errors_section, rates_section
from heedful.page.render import page


def test_a_confusion_matrix_shows_its_counts_and_escapes_labels() -> None:
    section = confusion_section(["<b>", "y"], [[3, 1], [0, 12345]])
    svg = section.parts[0]
    assert "12,345" in svg
    assert "&lt;b&gt; taken for y: 1 of 4 (25.0%)" in svg
    assert "<b>" not in svg


def test_of_many_labels_the_most_frequent_confusions_are_shown() -> None:
    labels = [f"l{number}" for number in range(30)]
    table = np.eye(30, dtype=int)
    table[3, 7], table[7, 3] = 5, 9
    shown = str(confusion_section(labels, table.tolist()).parts[0])
    assert shown.index("l7</td><td>l3") < shown.index("l3</td><td>l7")
    assert "svg" not in shown


def test_a_page_of_all_sections() -> None:
    table = confusion(np.array([0, 1, 1]), np.array([0, 1, 0]), 2)
    bins = reliability(np.array([0.9, 0.6, 0.7]), np.array([True, True, False]))
    worst = errors_section([("a <text> " * 100, "x", "y", "70%")], ("Text", "Answer", "It said", "How"), "lead")
    assert worst is not None
    sections = [confusion_section(["x", "y"], table.tolist()), rates_section(["x", "y"], by_label(table)), worst]
    html = page("title", [*sections, calibration_section(bins)])
    for wanted in ("50.0%", "66.7%", "Expected calibration error", "a &lt;text&gt;", "…"):
        assert wanted in html
    assert "a <text>" not in html
    assert errors_section([], ("Text",), "") is None
