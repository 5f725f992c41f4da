"""The learning rate as a pure function of the step, and of how far a run bounded by time has come.

A resumed run must give the same bits, so no rate may read a clock. Where only time bounds a run, the schedules that
end (cosine, linear) follow a `Pace`: progress as a straight line over steps, drawn anew from the measured speed at
every checkpoint and saved in it. Between two checkpoints the rate is exact; over the run it lands at the time limit
however the machine's speed changes, which one early estimate would not. Speed is measured over the last tenth of the
time, validations and all: a shorter stretch may be one step with a validation before it.
"""

from __future__ import annotations

import math

from msgspec import Struct

from ..config import Training

ENDING = frozenset({"cosine", "linear"})  # schedules that need to know where the end is
NEW_PACE = 0.04  # of the time limit: so often they learn how fast steps are,
MARKS = 3  # from the last so many times


def rate(training: Training, width: int, step: int, total: int | None = None, progress: float = 0.0) -> float:
    """The learning rate of a step (the first is 1).

    `width` is the model's, which "noam" scales with. Cosine and linear fall to 0 at step `total`; without a total they
    follow `progress` from 0 to 1.
    """
    warmup = training.warmup or 0
    rising = min(1.0, step / warmup) if warmup else 1.0
    if total is not None:
        progress = (step - warmup) / max(1, total - warmup)
    progress = min(1.0, max(0.0, progress))
    match training.schedule:
        case "noam":  # Vaswani et al. 2017, equation 3, times `rate`
            warm = max(1, warmup)
            return float(training.rate * width**-0.5 * min(step**-0.5, step * warm**-1.5))
        case "inverse-sqrt":
            return training.rate * min(rising, math.sqrt(max(1, warmup) / step))
        case "cosine":
            return training.rate * rising * 0.5 * (1.0 + math.cos(math.pi * progress))
        case "linear":
            return training.rate * rising * (1.0 - progress)
        case "constant":
            return training.rate * rising


class Pace(Struct, frozen=True, forbid_unknown_fields=True):
    """Progress as a line over steps: `progress` at `step`, and `slope` more with each step after it.

    `marks` are the last times when the speed was looked at: a step, and the run's seconds when it ended.
    """

    step: int = 0
    progress: float = 0.0
    slope: float = 0.0
    marks: tuple[tuple[int, float], ...] = ((0, 0.0),)

    def at(self, step: int) -> float:
        return min(1.0, self.progress + self.slope * (step - self.step))

    def old(self, elapsed: float, limit: float) -> bool:
        """Whether it is time to learn the speed anew."""
        return elapsed - self.marks[-1][1] >= NEW_PACE * limit

    def redrawn(self, step: int, elapsed: float, limit: float) -> Pace:
        """The line from here to the end at `limit` seconds, at the speed since the first mark: no jump, new slope.

        The first line is drawn after the first stretch of time (progress stays 0 till then), the later ones correct it.
        """
        here = self.at(step)
        first, began = self.marks[0]
        seconds_per_step = (elapsed - began) / max(1, step - first)
        steps_left = (limit - elapsed) / seconds_per_step if seconds_per_step > 0 else 0.0
        slope = (1.0 - here) / steps_left if steps_left >= 1.0 else 1.0 - here
        marks = (*self.marks, (step, elapsed))[-MARKS:] if self.old(elapsed, limit) else self.marks
        return Pace(step=step, progress=here, slope=slope, marks=marks)
