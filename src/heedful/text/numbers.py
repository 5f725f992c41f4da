"""Numbers in a text, compared by their digits: 1,234.5 is 1.234,5 and 18:45 is 18.45, in any script."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

# Between digits these do not end a number. A space of any kind does, but before a group of three.
_TIGHT = r"\d++(?:[.,:'’·\u066b\u066c]\d++)*+"
_GROUP = r"\d{1,3}+(?:%s\d{3}(?!\d))++(?:[.,\u066b]\d++)?"
_FIXED, _ANY = "[\u00a0\u2009\u202f]", "[ \u00a0\u2009\u202f]"
_NUMBER, _WIDE = (re.compile(rf"(?<!\d){_GROUP % space}(?!\d)|{_TIGHT}") for space in (_FIXED, _ANY))


def find_numbers(text: str) -> Iterator[tuple[int, int]]:
    """Where each number begins and ends."""
    return (match.span() for match in _NUMBER.finditer(text))


def changed_numbers(source: str, target: str) -> tuple[list[str], list[str]]:
    """The digits of the numbers that are missing in the target, and of those that are new there.

    Zeros in front do not count. "1 234" is one number or two, whichever makes the two sides equal.
    """
    before, after = _digits(source, _NUMBER), _digits(target, _NUMBER)
    if before == after:
        return [], []
    if any(_digits(source, mine) == _digits(target, other) for mine in (_NUMBER, _WIDE) for other in (_NUMBER, _WIDE)):
        return [], []
    return sorted((before - after).elements()), sorted((after - before).elements())


def _digits(text: str, number: re.Pattern[str]) -> Counter[str]:
    found = (re.sub(r"\D", "", match) for match in number.findall(text))
    return Counter(_ascii(digits).lstrip("0") or "0" for digits in found)


def _ascii(digits: str) -> str:
    return digits if digits.isascii() else "".join(str(unicodedata.decimal(digit)) for digit in digits)
