"""Runs of tiny models, for tests of the command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from heedful.tasks.finding import save_model

from . import tiny


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a language model, and one of an asker, which is older."""
    found = tmp_path_factory.mktemp("runs")
    for name, task, extra in (
        ("asks", "ask", {"answers": ["red", "green", "two"], "longest": 32, "pictures": _sight()}),
        ("writes", "write", {"context": 32}),
        ("fills", "fill", {"longest": 32, "masking": {}}),
    ):
        loaded = tiny.of(task)
        (found / name).mkdir()
        save_model(found / name / "model", loaded.model, task, loaded.tokenizer, extra)
        (found / name / "run.json").write_text("{}")
    for age, name in enumerate(("writes", "fills", "asks")):
        os.utime(found / name / "model" / "config.json", (1e9 - age, 1e9 - age))
    return found


def _sight() -> dict[str, Any]:
    return {"encoder": "patches", "size": [8, 8], "edge": 4}
