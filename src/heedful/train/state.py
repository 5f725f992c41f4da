"""Where a run stands: everything but the tensors that the next step depends on, as JSON in every checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from msgspec import Struct, field

from ..errors import UserError
from .schedule import Pace
from .validation import Standings


class State(Struct):
    """`epoch` and `position` are the next micro-batch to be taken; random numbers need no place (see `draw_seed`).

    `updates` leaves out skipped steps; `streak` counts steps skipped in a row. `scheduled` is the last step saved by
    the recipe, not for a clock or a signal. `due`: a signal came before this step's validation, so a resume begins with
    it. `over`: why the run ends before its steps are used up. `elapsed` is in seconds and goes on after a resume.
    """

    step: int = 0
    updates: int = 0
    epoch: int = 0
    position: int = 0
    elapsed: float = 0.0
    skipped: int = 0
    streak: int = 0
    rollbacks: int = 0
    scheduled: int | None = None
    pace: Pace = field(default_factory=Pace)
    standings: Standings = field(default_factory=Standings)
    due: bool = False
    over: Literal["time", "patience"] | None = None


class Taken(NamedTuple):
    """One micro-batch of the endless stream of epochs."""

    epoch: int
    position: int
    micro_batch: Any


class Cursor:
    """Walks through the micro-batches of epoch after epoch; a step that reaches the end of one goes on in the next."""

    def __init__(self, micro_batches: Callable[[int], Sequence[Any]], epoch: int = 0, position: int = 0) -> None:
        self._micro_batches = micro_batches
        self.epoch, self.position = epoch, position
        self._current: Sequence[Any] | None = None

    def take(self, count: int) -> list[Taken]:
        """The next `count` micro-batches."""
        taken: list[Taken] = []
        while len(taken) < count:
            if self._current is None:
                self._current = self._micro_batches(self.epoch)
                if not len(self._current):
                    raise UserError(f"epoch {self.epoch} holds no examples: the training data is empty")
            if self.position == len(self._current):
                self.epoch, self.position, self._current = self.epoch + 1, 0, None
                continue
            taken.append(Taken(self.epoch, self.position, self._current[self.position]))
            self.position += 1
        return taken


def draw_seed(seed: int, step: int, index: int) -> int:
    """The seed of torch's generator for micro-batch `index` (over all ranks) of a step.

    Dropout then depends on nothing else: there is no generator to save, and processes draw what accumulation draws.
    """
    text = f"{seed}/{step}/{index}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1
