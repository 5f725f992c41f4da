"""An evaluation as text, as values and as a page."""

import json

from measure.examples import references, spoiled
from rich.cells import cell_len

from heedful.measure.evaluation import evaluate
from heedful.measure.words import count_words
from heedful.page.evaluation import report

LINES = references(120)
SYSTEMS = {"plain": spoiled(LINES, 0.5, 1), "better": spoiled(LINES, 0.1, 2)}


def test_text_has_every_figure_that_the_values_have():
    found = report(evaluate([LINES], SYSTEMS, source=LINES, counts=count_words(LINES[:60]), resamples=100))
    figures = json.loads(json.dumps(found.figures))
    for system in figures["systems"]:
        for score in system["scores"].values():
            assert f"{score['score']:.2f}  " in found.text
            assert f"{score['low']:.1f} to {score['high']:.1f}" in found.text
    for one in figures["comparisons"]:
        assert f"{one['difference']:+.2f}  {one['interval']['low']:+.2f} to" in found.text
    for signature in figures["signatures"].values():
        assert signature in found.text
    assert found.text.startswith("120 lines, 1 reference; 95 %: of 100 bootstrap resamples, seed 12345\n")
    assert "by words in the source" in found.text
    assert "the reference's words, by how often training has them" in found.text
    assert found.text.count("  better\n") == 3
    assert found.page.startswith("<!doctype html>")


def test_columns_stand_below_each_other():
    found = report(evaluate([LINES], {"日本語": SYSTEMS["plain"], "b": SYSTEMS["better"]}, resamples=50))
    rows = [line for line in found.text.split("\n") if " to " in line]
    assert len(rows) == 6
    assert len({cell_len(line[: line.index(" to ")]) for line in rows}) == 1


def test_names_cannot_steer_the_terminal():
    text = report(evaluate([LINES], {"a\x1b[2J\nb\u202e": LINES}, resamples=5)).text
    assert "a?[2J?b?" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_single_line():
    found = report(evaluate([["Ein Haus."]], {"a": ["Ein Haus"]}, resamples=5))
    assert found.text.startswith("1 line, 1 reference;")
    assert "note: only 1 line: intervals" in found.text
