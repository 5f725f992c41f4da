"""An exact parallel corpus: English phrases and what CLDR makes of them in German, French and Spanish.

What is guaranteed, and tested. Every phrase holds values: days, times of day, numbers (37 is the same number in
`37 kg`, `37%` and `in 37 days`) and sets of listed names. A value belongs to one split by its hash (draw.py), and a
phrase of a split holds only values of that split. So a test phrase shares no day, no time of day, no number and no set
of listed names with any training or development phrase, in any language, whatever the seeds and counts; nor,
therefore, the phrase itself. Frames and single names (a unit, a currency, a month, a country) are shared: nobody
can know those unseen. Inside a date the day of the month or the year alone is not a value, nor is a digit of a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from .cldr import speaker
from .draw import Draw, Split, Value
from .frames import FRAMES
from .phrases import COUNTRIES, CURRENCIES, LANGUAGES, SHORT_UNITS, UNITS

SOURCE = "en"
TARGETS = ("de", "fr", "es")
ORDER = (SOURCE, *TARGETS)  # of the texts in a frame
KINDS = tuple(dict.fromkeys(frame.kind for frame in FRAMES))
TURNS = (*KINDS, "dates", "lists")  # what takes longest to learn comes twice


@dataclass(frozen=True, slots=True)
class Example:
    """One phrase and its translation. `target_language` is "de", "fr" or "es"; `values` decided the split."""

    kind: str
    target_language: str
    source: str
    target: str
    values: tuple[Value, ...]


def examples(seed: int, count: int, split: Split = "train") -> list[Example]:
    """The first `count` phrases of a stream that is a function of (seed, split): kinds and languages take turns."""
    return list(islice(_stream(seed, split), count))


def combinations() -> dict[str, int]:
    """How many different phrases each kind can make in one language (a list counts once, in whatever order)."""
    return {kind: sum(frame.size for frame in FRAMES if frame.kind == kind) for kind in KINDS}


def names() -> dict[str, list[str]]:
    """The English names a model has to learn, by sort; the other languages have as many."""
    english = speaker(SOURCE)
    return {
        "countries": [english.country(code) for code in COUNTRIES],
        "languages": [english.language(code) for code in LANGUAGES],
        "currencies": [english.locale.currencies[code] for code in CURRENCIES],
        "units": sorted({*UNITS, *(f"{unit} (short)" for unit in SHORT_UNITS)}),
        "months": sorted(set(english.months())),
        "weekdays": english.weekdays(),
    }


def _stream(seed: int, split: Split) -> Iterator[Example]:
    draw = Draw(seed, split)
    frames = {kind: [frame for frame in FRAMES if frame.kind == kind] for kind in KINDS}
    while True:
        for target_language in TARGETS:
            for kind in TURNS:
                frame = draw.choice(frames[kind])
                filled = [slot.fill(draw) for slot in frame.slots]
                source, target = (
                    frame.texts[ORDER.index(code)].format(*[write(speaker(code)) for _, write in filled])
                    for code in (SOURCE, target_language)
                )
                values = tuple(value for several, _ in filled for value in several)
                yield Example(kind, target_language, source, target, values)
