"""The pictures that a page about a model shows beside what was said of them."""

from __future__ import annotations

from collections.abc import Sequence

from ..data.pictures import Reference, read_picture
from ..errors import UserError
from ..page.photo import photo
from ..page.render import Markup, markup

LONGEST_NAME = 40


def full_names(pictures: Sequence[Reference]) -> list[str]:
    """The names under which `thumbnails` finds pictures from anywhere; as they are where there is no such file."""
    return [_full_name(one) for one in pictures]


def _full_name(one: Reference) -> str:
    try:
        return one.found().name
    except UserError:
        return one.name


def thumbnails(names: Sequence[str]) -> Markup:
    """Pictures by their full names, small; the name of one that cannot be read now, or is in a file of features."""
    return Markup(" ".join(map(_thumbnail, names)))


def _thumbnail(name: str) -> Markup:
    short = name.rsplit("/", 1)[-1][-LONGEST_NAME:]
    try:
        return photo(read_picture(Reference(name, "page")), short)
    except UserError:
        return markup(short)
