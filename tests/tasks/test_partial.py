"""An interrupted translation goes on where it was, if it is the same one."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from heedful.errors import UserError
from heedful.tasks.finding import last_run
from heedful.tasks.translate.partial import Partial, job, skipped

JOB = {"models": ["1"], "options": {}, "inputs": ["2"]}


def test_lines_stay_through_an_interruption(tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    with Partial(out, JOB) as partial:  # left without `finish`, as by an interruption
        assert partial.lines == 0
        partial.file.write(b"one\ntwo\nthr")
    assert not out.exists()
    with Partial(out, JOB) as partial:
        assert partial.lines == 2
        partial.file.write(b"three\n")
        partial.finish()
    assert out.read_bytes() == b"one\ntwo\nthree\n"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_another_translation_is_not_mixed_in(tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    with Partial(out, JOB) as partial:
        partial.file.write(b"one\n")
    with pytest.raises(UserError, match=r"out\.txt\.part: is the beginning of another translation") as told:
        Partial(out, {**JOB, "options": {"beam": "9"}})
    assert "\n" not in str(told.value)
    assert (tmp_path / "out.txt.part").read_bytes() == b"one\n"


def test_one_process_at_a_time_writes(tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    with Partial(out, JOB) as partial:
        partial.file.write(b"one\n")
        partial.file.flush()
        with pytest.raises(UserError, match="another process is writing it"):
            Partial(out, JOB)
        assert (tmp_path / "out.txt.part").read_bytes() == b"one\n"
        partial.finish()
    with pytest.raises(UserError, match="exists already"):
        Partial(out, JOB)


def test_what_is_not_known_again_begins_anew(tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    for _ in range(2):
        with Partial(out, None) as partial:
            assert partial.lines == 0
            partial.file.write(b"one\n")
    assert (tmp_path / "out.txt.part").read_bytes() == b"one\n"


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out.txt").write_bytes(b"mine")
    with pytest.raises(UserError, match="exists already"):
        Partial(tmp_path / "out.txt", JOB)
    assert (tmp_path / "out.txt").read_bytes() == b"mine"


def test_a_part_without_its_stamp_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "o.part").write_bytes(b"who knows\n")
    with Partial(tmp_path / "o", JOB) as partial:
        assert partial.lines == 0


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be opened"):
        Partial(tmp_path / "nowhere" / "out", JOB)


def test_a_job_is_its_model_its_options_and_its_text(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    text = tmp_path / "text"
    text.write_text("a\n")
    one = job([tmp_path], {"beam": 4}, [text])
    assert one == job([tmp_path], {"beam": 4}, [text])
    assert one != job([tmp_path], {"beam": 5}, [text])
    text.write_text("b\n")
    assert one != job([tmp_path], {"beam": 4}, [text])
    with pytest.raises(UserError, match="cannot be read"):
        job([tmp_path / "gone"], {}, [])


@pytest.mark.parametrize(("count", "rest"), [(0, b"a\nb\nc"), (2, b"c"), (3, b""), (9, b"")])
def test_lines_are_skipped(count: int, rest: bytes) -> None:
    lines = io.BytesIO(b"a\nb\nc")
    assert skipped(lines, count) == min(count, 3)
    assert lines.read() == rest


def test_the_last_run_is_the_one_finished_last(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished run"):
        last_run(tmp_path)
    for number, name in enumerate(("old", "new", "runs/other", "unfinished")):
        (tmp_path / name / "model").mkdir(parents=True)
        (tmp_path / name / "run.json").write_text("{}")
        if name != "unfinished":
            config = tmp_path / name / "model" / "config.json"
            config.write_text('{"task": "write"}' if name == "runs/other" else '{"task": "translate"}')
            os.utime(config, (number % 2 * 100, number % 2 * 100))
    assert last_run(tmp_path) == tmp_path / "new"
    assert last_run(tmp_path, "write") == tmp_path / "runs/other"
