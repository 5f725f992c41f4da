"""A finished run has scores, a card and a page; they can be made again, and the page at any time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from heedful.errors import UserError
from heedful.tasks.runs import report, resume


def test_a_finished_run_tells_of_itself(finished: Path) -> None:
    scores = json.loads((finished / "scores.json").read_bytes())
    assert [metric for metric, _, _ in scores[0]["scores"]][:2] == ["BLEU", "chrF2"]
    assert (scores[0]["sentences"], scores[0]["of"]) == (10, 10)
    card = (finished / "model" / "README.md").read_text("utf-8")
    assert f"| chrF2 | {scores[0]['scores'][1][1]:.2f} |" in card
    page = (finished / "report.html").read_text("utf-8")
    for text in ("How good it is", "How it learned", "What it learned from", "What it said on the way", "[training]"):
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


def test_what_was_interrupted_at_the_end_is_made_up_for(finished: Path, tmp_path: Path) -> None:
    """The card is what a run leaves last: without it, the rest may be missing too."""
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    for lost in (run / "scores.json", run / "report.html", run / "model" / "README.md"):
        lost.unlink()
    assert resume(run) == 0
    assert (run / "scores.json").read_bytes() == (finished / "scores.json").read_bytes()
    assert (run / "report.html").exists()
    assert (run / "model" / "README.md").exists()


def test_scores_that_cannot_be_had_are_an_error_where_they_are_asked_for(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / "data" / "dev-0.jsonl").unlink()
    with pytest.raises(UserError, match=r"dev-0\.jsonl"):
        report(run, score=True)


def test_held_out_pairs_are_scored_as_they_were(finished: Path) -> None:
    """Not as the tokenizer gives them back: that is without what placeholders stand for."""
    rows = [json.loads(line) for line in (finished / "data" / "dev-0.jsonl").read_bytes().split(b"\n")[:-1]]
    assert len(rows) == 10
    source = (finished.parent / "a.src").read_text("utf-8").split("\n")
    assert all(row["source"] in source for row in rows)


def test_an_unfinished_run_has_a_page_but_no_scores(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run, ignore=shutil.ignore_patterns("model", "scores.json"))
    assert report(run)
    assert "A translator in training" in (run / "report.html").read_text("utf-8")
    with pytest.raises(UserError, match="not finished"):
        report(run, score=True)
