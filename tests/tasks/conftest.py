"""A small translator that has been trained for a few steps, for all tests of what translators do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from heedful.tasks.translate import Translator, load

from .toy import run, write_corpus


@pytest.fixture(scope="session", autouse=True)
def _plain_kernels() -> Iterator[None]:
    """No run times this machine's kernels: on a busy one two runs would choose differently, and differ in bits."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HEEDFUL_PROBE", "off")
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's folder; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    return run(folder, write_corpus(folder), steps=120)


@pytest.fixture(scope="session")
def translator(finished: Path) -> Translator:
    return load(finished)
