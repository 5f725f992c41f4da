"""Text that breaks programs, kept for good: every command is held to every one of these."""

from __future__ import annotations

# Valid UTF-8 on one line each, without the line's end.
TEXTS: dict[str, str] = {
    "empty": "",
    "spaces": "   ",
    "tabs": "\t\t",
    "a null": "alpha\x00beta",
    "a byte order mark": "\ufeffalpha beta",
    "a carriage return at the end": "alpha beta\r",
    "a carriage return inside": "alpha\rbeta",
    "line separators of Unicode": "alpha\u2028beta\u2029gamma\x85delta",
    "vertical tab, form feed, file separators": "alpha\x0bbeta\x0cgamma\x1cdelta\x1dx\x1ey",
    "terminal commands": "\x1b[2J\x1b]0;owned\x07alpha\x9b31m",
    "backspaces": "alpha\x08\x08\x08beta\x7f",
    "writing turned round": "\u202ealpha\u202c \u2066beta\u2069 \u200fgamma",
    "Trojan source": 'access = "user\u202e \u2066# only for admins\u2069 \u2066"',
    "right to left": "שלום עולם مرحبا بالعالم",
    "zero width": "al\u200bpha be\u200dta\u2060 \ufe0f\u00adgamma",
    "a family": "👩‍👩‍👧‍👦 alpha 👨🏿‍🦰 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "a thousand accents": "a" + "\u0301" * 1000,
    "not normalised": "ﬁ Å A\u030a Ａｌｐｈａ Ω Ω 가 ᄀ\u1161",
    "upper case that grows": "İßŉΐ alpha",
    "outside the first plane": "\U0001d5ba\U00010348\U000e0001\U0010ffff",
    "no characters": "\ufffe\uffff\ufdd0",
    "a replacement": "alpha \ufffd beta",
    "names of controls": "</s> <s> <pad> <unk> [MASK] [CLS] <2de> <ph1> ▁alpha Ġbeta ##gamma",
    "markup": "<script>alert(1)</script> <b onclick='x()'>alpha & \"beta\" &lt; ]]> --> </textarea>",
    "template": "{{7*7}} ${alpha} %(beta)s %s %n {0} {} #{gamma}",
    "a formula": "=cmd|'/C calc'!A0",
    "a command line": "-o --output $(touch x) `touch y` ; rm -rf ~ | alpha && beta",
    "a path": "../../../../etc/passwd C:\\nul\\con",
    "broken JSON": '{"alpha": [1, "beta\\ud800", nul',
    "numbers": "1e999 -0 0x7f ٣٤ ½ 1,234,567.89 " + "9" * 500,
    "one letter 60,000 times": "x" * 60_000,
    "10,000 words": "alpha " * 10_000,
    "20,000 unknown characters": "".join(chr(0x4E00 + number % 20_000) for number in range(20_000)),
    "a line of a megabyte": "y" * 1_000_000,
}

# What is no UTF-8, as a line.
BYTES: dict[str, bytes] = {
    "single bytes of Latin-1": "größe".encode("latin-1"),
    "a character cut short": "alpha ü".encode()[:-1],
    "a lone surrogate": b"alpha \xed\xa0\x80 beta",
    "overlong": b"alpha \xc0\xaf \xe0\x80\xaf",
    "beyond Unicode": b"alpha \xf4\x90\x80\x80",
    "UTF-16": "\ufeffalpha beta".encode("utf-16-le"),
    "every byte but the line's end": bytes(byte for byte in range(256) if byte != 10),
}

FILE_NAMES = [
    "no such file", "new\nline", "\x1b[31mred", "turned\u202eround", "<script>", "-x", "a" * 300, "nul\x00",
    "\udcff", "..", "%s{0}", "'; rm -rf", "~",
]  # fmt: skip
