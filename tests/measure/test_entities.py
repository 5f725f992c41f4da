"""Entities as conlleval counts them, in every scheme."""

from __future__ import annotations

import pytest

from heedful.measure.entities import Entity, entities, entity_rates, is_scheme, to_bio
from heedful.measure.labels import micro


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ("", []),
        ("O O", []),
        ("I-ORG O I-MISC", [("ORG", 0, 1), ("MISC", 2, 3)]),  # IOB1
        ("I-PER I-PER O", [("PER", 0, 2)]),
        ("I-LOC B-LOC I-LOC", [("LOC", 0, 1), ("LOC", 1, 3)]),  # IOB1: B- only between two of a type
        ("I-LOC I-ORG", [("LOC", 0, 1), ("ORG", 1, 2)]),
        ("B-PER I-PER B-PER", [("PER", 0, 2), ("PER", 2, 3)]),  # BIO
        ("B-PER I-LOC", [("PER", 0, 1), ("LOC", 1, 2)]),
        ("S-PER S-PER", [("PER", 0, 1), ("PER", 1, 2)]),  # BIOES
        ("B-PER I-PER E-PER E-PER", [("PER", 0, 3), ("PER", 3, 4)]),
        ("B-PER E-PER I-PER", [("PER", 0, 2), ("PER", 2, 3)]),
        ("U-PER B-LOC L-LOC", [("PER", 0, 1), ("LOC", 1, 3)]),  # BILOU
        ("B-A-B I-A-B", [("A-B", 0, 2)]),  # a type with a hyphen
        ("I-PER", [("PER", 0, 1)]),  # at the end of a sentence
    ],
)
def test_entities_of_every_scheme(labels: str, found: list[tuple[str, int, int]]) -> None:
    assert entities(labels.split()) == [Entity(*one) for one in found]
    assert entities(to_bio(labels.split())) == [Entity(*one) for one in found]


def test_bio_is_written_so_that_it_is_read_in_one_way() -> None:
    assert to_bio(["I-ORG", "I-ORG", "O", "I-LOC", "B-LOC"]) == ["B-ORG", "I-ORG", "O", "B-LOC", "B-LOC"]
    assert to_bio(["S-PER", "O", "B-LOC", "E-LOC"]) == ["B-PER", "O", "B-LOC", "I-LOC"]


def test_f1_counts_whole_entities() -> None:
    # The example of conlleval's documentation, in short: right, wrong type, too short, missed, invented.
    wanted = [["B-PER", "I-PER", "O", "B-LOC", "O", "B-ORG", "I-ORG", "O", "B-LOC", "O"]]
    said = [["B-PER", "I-PER", "O", "B-ORG", "O", "B-ORG", "O", "O", "O", "B-PER"]]
    found = entity_rates(wanted, said)
    assert found["PER"] == (0.5, 1.0, pytest.approx(2 / 3), 1, 2)
    assert found["LOC"][:3] == (0.0, 0.0, 0.0)
    assert found["ORG"] == (0.0, 0.0, 0.0, 1, 2)
    total = micro(list(found.values()))
    assert (total.said, total.count) == (4, 4)
    assert total[:3] == pytest.approx((0.25, 0.25, 0.25))


def test_equal_places_of_other_sentences_are_no_match() -> None:
    found = entity_rates([["B-X"], ["O"]], [["O"], ["B-X"]])
    assert found["X"][:3] == (0.0, 0.0, 0.0)


def test_what_is_a_scheme() -> None:
    assert is_scheme(["O", "B-PER", "I-PER"])
    assert is_scheme(["I-PER"])
    assert not is_scheme(["O"])
    assert not is_scheme(["NN", "VB", "O"])
    assert not is_scheme(["B-", "O"])
