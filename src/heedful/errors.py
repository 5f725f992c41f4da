"""The one exception for mistakes a user can mend, and text made safe to tell. The only module every room may import."""

import unicodedata


class UserError(Exception):
    """A mistake in a file, a value or a command. The message is one line: where, what, the limit, the remedy.

    The command line prints it without a traceback and ends with exit code 2; Python callers may catch it.
    """


def visible(text: str, widest: int | None = None) -> str:
    """The text with characters that cannot be seen, or move the cursor, as \\u escapes; cut if too long."""
    if widest is not None and len(text) > widest:
        text = text[: widest - 1] + "…"
    return "".join(c if c == " " or unicodedata.category(c)[0] not in "CZ" else f"\\u{{{ord(c):x}}}" for c in text)
