"""Questions made from plain text: the answer is where it is said to be, and what is asked has a gap in its place."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

from heedful.data.questions import read_questions

SCRIPT = Path(__file__).parents[2] / "recipes" / "cloze.py"
TEXT = (
    "In the old harbour of Porto a keeper called Maria Lopes lit 24 lamps every evening of the winter . Her brother , "
    "who had come back from Lisbon in 1911 , painted the tower again and again with <unk> and a little white paint . "
    "She kept an account of all ships with care , and the well @-@ known book is now shown in the museum of Braga .\n"
)


def test_answers_are_taken_out_and_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = runpy.run_path(str(SCRIPT))
    (tmp_path / "a.txt").write_text(f" = A heading = \n {TEXT}" * 60, "utf-8")
    monkeypatch.setattr(sys, "argv", ["cloze.py", str(tmp_path), "--text", str(tmp_path / "a.txt")])
    script["main"]()
    parts = {name: read_questions(tmp_path / f"{name}.json") for name in ("train", "dev")}
    assert {name: len({one.context for one in found}) for name, found in parts.items()} == {"train": 1, "dev": 1}
    answers = {answer.text for one in parts["train"] for answer in one.answers}
    assert answers == {"Porto", "Maria Lopes", "24", "Lisbon", "1911", "Braga"}
    for one in parts["train"]:
        (answer,) = one.answers
        assert one.context[answer.start : answer.start + len(answer.text)] == answer.text
        assert answer.text not in one.question
        assert one.question.endswith("?")
    assert "well-known book" in parts["dev"][0].context
    assert "<unk>" not in parts["dev"][0].context
    before = (tmp_path / "train.json").read_bytes()
    script["main"]()
    assert (tmp_path / "train.json").read_bytes() == before
    assert len(json.loads(before)["data"]) == 58
