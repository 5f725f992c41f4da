"""How one language writes dates, numbers, units, prices and names, asked from Babel (Unicode CLDR) at run time."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Literal

from ..errors import UserError

if TYPE_CHECKING:
    from babel import Locale

Form = Literal["short", "medium", "long", "full"]

# CLDR joins numbers and signs with no-break, narrow no-break and thin spaces. Two texts that look alike should be
# alike, so all of them become the plain space, on both sides.
SPACES = str.maketrans(dict.fromkeys("\u00a0\u202f\u2009", " "))


class Language:
    """Writes values as CLDR says `code` ("en", "de", "fr", "es") writes them, with plain spaces."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.locale = _locale(code)

    def date(self, day: datetime.date, form: Form) -> str:
        from babel.dates import format_date

        return format_date(day, form, locale=self.locale).translate(SPACES)

    def time(self, moment: datetime.time, form: Form) -> str:
        from babel.dates import format_time

        return format_time(moment, form, locale=self.locale).translate(SPACES)

    def number(self, value: Decimal) -> str:
        from babel.numbers import format_decimal

        return format_decimal(value, locale=self.locale).translate(SPACES)

    def percent(self, value: Decimal) -> str:
        """12.5 is written 12.5 %."""
        from babel.numbers import format_percent

        return format_percent(value / 100, locale=self.locale, decimal_quantization=False).translate(SPACES)

    def price(self, value: Decimal, currency: str, form: Literal["standard", "name"]) -> str:
        from babel.numbers import format_currency

        return format_currency(value, currency, locale=self.locale, format_type=form).translate(SPACES)

    def measure(self, value: Decimal, unit: str, length: Literal["short", "long"] = "long") -> str:
        from babel.units import format_unit

        return format_unit(value, unit, length, locale=self.locale).translate(SPACES)

    def relative(self, count: int, unit: Literal["day", "hour", "minute"]) -> str:
        """`in 37 days` for 37, `37 days ago` for -37: never rounded to a larger unit."""
        from babel.dates import format_timedelta

        return format_timedelta(
            datetime.timedelta(**{f"{unit}s": count}),
            granularity=unit,
            threshold=1e9,
            add_direction=True,
            locale=self.locale,
        ).translate(SPACES)

    def country(self, code: str) -> str:
        return str(self.locale.territories[code]).translate(SPACES)

    def language(self, code: str) -> str:
        return str(self.locale.languages[code]).translate(SPACES)

    def join(self, items: Sequence[str]) -> str:
        """CLDR's list pattern. Spanish y becomes e before the sound i: CLDR leaves that to the software, as in ICU."""
        from babel.lists import format_list

        text = format_list(items, locale=self.locale).translate(SPACES)
        if self.code == "es" and len(items) > 1 and re.match(r"i|hi(?![ae])", items[-1], re.IGNORECASE):
            end = f" y {items[-1]}"
            text = text.removesuffix(end) + f" e {items[-1]}"
        return text

    def months(self) -> list[str]:
        """Long and abbreviated names, as they stand inside a date."""
        names = self.locale.months["format"]
        return [names[width][month] for width in ("wide", "abbreviated") for month in range(1, 13)]

    def weekdays(self) -> list[str]:
        return [self.locale.days["format"]["wide"][day] for day in range(7)]


@cache
def speaker(code: str) -> Language:
    """The one `Language` of a code."""
    return Language(code)


def _locale(code: str) -> Locale:
    try:
        from babel import Locale
    except ImportError:
        raise UserError("the demo's phrases come from Babel, which is missing: pip install 'heedful[demo]'") from None
    return Locale(code)
