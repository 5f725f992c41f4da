"""Signals: the first asks the loop to finish its step and save, the second ends the process at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from .distributed import heard


class Interrupts:
    """`with Interrupts() as interrupts:` then look at `interrupts.received`: 0, or the signal's number.

    Whoever ends because of it exits with 128 + number, as shells expect. Off the main thread nothing is caught, and
    what was ignored before (nohup) stays so.
    """

    def __init__(self, loud: bool = False) -> None:
        self.received = 0
        self._loud = loud
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in heard()}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            os._exit(128 + number)
        self.received = number
        if self._loud:  # not by print: the signal may have come in the middle of one
            name = signal.Signals(number).name
            with contextlib.suppress(OSError):
                os.write(2, f"\n{name}: finishing this step and saving; once more ends at once\n".encode())
