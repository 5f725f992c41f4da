"""Generated strings with markup, variables, addresses and numbers in them, and a check that shares no code with src."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import NamedTuple
from xml.etree import ElementTree

SUBJECTS = ["A man", "Two women", "A little girl", "The brown dog", "People", "An old man in a hat", "Some children"]
VERBS = ["is riding", "are standing near", "jumps over", "looks at", "holds", "is painting", "walk past"]
OBJECTS = ["a red bicycle", "the fence", "a street", "some food", "a big house", "the water", "a small boat"]
TAILS = ["", " in the park", " on a sunny day", " in front of a store", " while others watch"]

TAGS = ["b", "i", "em", "strong", "x", "g", "span", "mrk"]
VARIABLES = [
    "{name}",
    "{0}",
    "{0:.2f}",
    "{{user}}",
    "${HOME_DIR}",
    "$title$",
    "{user.name!r}",
    "%(count)d",
    "%{who}",
    "{}",
]
PRINTF = ["%s", "%d", "%1$s", "%2$d", "%5.1f", "%%", "%ld"]
ADDRESSES = [
    "https://example.org/a/b?c=d&e=f#g", "http://localhost:8080/", "ftp://files.example.com/x_(y).zip",
    "www.example.net", "me@example.org", "first.last+tag@mail.example.co.uk", "/usr/share/doc/readme.txt",
    r"C:\Users\me\file.txt", "~/notes.md", "--output=file.txt",
]  # fmt: skip
ENTITIES = ["&amp;", "&nbsp;", "&#160;", "&lt;", "\U0001f600", "\U0001f469\u200d\U0001f4bb"]
NUMBERS = ["7", "42", "1,234.5", "3.14", "18:45", "2024", "1,000,000", "0", "007", "12345678901234567890"]
ICU = ["{n, plural, one {# file} other {# files}}", "{d, date, short}", "{sex, select, male {he} other {they}}"]
HOSTILE = [
    "<b><i>crossing</b></i> tags", "<b>not closed", "closed</b> only", "<<b>> double", "{a{b}c} braces", "}{",
    "{{{{deep}}}}", "literal <ph1> and </s> and <ph16>", "a < b and c > d", "<b", "</", "&;", "&unknown", "%", "100%",
    "100%s", "$", "{", "<ph3>%s<ph3>", "<b>" * 20 + "x" + "</b>" * 20, "%s" * 30, " {a} {b} {c}" * 9,
    "\u202eright {x} to left\u202c", "שלום <b>עולם</b> {x}", "<b></b>", "{}", "%d/%d", "", " ", "<br/>", "...",
    "<a href=\"{url}\" title='%s'>", "x<y>z</y>w", "<!-- {x} --> after", "{x}\u200b{y}", "\x10{x}\x10_", "▁{x}▁",
    "<0x41>{x}", "`code {x}` and `more`", "e\u0301{x}e\u0301",
]  # fmt: skip


class Generated(NamedTuple):
    """A text and the strings in it that must come out exactly as often as they are in it."""

    text: str
    items: tuple[str, ...]


def generate(count: int, seed: int) -> list[Generated]:
    """So many strings; the same for the same seed."""
    drawn = random.Random(seed)
    return [_string(drawn) for _ in range(count)]


def _string(drawn: random.Random) -> Generated:
    items: list[str] = []

    def take(choices: list[str]) -> str:
        items.append(drawn.choice(choices))
        return items[-1]

    def element(content: str, depth: int) -> str:
        name = drawn.choice(TAGS)
        attributes = drawn.choice(["", ' class="x"', " id='1'", ' href="https://example.org/?a=1"'])
        if depth and drawn.random() < 0.4:
            content = element(content, depth - 1)
        items.extend([f"<{name}{attributes}>", f"</{name}>"])
        return f"<{name}{attributes}>{content}</{name}>"

    subject, verb, thing = drawn.choice(SUBJECTS), drawn.choice(VERBS), drawn.choice(OBJECTS) + drawn.choice(TAILS)
    for _ in range(drawn.choice([1, 1, 2, 2, 3, 6])):
        kind = drawn.randrange(8)
        if kind == 0:
            thing = element(thing, 2)
        elif kind == 1:
            subject = element(subject, 1)
        elif kind == 2:
            thing += f" ({take(VARIABLES + PRINTF)}px)"
        elif kind == 3:
            subject = take(VARIABLES + PRINTF)
        elif kind == 4:
            thing += f", see {take(ADDRESSES)}"
        elif kind == 5:
            thing = f"{take(NUMBERS)} of {thing}"
        elif kind == 6:
            verb += f" {take(ENTITIES + ICU)}"
        else:
            thing += drawn.choice([take, lambda _: element("", 0)])(["<br/>", '<img src="a.png"/>'])
    text = f"{subject} {verb} {thing}{drawn.choice(['.', '', '!', '?'])}"
    if drawn.random() < 0.25:
        hostile = drawn.choice(HOSTILE)
        text = drawn.choice([hostile, f"{text} {hostile}", f"{hostile} {text}"])
    return Generated(text, (*items, "<", ">", "{", "}", "%s", "%d"))


def kept(generated: Generated, translation: str) -> bool:
    """Whether nothing was lost or added: each item as often, the numbers, and tags nested if they were."""
    source = generated.text
    same = all(translation.count(item) == source.count(item) for item in generated.items)
    numbers = Counter(_digits(source)) == Counter(_digits(translation))
    return same and numbers and (_well_formed(translation) or not _well_formed(source))


def _digits(text: str) -> list[str]:
    found = re.findall(r"\d+(?:[.,:]\d+)*", text)
    return [re.sub(r"\D", "", number).lstrip("0") for number in found]


def _well_formed(text: str) -> bool:
    without_entities = re.sub(r"&[#\w]+;|&", "", text)
    try:
        ElementTree.fromstring(f"<root>{without_entities}</root>")  # our own text, and no entities in it
    except ElementTree.ParseError:
        return False
    return True
