"""Words, classes of length and of frequency, against figures found by hand."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.measure.breakdown import FrequencyClass, by_frequency, by_length, class_name, length_classes
from heedful.measure.translation import Scorer
from heedful.measure.words import count_words, pieces, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("  \t ", []),
        ("Der Bus, der Zug.", ["Der", "Bus", "der", "Zug"]),
        ("(don't!) well-known 3.5% €20 -- …", ["don't", "well-known", "3.5", "20"]),
        ("„Ja“, sagte sie.", ["Ja", "sagte", "sie"]),
        ("京都の秋、iPhone 15。", ["京", "都", "の", "秋", "iPhone", "15"]),
        ("नमस्ते दुनिया।", ["नमस्ते", "दुनिया"]),
        ("שלום, עולם!", ["שלום", "עולם"]),
        ("사과를 먹었다.", ["사과를", "먹었다"]),
    ],
)
def test_words(text, found):
    assert words(text) == found


@given(st.text(st.characters(exclude_categories=["Z", "Cc"])) | st.text("aß.,-(。京の३"))
def test_pieces_are_the_text(chunk):
    assert "".join(piece.text for piece in pieces(chunk)) == chunk


def test_count_words_reads_lines_one_by_one():
    assert count_words(line for line in ["Ein Bus, ein Zug.", "Ein Bus!"]) == {"Ein": 2, "Bus": 2, "ein": 1, "Zug": 1}


def test_by_frequency_by_hand():
    counts = Counter({"der": 500, "Bus": 30, "fährt": 6, "nach": 5, "Ulm": 1})
    references = ["Der der Bus fährt nach Ulm.", "der der Zug"]
    hypotheses = ["der Bus fuhr nach Ulm", "der Zug der Zug"]
    # Der, Zug: never; Ulm: once; nach: 5; fährt: 6; Bus: 30; der: 500, three times in the references and found thrice.
    assert by_frequency(hypotheses, references, counts) == [
        FrequencyClass("0", 2, 1),  # Zug is found, Der (upper case) is not
        FrequencyClass("1", 1, 1),
        FrequencyClass("2-5", 1, 1),
        FrequencyClass("6-20", 1, 0),
        FrequencyClass("21-100", 1, 1),
        FrequencyClass("101+", 3, 3),
    ]
    folded = by_frequency(hypotheses, references, Counter({"der": 60, "DER": 50}), lowercase=True)
    assert folded[-1] == FrequencyClass("101+", 4, 3)  # of "Der der" one was written
    assert folded[1].recall is None
    assert folded[-1].recall == 0.75


def test_bounds_belong_to_the_class_that_names_them():
    counts = Counter({f"w{times}": times for times in (1, 2, 5, 6, 20, 21, 100, 101)})
    found = by_frequency([""] * 1, [" ".join(counts) + " never"], counts)
    assert [(one.name, one.words, one.found) for one in found] == [
        ("0", 1, 0), ("1", 1, 0), ("2-5", 2, 0), ("6-20", 2, 0), ("21-100", 2, 0), ("101+", 1, 0),
    ]  # fmt: skip


def test_length_classes_count_words():
    lines = ["", ". !", *(" ".join(["Wort"] * count) + " ." for count in (1, 5, 6, 10, 11, 20, 21, 40, 41, 500))]
    assert length_classes(lines).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert [class_name(0, 0), class_name(6, 10), class_name(41, None)] == ["0", "6-10", "41+"]


def test_by_length_scores_the_lines_of_each_class_as_a_corpus():
    references = ["Ein Haus am See.", "Zwei alte Häuser stehen dort am See.", "Drei."]
    hypotheses = ["Ein Haus am Meer.", "Zwei alte Häuser stehen da am See.", "Vier."]
    scorer = Scorer([references])
    found = by_length(scorer, scorer(hypotheses), length_classes(references))
    assert [(one.name, one.lines) for one in found] == [
        ("0", 0), ("1-5", 2), ("6-10", 1), ("11-20", 0), ("21-40", 0), ("41+", 0),
    ]  # fmt: skip
    short = Scorer([[references[0], references[2]]])([hypotheses[0], hypotheses[2]])
    long = Scorer([[references[1]]])([hypotheses[1]])
    assert (found[1].bleu, found[1].chrf) == (short.values["BLEU"], short.values["chrF2"])
    assert (found[2].bleu, found[2].chrf) == (long.values["BLEU"], long.values["chrF2"])
    assert (found[0].bleu, found[0].chrf) == (None, None)
