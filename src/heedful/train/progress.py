"""What a run shows while it trains: one live line on a terminal, plain lines now and then elsewhere."""

from __future__ import annotations

import os
import sys
import time
from typing import IO, TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from rich.live import Live

BETWEEN_LINES = 10.0  # seconds, where nobody watches
BETWEEN_FRAMES = 0.1


class Moment(Struct, frozen=True):
    """One step as it is shown: `speed` in `counted` a second, `left` in seconds (None: unknown), `memory` in bytes."""

    step: int
    steps: int | None
    loss: float
    rate: float
    speed: float
    left: float | None
    memory: int
    counted: str = "tokens"


class Screen:
    """Live on a terminal, plain lines otherwise, silent where asked; writes to standard error."""

    def __init__(self, silent: bool = False, out: IO[str] | None = None) -> None:
        self._out = out or sys.stderr
        self._silent = silent
        self._live: Live | None = None
        self._last = float("-inf")
        self._loss: float | None = None
        self._speed: float | None = None

    def __enter__(self) -> Screen:
        if not self._silent and self._out.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(file=self._out), auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def step(self, moment: Moment) -> None:
        """Show a step, if the last one shown is long enough ago. Loss and speed are smoothed."""
        if self._silent:
            return
        self._loss = _smooth(self._loss, moment.loss)
        self._speed = _smooth(self._speed, moment.speed)
        now = time.monotonic()
        if now - self._last < (BETWEEN_FRAMES if self._live else BETWEEN_LINES):
            return
        self._last = now
        text = describe(moment, self._loss, self._speed)
        if self._live is not None:
            from rich.text import Text

            self._live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)
        else:
            print(text, file=self._out, flush=True)

    def note(self, text: str) -> None:
        """A line that stays."""
        if self._silent:
            return
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=self._out, flush=True)


def describe(moment: Moment, loss: float, speed: float) -> str:
    """One line: step, loss, rate, speed, time left, memory."""
    of = f"/{moment.steps}" if moment.steps else ""
    left = "" if moment.left is None else f"  {clock(moment.left)} left"
    return (
        f"step {moment.step}{of}  loss {loss:.3f}  rate {moment.rate:.2e}  {speed:,.0f} {moment.counted.split()[-1]}/s"
        f"{left}  {moment.memory / 1e6:,.0f} MB"
    )


def clock(seconds: float) -> str:
    """1:02:03, or 2:03 below an hour."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def memory() -> int:
    """Bytes of this process that are in memory now; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def _smooth(before: float | None, now: float) -> float:
    return now if before is None or before != before else 0.9 * before + 0.1 * now
