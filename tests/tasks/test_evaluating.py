"""What is wrong with an evaluation is told before a model translates for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from heedful.cli import app
from heedful.errors import UserError
from heedful.tasks.translate import evaluating
from heedful.tasks.translate.evaluating import evaluate_systems


@pytest.fixture
def texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "long").write_text("alpha\nbeta\n", "utf-8")
    (tmp_path / "short").write_text("alpha\n", "utf-8")
    monkeypatch.setattr(evaluating, "load", lambda model: pytest.fail("a model was loaded"))
    return tmp_path


@pytest.mark.parametrize(
    ("outputs", "references", "message"),
    [
        (["short"], ["long"], "short: 1 line, but the reference has 2 lines"),
        ([], ["long", "short"], "reference 2: 1 line, but reference 1 has 2 lines"),
        (["long"] * 6, ["long"], "7 systems to evaluate; give 1 to 6"),
    ],
)
def test_lines_and_systems_are_counted_first(
    texts: Path, outputs: list[str], references: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        evaluate_systems(
            [Path("run")], [texts / one for one in outputs], texts / "long", [texts / one for one in references]
        )


@pytest.mark.parametrize(
    ("page", "message"), [("long", "exists already; choose another --page"), ("no/p.html", "there is no folder")]
)
def test_a_page_that_cannot_be_made_is_told_first(texts: Path, page: str, message: str) -> None:
    named = ["--source", "long", "--reference", "long", "-m", "run", "--page", page]
    ended = CliRunner().invoke(
        app, ["evaluate", *(str(texts / one) if one in ("long", page) else one for one in named)]
    )
    assert ended.exit_code == 2
    assert message in ended.output
    assert (texts / "long").read_text("utf-8") == "alpha\nbeta\n"


def test_figures_are_printed_though_the_page_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text").write_text("alpha\n" * 5, "utf-8")
    evaluate: Callable[..., Any] = evaluating.evaluate_systems

    def racing(*given: Any, **named: Any) -> Any:
        (tmp_path / "page.html").write_text("mine", "utf-8")
        return evaluate(*given, **named)

    monkeypatch.setattr(evaluating, "evaluate_systems", racing)
    text = str(tmp_path / "text")
    ended = CliRunner().invoke(
        app,
        ["evaluate", "--output", text, "--reference", text, "--resamples", "5", "--page", str(tmp_path / "page.html")],
    )
    assert ended.exit_code == 2
    assert "chrF2" in ended.output
    assert (tmp_path / "page.html").read_text("utf-8") == "mine"
