"""What is shown while training."""

from __future__ import annotations

import io

from heedful.train.progress import Moment, Screen, clock, describe, memory


def moment(step: int, loss: float = 2.0) -> Moment:
    return Moment(step=step, steps=100, loss=loss, rate=1e-3, speed=3000.0, left=125.0, memory=512_000_000)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_has_everything() -> None:
    line = "step 7/100  loss 2.000  rate 1.00e-03  3,000 tokens/s  2:05 left  512 MB"
    assert describe(moment(7), 2.0, 3000.0) == line
    unknown = Moment(step=7, steps=None, loss=2.0, rate=1e-3, speed=3000.0, left=None, memory=0)
    assert describe(unknown, 2.0, 3000.0) == "step 7  loss 2.000  rate 1.00e-03  3,000 tokens/s  0 MB"


def test_clock() -> None:
    assert [clock(s) for s in (-3, 0, 59.6, 3599, 3723)] == ["0:00", "0:00", "1:00", "59:59", "1:02:03"]


def test_plain_lines_come_now_and_then() -> None:
    out = io.StringIO()
    with Screen(out=out) as screen:
        for step in range(1, 50):
            screen.step(moment(step))
        screen.note("step 50  validation: loss 1")
    assert out.getvalue().split("\n")[1:] == ["step 50  validation: loss 1", ""]
    assert out.getvalue().startswith("step 1/100")
    assert "\x1b" not in out.getvalue()


def test_a_terminal_gets_one_live_line_and_lines_that_stay() -> None:
    out = Terminal()
    with Screen(out=out) as screen:
        screen.step(moment(1))
        screen.note("kept [not markup]")
    assert "step 1/100" in out.getvalue()
    assert "kept [not markup]" in out.getvalue()
    assert "\x1b[" in out.getvalue()


def test_silent_says_nothing_and_smoothing_forgets_what_is_not_a_number() -> None:
    out = io.StringIO()
    with Screen(silent=True, out=out) as screen:
        screen.step(moment(1))
        screen.note("x")
    assert out.getvalue() == ""
    with Screen(out=out) as screen:
        screen.step(moment(1, float("nan")))
        screen.step(moment(2, 1.0))
        assert screen._loss == 1.0


def test_memory_is_that_of_this_process() -> None:
    assert memory() == 0 or memory() > 10_000_000
