"""`.ci/run` in a copy where every tool is a stand-in that notes its call: what runs, in which order, when it stops."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASH = shutil.which("bash")
TEST = "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/python -m pytest -q"
README = f"# x\n\n    python3 -m venv .venv && .venv/bin/heedful demo\n\n```\n{TEST}\n```\n"
pytestmark = pytest.mark.skipif(BASH is None, reason="needs bash")


def run(folder: Path, readme: str, failing: str = "") -> tuple[int, list[str]]:
    """Exit code and the calls, as `tool arguments`; `failing` is the call that ends badly."""
    clone, tools, log = folder / "a clone", folder / "tools", folder / "log"
    (clone / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", clone / ".ci" / "run")
    (clone / "README.md").write_text(readme, "utf-8")
    for place, names in (
        (tools, ["python3", "chromium"]),
        (clone / ".venv" / "bin", ["pip", "python", "ruff", "mypy"]),
    ):
        place.mkdir(parents=True)
        for name in names:
            script = f'#!{BASH}\ncall="{name} $*"; echo "$call" >> "{log}"; [ "$call" != "{failing}" ]\n'
            (place / name).write_text(script, "utf-8")
            (place / name).chmod(0o755)
    done = subprocess.run(
        [str(BASH), ".ci/run"],
        cwd=clone,
        env={"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode, log.read_text("utf-8").split("\n")[:-1] if log.exists() else []


CALLS = [
    "python3 -m venv .venv",
    "pip install -e .[test]",
    "python -m pytest -q",
    "ruff check .",
    "ruff format --check .",
    "mypy ",
]


def test_readmes_command_then_style_then_types(tmp_path: Path) -> None:
    assert run(tmp_path, README) == (0, CALLS)


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_the_first_failure_ends_it(tmp_path: Path, number: int) -> None:
    code, calls = run(tmp_path, README, failing=CALLS[number])
    assert code != 0
    assert calls == CALLS[: number + 1]


@pytest.mark.parametrize("readme", ["", TEST, README + TEST])
def test_a_readme_without_exactly_two_commands_ends_it(tmp_path: Path, readme: str) -> None:
    code, calls = run(tmp_path, readme)
    assert code != 0
    assert calls == []
