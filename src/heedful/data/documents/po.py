"""PO and POT, the catalogues of GNU gettext: msgid and msgstr in C strings, plural forms, comments, flags.

The grammar is that of the gettext manual, "The Format of PO Files"; obsolete entries (#~) are comments here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from ...errors import UserError
from .document import REPLACEMENT, Document, Options, Original, Passage, Splice, Unit, decode, marked, one

MOST_FORMS = 16  # of a plural; Arabic has 6, and the number comes from the file
WIDTH = 79  # of a line, in entries whose lines are broken: gettext's own

_CHARSET = re.compile(rb'^(?!#)[^\n]*?Content-Type:[^"\n]{0,200}?charset=([^\s"\\;]+)', re.MULTILINE | re.IGNORECASE)
# Encodings of gettext in which a byte that looks like a quote or a line end is one.
_CHARSETS = re.compile(
    r"utf-?8|(us-)?ascii|iso-?8859-?\d{1,2}|koi8-[rut]|(cp|windows-)(8|9|12)\d\d|gb2312|gbk|gb18030|big5(-hkscs)?"
    r"|euc-?(jp|kr)|shift[_-]jis|tis-620",
    re.IGNORECASE,
)
_NPLURALS = re.compile(r"^Plural-Forms:[^\n]{0,200}?nplurals\s*+=\s*+([0-9]{1,9})", re.MULTILINE)
_BLANK = r"[ \t\r\n\f\v]*+"
_TOKEN = re.compile(
    rf"{_BLANK}(?:(?P<comment>#[^\n]*+)"
    r'|(?P<string>"(?:[^"\\\n]|\\[^\n])*+")'
    r"|(?P<keyword>msgid_plural|msgid|msgctxt|msgstr|domain)(?![A-Za-z0-9_])"
    r"|(?P<number>\[[ \t]*+[0-9]{1,9}[ \t]*+\])"
    r"|(?P<end>\Z))"
)
_ESCAPED = re.compile(r"((?:\\(?:[0-7]{1,3}|x[0-9a-fA-F]{1,2}))+)|\\(.)", re.DOTALL)
_BYTE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2}))")
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_ESCAPES = str.maketrans(
    {chr(code): f"\\{code:03o}" for code in (*range(1, 32), 127)}
    | {character: "\\" + letter for letter, character in _LETTERS.items()}
    | {"\\": "\\\\", '"': '\\"', "\0": REPLACEMENT}
)


class _Strings:
    """A keyword and the strings behind it; `number` is that of a plural form."""

    def __init__(self, keyword: str, offset: int) -> None:
        self.keyword, self.offset = keyword, offset
        self.number: int | None = None
        self.spans: list[tuple[int, int]] = []

    def parts(self, original: Original) -> list[str]:
        """The strings as they are in the file, without quotes."""
        return [original.text[start + 1 : end - 1] for start, end in self.spans]

    def value(self, original: Original) -> str:
        """The text they stand for."""
        return _unescape("".join(self.parts(original)), original.charset)


class _Entry:
    """The keywords of an entry, and the places of its flags ("#, fuzzy")."""

    def __init__(self) -> None:
        self.flags: list[tuple[int, int]] = []
        self.named: dict[str, _Strings] = {}
        self.translations: list[_Strings] = []


def read(path: Path, content: bytes, options: Options) -> Document:
    """A unit for each msgstr: one of an entry, or as many as the header's nplurals says for a plural.

    Where an entry has fewer msgstr[n] than that, the others are added. A fuzzy entry is translated, unless drafts are
    to be filled; filled, it loses the flag.
    """
    original = _open(path, content)
    units: list[Unit] = []
    splices: list[Splice] = []
    forms: int | None = None
    for entry in _entries(original):
        text = entry.named["msgid"].value(original)
        if not text and "msgctxt" not in entry.named:
            found = _NPLURALS.search(entry.translations[0].value(original))
            forms = int(found[1]) if found else None
            if forms is not None and not 1 <= forms <= MOST_FORMS:
                raise original.error(
                    entry.translations[0].offset, f"nplurals={forms} is not possible; it is 1 to {MOST_FORMS}"
                )
        elif text.strip():
            _add(original, entry, forms, options.drafts, units, splices)
    return Document(original, units, splices)


def _open(path: Path, content: bytes) -> Original:
    mark, charset = marked(path, content)
    found = _CHARSET.search(content[: 2**18])  # in the header, which comes first
    named = found[1].decode("ascii", "replace").lower() if found else "utf-8"
    if named == "charset":  # a template that does not say yet
        named = "utf-8"
    try:
        if charset not in (None, "utf-8") or not _CHARSETS.fullmatch(named):
            raise LookupError
        return decode(path, content, charset or named, mark)
    except LookupError:
        raise UserError(
            f"{path}:1: the encoding {(charset or named)[:40]!r} is not read; convert the file, for example with "
            "msgconv -t UTF-8"
        ) from None


def _entries(original: Original) -> Iterator[_Entry]:
    """All entries, the header too; UserError where the grammar is not kept."""
    entry = _Entry()
    strings: _Strings | None = None
    for kind, start, end in _tokens(original):
        if kind == "string":
            if strings is None:
                raise original.error(start, "a string without a keyword; put msgid or msgstr before it")
            strings.spans.append((start, end))
            continue
        if kind == "number":
            if strings is None or strings.keyword != "msgstr" or strings.spans or strings.number is not None:
                raise original.error(start, "a number in brackets is only possible behind msgstr; delete it")
            strings.number = int(original.text[start + 1 : end - 1])
            continue
        if strings is not None and not strings.spans:
            raise original.error(strings.offset, f'{strings.keyword} without a string; put one in quotes behind it: ""')
        strings = None
        word = original.text[start:end] if kind == "keyword" else ""
        if entry.translations and word not in ("msgstr", "msgid_plural"):
            yield _whole(original, entry)
            entry = _Entry()
        if kind == "keyword":
            strings = _expected(original, entry, word, start)
        elif original.text.startswith("#,", start):
            entry.flags.append((start, end))
    if "msgid" in entry.named or "msgctxt" in entry.named:
        raise original.error(len(original.text), "the last entry has no msgstr; is the end of the file missing?")


def _tokens(original: Original) -> Iterator[tuple[str, int, int]]:
    """Kind and place of all that is not blank; the last is the end."""
    place, kind = 0, ""
    while kind != "end":
        match = _TOKEN.match(original.text, place)
        if match is None or match.lastgroup is None:
            blank = re.compile(_BLANK).match(original.text, place)
            raise original.error(
                blank.end() if blank else place,
                "neither a comment, a keyword nor a whole string in quotes; msgfmt -c tells more about the file",
            )
        kind, place = match.lastgroup, match.end()
        yield kind, match.start(kind), place


def _expected(original: Original, entry: _Entry, word: str, start: int) -> _Strings:
    """A keyword goes to its entry, if it is in its place."""
    strings, named = _Strings(word, start), entry.named
    begun, plural = "msgid" in named, "msgid_plural" in named
    if not {
        "domain": not named,
        "msgctxt": not named,
        "msgid": not begun,
        "msgid_plural": begun and not plural and not entry.translations,
        "msgstr": begun,
    }[word]:
        raise original.error(start, f"{word} is not possible here; an entry is msgctxt (or not), msgid, msgstr")
    if word == "msgstr":
        entry.translations.append(strings)
    elif word != "domain":
        named[word] = strings
    return strings


def _whole(original: Original, entry: _Entry) -> _Entry:
    numbers = [strings.number for strings in entry.translations]
    if "msgid_plural" in entry.named:
        if numbers != list(range(len(numbers))) or len(numbers) > MOST_FORMS:
            raise original.error(
                entry.translations[0].offset,
                f"the forms of a plural are msgstr[0], msgstr[1] and so on, at most {MOST_FORMS}; number them so",
            )
    elif numbers != [None]:
        raise original.error(
            entry.translations[0].offset,
            "without msgid_plural there is one msgstr, without a number; delete the others",
        )
    return entry


def _add(
    original: Original, entry: _Entry, forms: int | None, drafts: bool, units: list[Unit], splices: list[Splice]
) -> None:
    """The units of an entry and how they are filled. The only form of a plural is of any number: not the singular."""
    message, present = entry.named["msgid"], entry.translations
    plural = entry.named.get("msgid_plural")
    flags = [[flag.strip() for flag in original.text[start + 2 : end].split(",")] for start, end in entry.flags]
    fuzzy = any("fuzzy" in names for names in flags)
    first = len(units)
    render = _renderer(original, message)
    for form in range(max(len(present), forms or 1) if plural else 1):
        source = plural if plural and (form or forms == 1) else message
        there = present[form].value(original) if form < len(present) else ""
        translated = there != "" and not (fuzzy and drafts)
        place = original.where(source.offset)
        units.append(Unit(source.value(original), (), translated, place, Passage(there), form if plural else None))
        if form < len(present) and not translated:
            spans = present[form].spans
            splices.append(Splice(spans[0][0], spans[-1][1], one(first + form), render))
    absent = range(first + len(present), len(units))
    if absent:

        def added(*texts: str) -> str:
            numbered = enumerate(texts, len(present))
            return "".join(f"{original.newline}msgstr[{form}] {render(text)}" for form, text in numbered)

        splices.append(Splice(present[-1].spans[-1][1], present[-1].spans[-1][1], absent, added))
    if fuzzy:  # gettext does not use a fuzzy translation
        filled = range(first, len(units))
        pairs = zip(entry.flags, flags, strict=True)
        splices += [_unflag(original, filled, span, names) for span, names in pairs if "fuzzy" in names]


def _unflag(original: Original, units: range, span: tuple[int, int], names: list[str]) -> Splice:
    """A line of flags without "fuzzy"; none, if that was all."""
    start, end = span
    if set(names) == {"fuzzy"}:
        return Splice(start, min(end + 1, len(original.text)), units, lambda *_: "")
    rest = re.sub(r",[ \t]*fuzzy(?=\s*(,|\Z))", "", original.text[start:end])
    return Splice(start, end, units, lambda *_: rest)


def _renderer(original: Original, message: _Strings) -> Callable[[str], str]:
    """Writes a translation as strings, broken into lines if those of the msgid are."""
    parts = message.parts(original)
    broken = any(part and not part.endswith("\\n") for part in parts[:-1])
    text = message.value(original)

    def render(translation: str) -> str:
        if not translation:
            return '""'
        # msgfmt refuses a catalogue in which only one of the two begins (or ends) with a newline.
        if text.startswith("\n") != translation.startswith("\n"):
            translation = "\n" + translation if text.startswith("\n") else translation.lstrip("\n")
        if text.endswith("\n") != translation.endswith("\n"):
            translation = translation + "\n" if text.endswith("\n") else translation.rstrip("\n")
        try:
            translation.encode(original.charset)
        except UnicodeEncodeError as error:
            raise original.error(
                message.offset,
                f"the translation has {translation[error.start]!r}, which {original.charset.upper()} cannot hold; "
                "convert the file, for example with msgconv -t UTF-8",
            ) from None
        lines = [line.translate(_ESCAPES) for line in re.findall(r"[^\n]*\n|[^\n]+", translation)]
        if broken:
            lines = [piece for line in lines for piece in _broken(line)]
        if len(lines) > 1 or (broken and lines and len(lines[0]) > WIDTH - len('msgstr ""')):
            lines.insert(0, "")
        return original.newline.join(f'"{line}"' for line in lines or [""])

    return render


def _broken(line: str) -> Iterator[str]:
    """A line in pieces of at most WIDTH with their quotes, broken behind spaces."""
    piece = ""
    for word in re.findall(r"[^ ]+ *| +", line):
        if piece and len(piece) + len(word) > WIDTH - 2:
            yield piece
            piece = ""
        piece += word
    yield piece


def _unescape(text: str, charset: str) -> str:
    """What escapes stand for: \\n, \\", bytes in octal or hexadecimal; others are the character itself."""
    if "\\" not in text:
        return text

    def meaning(match: re.Match[str]) -> str:
        if match[1]:
            codes = (int(octal, 8) if octal else int(hexadecimal, 16) for octal, hexadecimal in _BYTE.findall(match[1]))
            return bytes(code & 255 for code in codes).decode(charset, "replace")
        return _LETTERS.get(match[2], match[2])

    return _ESCAPED.sub(meaning, text)
