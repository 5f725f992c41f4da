"""Named entities from labels of words, and how many are found: as conlleval (Tjong Kim Sang & De Meulder 2003) counts.

A label is O or a prefix and a type. All schemes are read by conlleval's rules: an entity begins at B and S, at a type
that differs from the one before, after E and S, and after O; it ends before the next beginning and at O. So IOB1 (I-X
begins an entity), BIO and BIOES need not be told apart. L and U (BILOU) are E and S.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .labels import Rates, rates

PREFIXES = "BIESLU"


class Entity(NamedTuple):
    """Words `start` to `end` (not included) of a sentence."""

    label: str
    start: int
    end: int


def is_scheme(labels: Iterable[str]) -> bool:
    """Whether labels are O and prefixes with types, at least one of these: then they make entities."""
    known = set(labels) - {"O"}
    return bool(known) and all(len(label) > 2 and label[0] in PREFIXES and label[1] == "-" for label in known)


def entities(labels: Sequence[str]) -> list[Entity]:
    """The entities of a sentence, in order."""
    found: list[Entity] = []
    begin, kind, ended = 0, "", True  # of the entity that is open; `ended`: nothing goes on from the word before
    for place, label in enumerate([*labels, "O"]):
        prefix, _, own = label.partition("-") if label != "O" else ("O", "", "")
        starts = own != kind or ended or prefix in "BSU"
        if kind and starts:
            found.append(Entity(kind, begin, place))
        if starts:
            begin, kind = place, own
        ended = prefix in "ESLUO"
    return found


def to_bio(labels: Sequence[str]) -> list[str]:
    """The same entities in the BIO scheme: B-X begins each, I-X goes on."""
    written = ["O"] * len(labels)
    for kind, start, end in entities(labels):
        written[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - start - 1)]
    return written


def entity_rates(wanted: Sequence[Sequence[str]], said: Sequence[Sequence[str]]) -> dict[str, Rates]:
    """For each type, sorted, precision, recall and F1 of whole entities: type, beginning and end are right."""
    right, given, there = Counter[str](), Counter[str](), Counter[str]()
    for own, other in zip(wanted, said, strict=True):
        one, two = set(entities(own)), set(entities(other))
        there.update(entity.label for entity in one)
        given.update(entity.label for entity in two)
        right.update(entity.label for entity in one & two)
    return {kind: rates(right[kind], given[kind], there[kind]) for kind in sorted(there | given)}
