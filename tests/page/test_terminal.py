"""Pictures in a terminal: never too wide, nothing that moves the cursor, and the numbers that are there."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from heedful.inside.record import Answers, Guess
from heedful.page.terminal import picture

from . import records

HOSTILE = [
    *(
        "\x1b[31mred",
        "\x07",
        "\r\n",
        "a\u202eb",
        "\ud800",
        "\u2066x",
        "日本語" * 9,
        "e\u0301" * 40,
        "👩\u200d🚀",
        "שלום",
        "مرحبا!",
    ),
    *("", " ", "x" * 500, "\t", "\x9b31m", "\u2028", "z" + "\u0301" * 500),
]
ESCAPE = re.compile(r"\x1b\[[\d;]*m")


def everything():
    long = [f"word{number}" for number in range(70)]
    return {
        "translation": records.translation(),
        "long": records.translation(long, long[:60], ()),
        "picture": records.seeing(),
        "many cells": records.seeing(cells=6),
        "label": records.classifying(),
        "text": records.writing(),
        "hostile": records.translation(["s", *HOSTILE, "e"], [*HOSTILE, "e"], ()),
        "hostile picture": records.seeing(("<s>", *HOSTILE, "</s>")),
        "hostile text": replace(
            records.writing(HOSTILE), answers=tuple(Answers(h, tuple(Guess(h, 0.1) for _ in range(9))) for h in HOSTILE)
        ),
    }


RECORDS = everything()


@pytest.mark.parametrize("width", [20, 33, 80, 200])
@pytest.mark.parametrize("name", RECORDS)
def test_no_line_is_too_wide_and_there_are_few(name, width):
    record = replace(RECORDS[name], model=HOSTILE[0], notes=(HOSTILE[7], HOSTILE[0]))
    plain, coloured = (picture(record, width, colour) for colour in (False, True))
    assert [line.rstrip() for line in ESCAPE.sub("", coloured).split("\n")] == plain.split("\n")
    assert "\x1b" not in plain
    lines = plain.split("\n")
    assert max(map(cell_len, lines)) <= width
    assert len(lines) <= 32 + (len(record.what_if) > 1) * (2 + len(record.what_if))
    for line in lines:
        controls = [c for c in line if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
        assert set(controls) <= set("\u2068\u2069\u200d"), line
        assert line.count("\u2068") == line.count("\u2069")


def test_a_translation_is_a_matrix_of_shades():
    lines = picture(records.translation(), 80, False).split("\n")
    assert lines[:3] == ["translate · a translator", "the small dog barks", "→ der kleine Hund bellt"]
    assert "written reads source: best heads" in lines
    row = next(line for line in lines if line.startswith("kleine "))
    # By words of source: 0.02 each, but 0.88 + 0.02 for the two tokens of "small".
    assert row == "kleine  · · ██· · ·   small 0.90"


def test_what_ifs_are_listed_with_what_is_said_instead():
    record = records.translation()
    lines = picture(record, 80, False).split("\n")
    at = lines.index("what if (3 changes; those that matter most, in nats)")
    ranked = sorted(record.what_if, key=lambda run: -abs(run.change))
    assert lines[at + 1] == f"{ranked[0].change:+8.2f} {ranked[0].label} → {ranked[0].text}"
    assert [line.split()[0] for line in lines[at + 1 : at + 4]] == [f"{run.change:+.2f}" for run in ranked]
    assert "what if" not in picture(replace(record, what_if=record.what_if[:1]), 80, False)


def test_shades_are_quarters():
    record = records.translation()
    weights = np.zeros((5, 7), np.float32)
    weights[0] = [0.04, 0.2, 0.0, 0.0, 0.3, 0.6, 0.8]
    record = replace(record, views=(replace(record.views[0], weights=weights),))
    row = next(line for line in picture(record, 80, False).split("\n") if line.startswith("der "))
    assert row == "der     · ░░· ▒▒▓▓██  </s> 0.80 · barks 0.60 · dog 0.30"


def test_colour_marks_the_word_that_is_read_most():
    coloured = picture(records.translation(), 80, True)
    row = next(line for line in coloured.split("\n") if line.startswith("Hund"))
    assert re.findall(r"\x1b\[1;38;5;33m([^\x1b]*)", row) == ["██"]
    assert ESCAPE.sub("", row).index("██") == len("Hund    ") + 2 * 3


def test_what_is_left_out_is_said():
    text = picture(RECORDS["long"], 60, False)
    assert "… and 43 more words" in text
    assert re.search(r"A column is \d words", text)


def test_writing_from_right_to_left_is_kept_apart():
    text = picture(records.translation(written=("مرحبا!", "x", "y", "z", "e")), 80, False)
    assert "\u2068مرحبا!\u2069" in text


def test_a_label_comes_with_what_it_rests_on():
    lines = picture(records.classifying(), 60, False).split("\n")
    assert lines[2] == "→ good"
    good, bad = (next(line for line in lines if line.startswith(name)) for name in ("good ", "bad "))
    assert good.endswith(" 0.96")
    assert bad.endswith(" 0.04")
    assert good.count("█") == round(8 * 24 * 0.96) // 8
    start = lines.index("what the answer rests on")
    told = [(line.split()[0], float(line.split()[-1])) for line in lines[start + 1 :]]
    assert told == [("wonderful", 1.25), ("a", -0.25), ("film", pytest.approx(0.125, abs=0.006))]


def test_a_text_that_goes_on_shows_what_its_last_token_reads():
    record = records.writing()
    lines = picture(record, 80, False).split("\n")
    assert [line.split()[0] for line in lines[5:8]] == ["was", "lived", "were"]
    last = record.kinds[0].layers[1].weights.mean(0)[4]
    start = next(number for number, line in enumerate(lines) if line.startswith("what there reads"))
    told = {line.split()[0]: float(line.split()[-1]) for line in lines[start + 1 :]}
    assert list(told) == [record.lines["text"].words[key] for key in np.argsort(-last)]
    assert told == pytest.approx(dict(zip(record.lines["text"].words, last.tolist(), strict=True)), abs=0.006)


def test_what_answers_is_what_the_record_says():
    """A masked word answers, not the text's first token."""
    record = replace(records.classifying(), views=(), asked={"text": (2,)})  # the first token of "wonderful"
    lines = picture(record, 80, False).split("\n")
    weights = record.kinds[0].layers[0].weights.mean(0)
    line = record.lines["text"]
    wanted = np.bincount(line.word, weights[line.word == 2].mean(0))
    start = next(number for number, one in enumerate(lines) if one.startswith("what wonderful reads"))
    told = {one.split()[0]: float(one.split()[-1]) for one in lines[start + 1 :]}
    assert told == pytest.approx(dict(zip(line.words, wanted.tolist(), strict=True)), abs=0.006)
    first = picture(replace(record, asked={}), 80, False)
    assert "what [CLS] reads" in first


def test_a_word_says_where_in_the_picture_it_looks():
    text = picture(records.seeing(), 80, False)
    line = next(line for line in text.split("\n") if line.startswith("red "))
    weight = records.seeing().kinds[0].layers[1].weights.mean(0)[2, 6]
    assert line.endswith(f"{weight:.2f} row 2, column 3")


def test_several_answers_are_a_line_each():
    answers = tuple(Answers(f"word{n}", (Guess("NOUN", 0.75), Guess("VERB", 0.25))) for n in range(12))
    lines = picture(replace(records.classifying(), answers=answers), 60, False).split("\n")
    assert "word3  NOUN 0.75  VERB 0.25" in lines
    assert "… and 4 more" in lines


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=5, max_size=5), st.integers(0, 120))
def test_any_words_fit(words, width):
    text = picture(records.translation(written=tuple(words)), width, False)
    assert max(map(cell_len, text.split("\n"))) <= max(20, width)
