"""Numbers in a text, compared by their digits: 1,234.5 is 1.234,5 and 18:45 is 18.45, in any script."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

_DIGIT = re.compile(r"\d")
# Between digits, these do not end a number. A space of any kind does, but before a group of three.
_TIGHT = r"\d++(?:[.,:'’·\u066b\u066c]\d++)*+"
_GROUP = r"\d{1,3}+(?:%s\d{3}(?!\d))++(?:[.,\u066b]\d++)?"
_FIXED, _ANY = "[\u00a0\u2009\u202f]", "[ \u00a0\u2009\u202f]"
_NUMBER, _WIDE = (re.compile(rf"(?<!\d){_GROUP % space}(?!\d)|{_TIGHT}") for space in (_FIXED, _ANY))


def find_numbers(text: str) -> Iterator[tuple[int, int]]:
    """Where each number begins and ends."""
    return (match.span() for match in _NUMBER.finditer(text))


def changed_numbers(source: str, target: str) -> tuple[list[str], list[str]]:
    """The numbers that are missing in the target, and those that are new there, as they are written.

    A zero in front does not count ("05:30" is "5.30"). "1 234" is one number or two, whichever makes the sides equal.
    """
    if not _DIGIT.search(source) and not _DIGIT.search(target):
        return [], []
    ways = [
        (_numbers(source, mine), _numbers(target, other)) for mine in (_NUMBER, _WIDE) for other in (_NUMBER, _WIDE)
    ]
    if any(Counter(ours) == Counter(theirs) for (ours, _), (theirs, _) in ways):
        return [], []
    (ours, written), (theirs, others) = ways[0]
    missing, new = Counter(ours) - Counter(theirs), Counter(theirs) - Counter(ours)
    return [written[digits] for digits in missing.elements()], [others[digits] for digits in new.elements()]


def _numbers(text: str, number: re.Pattern[str]) -> tuple[list[str], dict[str, str]]:
    """The digits of each number, and how a number of such digits is written."""
    found = number.findall(text)
    digits = [re.sub(r"^0(?=[1-9])|\D", "", _ascii(one)) for one in found]
    return digits, dict(zip(digits, found, strict=True))


def _ascii(number: str) -> str:
    if number.isascii():
        return number
    return "".join(str(unicodedata.decimal(one)) if one.isdecimal() else one for one in number)
