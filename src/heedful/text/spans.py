"""What must survive translation as it stands: tags, variables, printf forms, addresses, paths, code, emoji.

Every pattern is possessive or bounded, so that finding is linear in the length of a text, whatever it holds. Each `<`,
`>`, `{` and `}` that belongs to nothing is a span too: no text, however hostile, loses a brace.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """text[start:end] of a text, and what stands for it in the translation: the same, or the target of a term."""

    start: int
    end: int
    kind: str
    text: str


# Scripts that are written without spaces: Thai, Lao, Tibetan, Myanmar, Khmer, kana, Han.
SPACELESS = "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uff00-\uff9f\U00020000-\U0003ffff"

# Attributes of tags that stand without a value; "x<y and z>w" holds no tag.
_FLAGS = (
    "allowfullscreen|async|autofocus|autoplay|checked|controls|default|defer|disabled|download|hidden|ismap|itemscope|"
    "loop|multiple|muted|nomodule|novalidate|open|playsinline|readonly|required|reversed|selected"
)
_VALUE = r"""(?:"[^"<]*+"|'[^'<]*+'|[^\s"'<>=]++)"""
_ATTRIBUTE = rf"\s++(?:(?:{_FLAGS})(?![\w:.=-])|[A-Za-z_@:][\w:.@-]*+\s*+=\s*+{_VALUE})"
_EMOJI = (
    "(?:[\U0001f1e6-\U0001f1ff]{2}|[\u231a\u231b\u23e9-\u23f3\u25b6\u25c0\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]"
    "[\ufe0f\u20e3\U0001f3fb-\U0001f3ff]*+)"
)
# printf, strftime, Objective-C: flags (but no space: "50% of"), width, precision, length, letter.
_CONVERSION = r"[-+#0']*+(?:\d{1,4}|\*)?(?:\.(?:\d{1,4}|\*)?)?(?:hh?|ll?|I64|I32|[qjzt])?[a-zA-Z@]"

# What begins with a character that is rare in text; of those that match at a place the first is taken.
_MARKS = {
    "code": r"(?P<ticks>`{1,3}+)[^`\n]{1,1000}+(?P=ticks)(?!`)",
    "comment": r"<!--(?:[^-<]|-(?!->))*+-->|<[?](?:[^?<]|[?](?!>))*+[?]>|<!\[CDATA\[|<!--",
    "tag": rf"</?(?:[A-Za-z][\w:.-]*+(?:{_ATTRIBUTE})*+|\d{{1,4}}+)\s*+/?>",
    "entity": r"&(?:[A-Za-z][A-Za-z0-9]{1,31}+|#\d{1,7}+|#[xX][0-9A-Fa-f]{1,6}+);",
    "variable": (
        r"\{\{\{[^{}\n]{0,200}+\}\}\}|\{\{[^{}\n]{0,200}+\}\}|[$#%]\{[^{}\n]{0,200}+\}"
        # Python's fields; ICU's simple arguments, and names with space around them.
        r"|\{[\w.$@#/\[\]-]{0,100}+(?:![rsa])?(?::[^{}\n]{0,40}+)?\}"
        r"|\{\s*+[\w.]{1,100}+\s*+(?:,\s*+(?:number|date|time|spellout|ordinal|duration)\s*+(?:,[^{}\n]{0,80}+)?)?\}"
        r"|\$\([\w.]{1,100}+\)|\$\[[\w.]{1,100}+\]|\$[A-Za-z_]\w*+\$?|@[A-Za-z_][\w.]*+@"
        r"|(?<!\d)%[A-Za-z_]\w++%(?![%\w])|%[A-Z][A-Z0-9_]{2,}+"
    ),
    # After a number ("100%sure", "100 %ige") a conversion is one only if no letter follows.
    "printf": (
        rf"%\(\w{{1,100}}+\)[-+ #0]*+\d*+(?:\.\d*+)?[a-zA-Z]|%\d{{1,2}}\${_CONVERSION}|(?<!\d)(?<!\d\s)%{_CONVERSION}"
        rf"|(?:(?<=\d)|(?<=\d\s))%{_CONVERSION}(?![^\W\d_])|(?:%%)++|%L?\d{{1,2}}+"
    ),
    "escape": r"\\[nrt](?![a-z])",
    "emoji": f"{_EMOJI}(?:\u200d{_EMOJI})*+|\u20e3",
    "symbol": r">++|\}++|<+(?=<)|\{+(?=\{{3})|[<{]",
}
_MARK = re.compile("[<>&{}$%#@\\\\`\u20e3\u231a-\u2bff\U0001f000-\U0001faff]")
# What begins with any character, and the texts that one of them holds.
_NAMES = {
    "url": rf"""(?<![A-Za-z0-9+.-])(?:[A-Za-z][A-Za-z0-9+.-]{{1,20}}+://|www\.|mailto:)[^\s<>"`{SPACELESS}]++""",
    "email": r"(?<![\w.+-])[\w.+-]{1,64}+@[\w-]++(?:\.[\w-]++)++",
    "path": (
        r"""(?<![\w/.<:~\\-])(?:(?:~|\.{1,2})(?:/[\w.@+%-]++)++|(?:/[\w.@+%-]++){2,}+)/?"""
        r"""|(?<!\w)(?:[A-Za-z]:\\|\\\\)[^\s"<>|?*:]++"""
    ),
    "option": r"""(?<![^\s"'(\[])--[A-Za-z][\w-]*+(?:=[^\s,;)"'<>{}]++)?""",
    "comment": r"-->|\]\]>",
}
_TRIMMED = ("url", "path", "option")  # at their end may be what ends a sentence
_HINT = re.compile(r"/|@|\\|--|www\.|mailto:|\]\]>")
_MARKED, _NAMED = (
    re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in patterns.items()))
    for patterns in (_MARKS, _NAMES)
)
_ICU = re.compile(r"\{\s*+[\w.]{1,100}+\s*+,\s*+(?:plural|select|selectordinal)\s*+,")


def find(text: str) -> list[Span]:
    """The spans of a text, in order; none overlaps another."""
    has_names = _HINT.search(text) is not None
    if not has_names and _MARK.search(text) is None:
        return []
    balanced = _balanced(text)
    spans: list[Span] = []
    mark, name = _marked(text, 0), _NAMED.search(text) if has_names else None
    while mark or name:
        if mark is None or (name and name.start() <= mark.start()):
            assert name is not None
            start, kind = name.start(), name.lastgroup or ""
            end = name.end() if kind not in _TRIMMED else start + _sentence_apart(name[0])
        else:
            start, kind = mark.start(), mark.lastgroup or ""
            end = mark.end() if start not in balanced else balanced[start]
        spans.append(Span(start, end, kind, text[start:end]))
        if mark and mark.start() < end:
            mark = _marked(text, end)
        if name and name.start() < end:
            name = _NAMED.search(text, end)
    return spans


def _marked(text: str, place: int) -> re.Match[str] | None:
    while character := _MARK.search(text, place):
        if found := _MARKED.match(text, character.start()):
            return found
        place = character.end()
    return None


def _balanced(text: str) -> dict[int, int]:
    """Where each ICU plural or choice begins and ends: translating in the midst of one would break it."""
    starts = {match.start() for match in _ICU.finditer(text)}
    ends, opened = {}, []
    for brace in re.finditer(r"[{}]", text) if starts else ():
        if brace[0] == "{":
            opened.append(brace.start())
        elif opened and (start := opened.pop()) in starts:
            ends[start] = brace.end()
    return ends


def _sentence_apart(name: str) -> int:
    """Where a name ends and its sentence goes on: before punctuation, and a bracket that the name does not open."""
    end = len(name)
    excess = {close: name.count(close) - name.count(open_) for open_, close in ("()", "[]", "{}")}
    while end > 1 and (name[end - 1] in ".,;:!?'*_…”’»" or excess.get(name[end - 1], 0) > 0):
        end -= 1
        if name[end] in excess:
            excess[name[end]] -= 1
    return end


def touching(spans: Iterable[Span]) -> list[Span]:
    """Spans in order, with those that touch made one: `<b>{name}</b>` stays together."""
    joined: list[Span] = []
    for span in spans:
        if joined and joined[-1].end == span.start:
            last = joined.pop()
            kind = last.kind if last.kind == span.kind else "several"
            span = Span(last.start, span.end, kind, last.text + span.text)
        joined.append(span)
    return joined


def tidy(spans: Iterable[Span], first: Sequence[Span] = ()) -> list[Span]:
    """Spans of a text in order, without those that overlap one of `first`."""
    taken = sorted(first)
    kept = list(taken)
    place = 0
    for span in sorted(spans):
        while place < len(taken) and taken[place].end <= span.start:
            place += 1
        if place == len(taken) or span.end <= taken[place].start:
            kept.append(span)
    return sorted(kept)
