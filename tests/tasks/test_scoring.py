"""Scores of given pairs are those that decoding gives its own answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heedful.errors import UserError
from heedful.tasks.translate import Translator
from heedful.tasks.translate.scoring import score_files

from .toy import WORDS


def test_own_answers_have_their_own_scores(finished: Path, translator: Translator, tmp_path: Path) -> None:
    source, target = tmp_path / "s", tmp_path / "t"
    tokenizer = translator.tokenizers["target"]
    texts = [f"{one} {other}" for one in WORDS for other in WORDS[:3]]
    found = dict(zip(texts, translator.answer(texts), strict=True))
    # A model may spell a word in other pieces than the tokenizer; a text that is given is spelt by the tokenizer.
    usual = {text: one for text, one in found.items() if tokenizer.encode(one.text) == one.pieces[0].hypothesis.ids}
    assert len(usual) > 5
    sources, answers = list(usual), list(usual.values())
    source.write_text("\n".join(sources) + "\n")
    target.write_text("\n".join(answer.text for answer in answers) + "\n")
    rows = [line.split("\t") for line in score_files([finished], source, target, None, False)]
    for row, answer in zip(rows, answers, strict=True):
        assert float(row[1]) == pytest.approx(answer.logprob, abs=1e-3)
        assert float(row[0]) == pytest.approx(answer.logprob / int(row[2]), abs=1e-3)
    objects = [json.loads(line) for line in score_files([finished], source, target, None, True)]
    assert [one["target"] for one in objects] == [answer.text for answer in answers]
    assert objects[0]["sum"] == pytest.approx(sum(score for _, score in objects[0]["tokens"]), abs=1e-4)


def test_files_of_unequal_length_are_refused(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("a\nb\n")
    (tmp_path / "t").write_text("a\n")
    with pytest.raises(UserError, match="ends after 1 lines"):
        list(score_files([finished], tmp_path / "s", tmp_path / "t", None, False))
    with pytest.raises(UserError, match="no such file"):
        list(score_files([finished], tmp_path / "s", tmp_path / "none", None, False))
