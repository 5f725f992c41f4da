"""The journal: whole lines, cut at a step, patient with a full disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from heedful.train.journal import Journal, exact, read


def write(path: Path, steps: range) -> Journal:
    journal = Journal(path)
    for step in steps:
        journal.append({"kind": "step", "step": step, "loss": 1 / 3 / (step + 1)})
    return journal


def test_lines_survive_and_numbers_are_exact(tmp_path: Path) -> None:
    write(tmp_path / "j", range(5))
    again = Journal(tmp_path / "j")
    again.append({"kind": "step", "step": 5, "loss": float("nan")})
    lines = read(tmp_path / "j")
    assert [line["step"] for line in lines] == list(range(6))
    assert lines[4]["loss"] == 1 / 15
    assert lines[5]["loss"] is None


def test_cut(tmp_path: Path) -> None:
    journal = write(tmp_path / "j", range(10))
    with (tmp_path / "j").open("ab") as file:
        file.write(b'{"kind":"step","st')  # torn by a power cut
    journal = Journal(tmp_path / "j")
    journal.cut(6)
    journal.append({"kind": "step", "step": 7, "loss": 0.5})
    assert [line["step"] for line in read(tmp_path / "j")] == list(range(8))
    assert (tmp_path / "j").read_bytes().count(b"\n") == 8
    assert [p.name for p in tmp_path.iterdir()] == ["j"]


def test_a_validation_that_will_come_again_is_cut(tmp_path: Path) -> None:
    journal = write(tmp_path / "j", range(4))
    journal.append({"kind": "validation", "step": 2, "loss": 1.0})
    journal.append({"kind": "validation", "step": 3, "loss": 1.0})
    journal.cut(3, validated=False)
    lines = [(line["kind"], line["step"]) for line in read(tmp_path / "j")]
    assert lines == [*(("step", step) for step in range(4)), ("validation", 2)]


def test_what_follows_damage_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "j", range(3)).close()
    with (tmp_path / "j").open("ab") as file:
        file.write(b"\0\0\0\n" + b'{"kind":"step","step":9}\n')
    assert [line["step"] for line in read(tmp_path / "j")] == [0, 1, 2]
    (tmp_path / "j").write_bytes(b"[1]\n")
    assert read(tmp_path / "j") == read(tmp_path / "none") == []


def test_a_full_disk_delays_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = write(tmp_path / "j", range(2))
    real = os.pwrite

    def full(handle: int, content: bytes, offset: int) -> int:
        if len(content) > 10:
            return real(handle, bytes(content[:10]), offset)
        raise OSError(errno.ENOSPC, "")

    with monkeypatch.context() as scope:
        scope.setattr(os, "pwrite", full)
        for step in (2, 3):
            journal.append({"kind": "step", "step": step})
        with pytest.raises(OSError, match=str(errno.ENOSPC)):
            journal.sync()
        assert [line["step"] for line in read(tmp_path / "j")] == [0, 1, 2][: len(read(tmp_path / "j"))]
    journal.append({"kind": "step", "step": 4})
    assert [line["step"] for line in read(tmp_path / "j")] == [0, 1, 2, 3, 4]


def test_exact_leaves_out_clocks_and_stops() -> None:
    lines = [
        {"kind": "resume", "step": 1, "time": 5.0},
        {"kind": "step", "step": 2, "loss": 0.5, "elapsed": 1.0, "speed": 2.0, "memory": 3},
        {"kind": "saved", "step": 2, "time": 1.0},
    ]
    assert exact(lines) == [{"kind": "step", "step": 2, "loss": 0.5}]
