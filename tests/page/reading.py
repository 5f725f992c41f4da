"""What a page holds, as a parser finds it."""

from __future__ import annotations

from html.parser import HTMLParser
from xml.etree import ElementTree

HOSTILE = [
    "</script><script>alert(1)</script>",
    '" onload="x',
    "'&lt;",
    "a\u202eb",
    "\ud800",
    "e\u0301",
    "👩\u200d🚀",
    "\x00",
]


def tree(text):
    """A drawing as XML."""
    return ElementTree.fromstring(text)


class Reader(HTMLParser):
    """The names of all tags and attributes, and the texts."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = set(), set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text.append(data)


def read(page):
    reader = Reader()
    reader.feed(page)
    return reader
