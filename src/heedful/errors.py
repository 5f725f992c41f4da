"""The one exception for mistakes a user can mend. The only module every room may import."""


class UserError(Exception):
    """A mistake in a file, a value or a command. The message is one line: where, what, the limit, the remedy.

    The command line prints it without a traceback and ends with exit code 2; Python callers may catch it.
    """
