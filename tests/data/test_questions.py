"""Questions in SQuAD's forms; what is malformed is told with its place."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from heedful.data.questions import Answer, Question, hold_out, read_questions
from heedful.errors import UserError

CONTEXT = "Ada lives in Oslo.\r\nBo, in Köln 😀 now."


def squad(**changes: Any) -> dict[str, Any]:
    asked = {
        "id": "q1",
        "question": "Where does Ada live?",
        "answers": [{"text": "Oslo", "answer_start": 13}],
    } | changes
    return {"version": "1.1", "data": [{"title": "T", "paragraphs": [{"context": CONTEXT, "qas": [asked]}]}]}


def write(folder: Path, tree: Any, name: str = "q.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(tree), "utf-8")
    return path


def test_squads_json(tmp_path: Path) -> None:
    (found,) = read_questions(write(tmp_path, squad()))
    assert found == Question("q1", "Where does Ada live?", CONTEXT, (Answer("Oslo", 13),), "T")
    assert CONTEXT[found.answers[0].start : found.answers[0].end] == "Oslo"


def test_packed_and_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "q.json.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + json.dumps(squad()).encode()))
    assert len(read_questions(path)) == 1
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"q\.json\.gz: damaged gzip file"):
        read_questions(path)


def test_impossible_questions_have_no_answer(tmp_path: Path) -> None:
    for tree in (squad(answers=[]), squad(is_impossible=True), squad(answers=None)):
        (found,) = read_questions(write(tmp_path, tree))
        assert found.answers == ()
        assert not found.wrong


def test_jsonl_as_lists_or_columns(tmp_path: Path) -> None:
    one = {"question": "Who?", "context": CONTEXT, "answers": [{"text": "Ada", "answer_start": 0}]}
    two = {"id": 7, "question": "Who?", "context": CONTEXT, "answers": {"text": ["Bo"], "answer_start": [20]}}
    three = {"question": "Why?", "context": CONTEXT}
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in (one, two, three)), "utf-8")
    found = read_questions(path)
    assert [(one.id, [answer.text for answer in one.answers]) for one in found] == [
        ("1", ["Ada"]),
        ("7", ["Bo"]),
        ("3", []),
    ]


def test_an_answer_that_is_elsewhere_is_told_and_only_scored(tmp_path: Path) -> None:
    answers = [
        {"text": "Oslo", "answer_start": 12},
        {"text": "Oslo", "answer_start": -5},
        {"text": " ", "answer_start": 3},
    ]
    told: list[tuple[str, str, str]] = []
    (found,) = read_questions(write(tmp_path, squad(answers=answers)), lambda *one: told.append(one))
    assert found.answers == (Answer("Oslo", -1),)
    assert found.placed == ()
    assert found.wrong
    assert [why for why, _, _ in told] == ["an answer that is not at its answer_start"] * 2 + ["an answer without text"]
    assert 'q.json: data[0].paragraphs[0].qas[0] (id "q1")' in told[0][1]
    assert "'Oslo', but character 12 begins ' Oslo." in told[0][2]


def test_without_answers_they_are_not_looked_at(tmp_path: Path) -> None:
    (found,) = read_questions(write(tmp_path, squad(answers="none of your business")), answers=False)
    assert found.answers == ()


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ([], r'there is no "data" \(\[\]\)'),
        ({"data": {}}, r'"data" is \{\}, not a list'),
        ({"data": [1]}, r'data\[0\]: there is no "paragraphs"'),
        ({"data": [{"paragraphs": [{"qas": []}]}]}, r'data\[0\]\.paragraphs\[0\]: there is no "context"'),
        (squad(id=3), r'qas\[0\]: "id" is 3, not a text'),
        (squad(question=None), r'"question" is None, not a text'),
        (squad(answers=3), r'"answers" is 3, not a list'),
        (squad(answers=["Oslo"]), r"there is no \"text\" \('Oslo'\)"),
        (squad(answers=[{"text": "Oslo"}]), r'"answer_start" is None, not a number'),
        (squad(answers=[{"text": "Oslo", "answer_start": True}]), r'"answer_start" is True, not a number'),
        (squad(answers={"text": ["a"], "answer_start": []}), "has not as many texts as places"),
    ],
)
def test_other_forms_are_told_with_their_place(tmp_path: Path, tree: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        read_questions(write(tmp_path, tree))


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff{}", b"[" * 100_000])
def test_what_is_not_json(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "q.json"
    path.write_bytes(raw)
    with pytest.raises(UserError, match=r"q\.json: is not JSON"):
        read_questions(path)


def test_what_cannot_be_told_apart_or_read(tmp_path: Path) -> None:
    tree = squad()
    tree["data"] *= 2
    with pytest.raises(UserError, match=r'data\[1\].*the id "q1" was there before'):
        read_questions(write(tmp_path, tree))
    with pytest.raises(UserError, match=r"questions are read from \.json"):
        read_questions(write(tmp_path, squad(), "q.txt"))
    with pytest.raises(UserError, match="cannot be read"):
        read_questions(tmp_path / "none.json")


def test_whole_articles_are_held_out() -> None:
    questions = [Question(str(n), "?", f"c{n}", (), f"article {n // 10}") for n in range(100)]
    train, dev = hold_out(questions, 0.2)
    assert len(dev) == 20
    assert {one.article for one in dev}.isdisjoint(one.article for one in train)
    contexts = [Question(str(n), "?", f"c{n // 2}") for n in range(6)]
    train, dev = hold_out(contexts, 0.01)
    assert [one.context for one in dev] == ["c2", "c2"], "at least one context"
    train, dev = hold_out(questions[:10], 0.1)
    assert [one.context for one in dev] == ["c9"], "a single article is parted between contexts"
    assert hold_out(contexts[:2], 0.5) == (contexts[:2], [])
