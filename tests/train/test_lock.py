"""One trainer per run."""

from __future__ import annotations

import multiprocessing.synchronize
import os
import time
from pathlib import Path

import pytest
from standin import FORKS

from heedful.errors import UserError
from heedful.train.lock import Lock


def hold(folder: Path, held: multiprocessing.synchronize.Event) -> None:
    with Lock(folder):
        held.set()
        time.sleep(60)


def test_second_holder_is_refused_and_told_who(tmp_path: Path) -> None:
    with Lock(tmp_path) as lock, lock:  # the holder may enter again
        began = time.monotonic()
        with pytest.raises(UserError, match=rf"process {os.getpid()} on \S+ since \d{{4}}-"), Lock(tmp_path):
            pass
        assert time.monotonic() - began < 1
    with Lock(tmp_path):
        pass


def test_the_kernel_releases_a_dead_holders_lock(tmp_path: Path) -> None:
    held = FORKS.Event()
    process = FORKS.Process(target=hold, args=(tmp_path, held))
    process.start()
    assert held.wait(20)
    with pytest.raises(UserError, match=f"process {process.pid}"), Lock(tmp_path):
        pass
    process.kill()
    process.join()
    with Lock(tmp_path):
        pass


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="lock: cannot be written: No such file"), Lock(tmp_path / "none"):
        pass


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b'{"pid": 1}'])
def test_a_note_that_cannot_be_read(tmp_path: Path, note: bytes) -> None:
    with Lock(tmp_path):
        (tmp_path / "lock").write_bytes(note)
        with pytest.raises(UserError, match="another process"), Lock(tmp_path):
            pass
