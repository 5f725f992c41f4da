"""Schedules against their closed forms, and a pace that lands at the time limit."""

from __future__ import annotations

import math

import pytest

from heedful.config import Training
from heedful.train.schedule import Pace, rate

STEPS = (1, 5, 9, 10, 11, 50, 99, 100)


@pytest.mark.parametrize("step", STEPS)
def test_closed_forms(step: int) -> None:
    def at(schedule: str) -> float:
        return rate(Training(schedule=schedule, rate=0.3, warmup=10), 64, step, total=100)

    rising = min(1, step / 10)
    falling = min(1, max(0, (step - 10) / 90))
    assert at("noam") == pytest.approx(0.3 / 8 * min(step**-0.5, step * 10**-1.5), rel=1e-12)
    assert at("inverse-sqrt") == pytest.approx(0.3 * (rising if step <= 10 else math.sqrt(10 / step)), rel=1e-12)
    assert at("cosine") == pytest.approx(0.3 * rising * (1 + math.cos(math.pi * falling)) / 2, rel=1e-12)
    assert at("linear") == pytest.approx(0.3 * rising * (1 - falling), rel=1e-12, abs=1e-15)
    assert at("constant") == pytest.approx(0.3 * rising, rel=1e-12)


@pytest.mark.parametrize("schedule", ["noam", "inverse-sqrt", "cosine", "linear", "constant"])
@pytest.mark.parametrize("warmup", [0, 1, 200])
def test_never_negative_nor_infinite(schedule: str, warmup: int) -> None:
    training = Training(schedule=schedule, rate=1.0, warmup=warmup)
    for total in (None, 1, 100):
        for step in range(1, 150):
            assert 0 <= rate(training, 512, step, total, progress=step / 100) <= 1


def test_progress_stands_in_for_a_total() -> None:
    training = Training(schedule="cosine", rate=1.0, warmup=0)
    assert rate(training, 8, 7, None, 0.5) == pytest.approx(0.5)
    assert rate(training, 8, 7, None, 2.0) == 0.0


@pytest.mark.parametrize("slowdown", [0.25, 1.0, 4.0])
def test_pace_ends_with_the_limit_when_the_speed_changes(slowdown: float) -> None:
    """100 seconds, 0.1 s a step in the first half of the time; redrawn every 25 steps. No jumps, and 1 at the end."""
    pace, step, elapsed, before = Pace(), 0, 0.0, 0.0
    while elapsed < 100:
        step += 1
        elapsed += 0.1 if elapsed < 50 else 0.1 * slowdown
        now = pace.at(step)
        assert now >= before
        assert now - before < 0.02
        before = now
        if step % 25 == 0:
            pace = pace.redrawn(step, elapsed, 100.0)
            assert pace.at(step) == now
    assert before == pytest.approx(1.0, abs=0.06)


def test_a_validation_between_two_lines_does_not_end_the_run() -> None:
    """Drawn just before a validation of 8 seconds and one step after it, the line is not that of 8 seconds a step."""
    pace = Pace(marks=((0, 5.0),)).redrawn(100, 15.0, 105.0).redrawn(101, 23.1, 105.0)
    assert pace.at(101) == pytest.approx(0.0, abs=0.01)
    assert 0.1 < pace.at(201) < 0.25


def test_pace_past_the_limit_is_done_at_once() -> None:
    assert Pace().redrawn(10, 20.0, 10.0).at(11) == 1.0
    assert Pace().redrawn(10, 0.0, 10.0).at(11) == 1.0  # a clock that stands still
