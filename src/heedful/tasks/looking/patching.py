"""States of another run in the place of this one's: which of them carry what makes the answer another one.

Activation patching, also called interchange; Meng et al. 2022, section 2.1, put the states of a clean run into a
corrupted one in this way. Here both runs are of texts that the user gives, and whole words are put for words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ...errors import UserError
from ...inside.probing import PADDED
from ...inside.record import Line, Record, layer_number
from ...inside.rescoring import Without
from ...model.plan import Plan
from ...model.presets import nearest
from ...model.probe import addresses, left_at
from .opening import read
from .passing import passed
from .reading import Asked, Reading
from .what_if import MOST_HEADS, Change, called, judged, noted, told_words

OPTION = "--patch-from"


@dataclass(frozen=True)
class Word:
    """A word of this run, and the places of its tokens in both."""

    row: int
    stream: str
    number: int
    here: list[int]
    there: list[int]
    text: str
    label: str

    @property
    def fits(self) -> bool:
        """Whether it is as many tokens in both."""
        return len(self.here) == len(self.there)


def places_of(plan: Plan) -> dict[str, str]:
    """What may be named: a block (`source.1`, for what it leaves), or any point that has a state for every token."""
    whole = {where: left_at(where, block) for _, where, block in plan.blocks()}
    return whole | {
        address: address
        for address in addresses(plan)
        if address.rsplit(".", 1)[1] not in PADDED and not address.endswith(".embedding.output")
    }


def read_other(loaded: Any, asked: Asked) -> Reading:
    """The run that states are taken from; UserError that says so."""
    try:
        return read(loaded, asked)
    except UserError as error:
        raise UserError(f"{OPTION}: {error}") from None


def exchanges(reading: Reading, other: Reading, named: Sequence[str]) -> list[Change]:
    """The changes that are `named` ("source.1", or "source.1:dog" for one word); without any, each word after each
    block. UserError for names that are none, and for texts whose words do not stand for each other."""
    words = [word for word in paired(reading, other) if word.fits]
    known = places_of(reading.model.plan)
    chosen = [_chosen(one, known, words) for one in named]
    if not named:
        blocks = [known[where] for _, where, _ in reading.model.plan.blocks()]
        chosen = [(at, [word]) for at in blocks for word in words if at.startswith(f"{word.stream}.")]
    seen: dict[int, dict[str, Tensor]] = {}
    for number, row in enumerate(other.rows):
        streams = {word.stream for word in words if word.row == number}
        wanted = list(dict.fromkeys(at for at, _ in chosen if at.split(".")[0] in streams))
        if wanted:
            kept = passed(other.model, row, wanted)
            seen[number] = {at: kept.row(at) for at in wanted}
    return [_change(at, word, seen[word.row][at]) for at, few in chosen for word in few]


def paired(reading: Reading, other: Reading) -> list[Word]:
    """The words of what was given to both runs; UserError where there are not as many, or none of them differs."""
    if reading.windows or other.windows:
        raise UserError(
            f"{OPTION}: a text so long is read in several windows; states are put from one into one, so cut it"
        )
    if len(reading.rows) != len(other.rows):
        raise UserError(
            f"{OPTION}: {len(reading.rows)} texts were given, so name as many others, the option once for each"
        )
    found = []
    differs = False
    for number, (row, theirs) in enumerate(zip(reading.rows, other.rows, strict=True)):
        for stream in row.told:
            mine, yours = row.lines[stream], theirs.lines[stream]
            here, there = told_words(reading, row, stream), told_words(other, theirs, stream)
            if len(here) != len(there):
                raise UserError(
                    f"{OPTION}: the {mine.label} is {len(here)} words, as the model cuts it, and that of the other "
                    f"text {len(there)}; states are put word for word, so give a text of as many words"
                )
            differs |= mine.words != yours.words
            found += [
                Word(number, stream, word, own, their, _text(mine, own), _label(mine, own, yours, their))
                for (word, own), (_, their) in zip(here, there, strict=True)
            ]
    if not differs:
        raise UserError(f"{OPTION}: that is the same text, so its states are the same; give one that differs in a word")
    return found


def _text(line: Line, span: Sequence[int]) -> str:
    """A word, or of one that was gone on with what was given of it."""
    word = int(line.word[span[0]])
    whole = len(span) == int((line.word == word).sum())
    return line.words[word] if whole else "".join(line.pieces[at] for at in span)


def _label(mine: Line, own: Sequence[int], yours: Line, their: Sequence[int]) -> str:
    here, there = _text(mine, own), _text(yours, their)
    alike = mine.words.count(here) > 1
    place = called(mine, int(mine.word[own[0]])) if alike else f"“{here}”"
    return place if here == there else f"“{there}” for {place}"


def _chosen(given: str, known: dict[str, str], words: Sequence[Word]) -> tuple[str, list[Word]]:
    """Where, and which words."""
    where, _, word = given.partition(":")
    if where not in known:
        raise UserError(f"--patch {given}: nothing of this model is called {where!r}; {nearest(where, [*known])}")
    stream = where.split(".")[0]
    there = [one for one in words if one.stream == stream]
    if not there:
        streams = ", ".join(dict.fromkeys(one.stream for one in words)) or "none"
        raise UserError(f"--patch {given}: {stream} is not given but written; streams that are given: {streams}")
    if not word:
        return known[where], [replace(one, label="states") for one in there]
    few = [one for one in there if one.text == word] or [one for one in there if one.text.casefold() == word.casefold()]
    if not few:
        some = ", ".join(dict.fromkeys(one.text for one in there[:12]))
        raise UserError(f"--patch {given}: no word {word!r} has as many tokens in both texts; those that have: {some}")
    return known[where], few


def _change(at: str, word: Word, states: Tensor) -> Change:
    """One word's states at one place."""
    stream, _, _, point = at.split(".")
    where = f"after layer {layer_number(at)} of {stream}" if point == "after" else f"at {at}"
    label = f"with the other text's {word.label} {where}"
    given = Without(states={at: (word.here, states[word.there])})
    return Change("state", (at, word.number), label, given, word.row)


def told(record: Record, reading: Reading, other: Reading, changes: Sequence[Change]) -> Record:
    """The record with a note that says where the states are from, and a what-if for each of some exchanges."""
    notes = [f"Other states are from the run on “{other.text}”, whose answer is “{other.answer}”."]
    unlike = [word.label for word in paired(reading, other) if not word.fits]
    if unlike:
        notes.append(f"Not as many tokens in both, so their states stay: {', '.join(unlike[:8])}.")
    if not changes or reading.scored is None:
        return noted(record, *notes)
    if len(changes) > MOST_HEADS:
        notes.append(f"Of {len(changes)} exchanges the first {MOST_HEADS} are made.")
    runs, _ = judged(reading, changes[:MOST_HEADS])
    return noted(replace(record, what_if=(*record.what_if, *runs)), *notes)
