"""A finished run has scores, a card and a page; they can be made again, and the page at any time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from heedful.errors import UserError
from heedful.tasks.runs import report


def test_a_finished_run_tells_of_itself(finished: Path) -> None:
    scores = json.loads((finished / "scores.json").read_bytes())
    assert [metric for metric, _, _ in scores[0]["scores"]][:2] == ["BLEU", "chrF2"]
    assert (scores[0]["sentences"], scores[0]["of"], scores[0]["normalised"]) == (10, 10, True)
    card = (finished / "model" / "README.md").read_text("utf-8")
    assert f"| chrF2 | {scores[0]['scores'][1][1]:.2f} |" in card
    page = (finished / "report.html").read_text("utf-8")
    for text in ("How good it is", "How it learned", "What it learned from", "What it wrote on the way", "[training]"):
        assert text in page


def test_it_can_be_told_again(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / "scores.json").unlink()
    assert report(run) == [f"report: {run / 'report.html'}"]
    assert "How good it is" not in (run / "report.html").read_text("utf-8")
    lines = report(run, score=True)
    assert lines[0].startswith("validation: BLEU ")
    assert (run / "scores.json").read_bytes() == (finished / "scores.json").read_bytes()
    (run / "scores.json").write_text("[{}]")
    with pytest.raises(UserError, match=r"scores\.json"):
        report(run)


def test_an_unfinished_run_has_a_page_but_no_scores(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run, ignore=shutil.ignore_patterns("model", "scores.json"))
    assert report(run)
    assert "A translator in training" in (run / "report.html").read_text("utf-8")
    with pytest.raises(UserError, match="not finished"):
        report(run, score=True)
