"""One trainer per run: a lock that the kernel releases when its holder dies."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from types import TracebackType

from ..errors import UserError

try:
    import fcntl
except ImportError:  # Windows: no lock; the documentation says that Linux is what is tested
    fcntl = None  # type: ignore[assignment]


class Lock:
    """`with Lock(run):` holds RUN/lock; a second holder is refused with the first one's pid, host and time.

    The file itself may stay behind and means nothing: what counts is the kernel's flock on it. May be entered again by
    who holds it. `doing` is what the holder does with the folder, for the message.
    """

    def __init__(self, run: Path, doing: str = "trained") -> None:
        self.path = run / "lock"
        self.doing = doing
        self._handle: int | None = None
        self._depth = 0

    def __enter__(self) -> Lock:
        if self._handle is None:
            self._handle = self._take()
        self._depth += 1
        return self

    def _take(self) -> int:
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written: {error.strerror}") from None
        if not take(handle):
            holder = os.pread(handle, 4096, 0)
            os.close(handle)
            raise UserError(f"{self.path.parent}: {_describe(holder, self.doing)}; wait for it or stop it first")
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}).encode(), 0)
        return handle

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._handle is not None and not self._depth:
            os.close(self._handle)
            self._handle = None


def take(handle: int) -> bool:
    """Whether an open file is now this process's alone, until it is closed; True where the system has no locks."""
    if fcntl is not None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _describe(holder: bytes, doing: str) -> str:
    try:
        seen = json.loads(holder)
        return f"is being {doing} by process {seen['pid']} on {seen['host']} since {seen['since']}"
    except (ValueError, KeyError, TypeError):  # caught between the lock and the note in it
        return f"is being {doing} by another process"
