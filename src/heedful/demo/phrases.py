"""What the demo talks about: slots that hold values, and sentence frames in four languages around them."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol

from .cldr import Form, Language
from .draw import Draw, Value


def _codes(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# ISO and CLDR codes only: what they are called in each language comes from CLDR.
COUNTRIES = _codes("""
    AR AU AT BE BR BG CA CL CN CO HR CU CZ DK EG EE FI FR DE GH GR HU IS IN ID IR IE IL IT JP KE LV LT LU MY MT MX MA NL
    NZ NG NO PK PE PL PT RO RU SN RS SK SI ZA KR ES SE CH TH TR UA GB US VE VN
""")
LANGUAGES = _codes("""
    ar eu bg ca zh hr cs da nl en et fi fr de el he hi hu is it ja ko lv lt no fa pl pt ro ru es sw sv th tr uk
""")
SIGNS = _codes("EUR USD GBP CHF SEK PLN CAD INR")
# All of two decimals, in every edition of CLDR: a rounded amount could be one that is held out.
CURRENCIES = _codes("EUR USD GBP CHF SEK NOK DKK PLN CZK RON TRY INR THB AUD NZD CAD MXN BRL ZAR EGP MAD")
LENGTHS = _codes("length-millimeter length-centimeter length-meter length-kilometer length-mile length-foot")
MASSES = _codes("mass-gram mass-kilogram mass-tonne mass-pound mass-ounce")
VOLUMES = _codes("volume-milliliter volume-liter volume-cubic-meter volume-gallon")
AREAS = _codes("area-hectare area-square-meter area-square-kilometer")
SPEEDS = _codes("speed-kilometer-per-hour speed-meter-per-second speed-mile-per-hour speed-knot")
OTHERS = _codes("""
    temperature-celsius power-watt power-kilowatt energy-kilowatt-hour electric-volt digital-megabyte digital-gigabyte
    duration-second duration-week duration-month duration-year
""")
UNITS = (*LENGTHS, *MASSES, *VOLUMES, *AREAS, *SPEEDS, *OTHERS)
SHORT_UNITS = _codes("length-centimeter length-meter length-kilometer mass-gram mass-kilogram")

FIRST_DAY, LAST_DAY = datetime.date(1950, 1, 1).toordinal(), datetime.date(2049, 12, 31).toordinal()
Write = Callable[[Language], str]


class Slot(Protocol):
    """A place in a frame. `size` is how many different contents it can have."""

    @property
    def size(self) -> int: ...

    def fill(self, draw: Draw) -> tuple[tuple[Value, ...], Write]:
        """The values drawn, which decide the split, and how a language writes them."""
        ...


@dataclass(frozen=True)
class Date:
    """A day of a hundred years. English writes May alike in the medium and the long form and other languages do not,
    so the medium form has no days in May: a phrase has one translation."""

    form: Form

    @property
    def size(self) -> int:
        return LAST_DAY - FIRST_DAY + 1 - (100 * 31 if self.form == "medium" else 0)

    def fill(self, draw: Draw) -> tuple[tuple[Value, ...], Write]:
        def ordinal() -> int:
            while True:
                number = draw.between(FIRST_DAY, LAST_DAY)
                if self.form != "medium" or datetime.date.fromordinal(number).month != 5:
                    return number

        value = draw.value("date", ordinal)
        day = datetime.date.fromordinal(value[1])
        return (value,), lambda language: language.date(day, self.form)


@dataclass(frozen=True)
class Time:
    """Hours and minutes. `first` is the earliest hour (Spanish says `a las` only from two o'clock on)."""

    form: Form = "short"
    first: int = 0

    @property
    def size(self) -> int:
        return (24 - self.first) * 60

    def fill(self, draw: Draw) -> tuple[tuple[Value, ...], Write]:
        value = draw.value("time", lambda: draw.between(self.first * 60, 24 * 60 - 1))
        moment = datetime.time(*divmod(value[1], 60))
        return (value,), lambda language: language.time(moment, self.form)


@dataclass(frozen=True)
class Number:
    """From `low` to `high` in units of 10 ** -places; short and long numbers are equally likely."""

    low: int
    high: int
    places: int = 0

    @property
    def size(self) -> int:
        return self.high - self.low + 1

    def draw_number(self, draw: Draw) -> tuple[Value, Decimal]:
        cents = int(10 ** (2 - self.places))

        def hundredths() -> int:
            power = int(10 ** draw.between(len(str(self.low)), len(str(self.high))))
            return cents * draw.between(max(self.low, power // 10), min(self.high, power - 1))

        value = draw.value("number", hundredths)
        return value, Decimal(value[1] // cents).scaleb(-self.places).normalize() + 0

    def fill(self, draw: Draw) -> tuple[tuple[Value, ...], Write]:
        value, number = self.draw_number(draw)
        return (value,), lambda language: language.number(number)


@dataclass(frozen=True)
class Percent(Number):
    def fill(self, draw: Draw) -> tuple[tuple[Value, ...], Write]:
        value, number = self.draw_number(draw)
        return (value,), lambda language: language.percent(number)


@dataclass(frozen=True)
class Measure:
    """A slot for a number with one of some units, in their long or short form."""

    units: tuple[str, ...]
    number: Number
    length: Literal["short", "long"] = "long"

    @property
    def size(self) -> int:
        return len(self.units) * self.number.size

    def fill(self, draw: Draw) -> tuple[tuple[Value, ...], Write]:
        value, number = self.number.draw_number(draw)
        unit = draw.choice(self.units)
        return (value,), lambda language: language.measure(number, unit, self.length)


@dataclass(frozen=True)
class Price:
    """Amounts of money, standard ("$3.50") or with the currency's name."""

    currencies: tuple[str, ...]
    number: Number
    form: Literal["standard", "name"]

    @property
    def size(self) -> int:
        return len(self.currencies) * self.number.size

    def fill(self, draw: Draw) -> tuple[tuple[Value, ...], Write]:
        value, number = self.number.draw_number(draw)
        currency = draw.choice(self.currencies)
        return (value,), lambda language: language.price(number, currency, self.form)


@dataclass(frozen=True)
class Span:
    """A duration in several units, the largest first: `2 hours and 15 minutes`."""

    parts: tuple[tuple[str, int], ...]  # (unit, largest count)

    @property
    def size(self) -> int:
        return math.prod(high for _, high in self.parts)

    def fill(self, draw: Draw) -> tuple[tuple[Value, ...], Write]:
        drawn = [Number(1, high).draw_number(draw) for _, high in self.parts]

        def write(language: Language) -> str:
            parts = zip(self.parts, drawn, strict=True)
            return language.join([language.measure(number, f"duration-{unit}") for (unit, _), (_, number) in parts])

        return tuple(value for value, _ in drawn), write


@dataclass(frozen=True)
class Relative:
    """`in 37 days` (sign 1), `37 days ago` (sign -1)."""

    sign: Literal[1, -1]
    units: tuple[Literal["day", "hour", "minute"], ...] = ("day", "hour", "minute")
    high: int = 999

    @property
    def size(self) -> int:
        return len(self.units) * self.high

    def fill(self, draw: Draw) -> tuple[tuple[Value, ...], Write]:
        value, number = Number(1, self.high).draw_number(draw)
        unit = draw.choice(self.units)
        return (value,), lambda language: language.relative(self.sign * int(number), unit)


@dataclass(frozen=True)
class Names:
    """A list of `fewest` to `most` different names. What decides the split is the set of names, in whatever order."""

    table: Literal["country", "language"]
    fewest: int = 2
    most: int = 4

    @property
    def codes(self) -> tuple[str, ...]:
        return COUNTRIES if self.table == "country" else LANGUAGES

    @property
    def size(self) -> int:
        return sum(math.comb(len(self.codes), count) for count in range(self.fewest, self.most + 1))

    def fill(self, draw: Draw) -> tuple[tuple[Value, ...], Write]:
        chosen: list[int] = []

        def key() -> int:
            chosen[:] = draw.sample(len(self.codes), draw.between(self.fewest, self.most))
            return sum(1 << index for index in chosen)  # a set of names as bits

        value = draw.value(self.table, key)
        codes = [self.codes[index] for index in chosen]
        return (value,), lambda language: language.join([getattr(language, self.table)(code) for code in codes])


@dataclass(frozen=True)
class Frame:
    """One sentence in English, German, French and Spanish, with a `{}` for each slot."""

    kind: str
    slots: tuple[Slot, ...]
    texts: tuple[str, ...]

    @property
    def size(self) -> int:
        return math.prod(slot.size for slot in self.slots)
