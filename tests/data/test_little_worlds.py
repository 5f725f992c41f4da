"""The generated questions: answers are where they are said to be, and what dev asks is nowhere in training."""

from __future__ import annotations

import random
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from heedful.data.questions import Question, read_questions

SCRIPT = Path(__file__).parents[2] / "recipes" / "little_worlds.py"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("worlds")
    script = runpy.run_path(str(SCRIPT))
    script["main"](folder, train=400, dev=60)
    for name in ("train", "dev"):
        script[f"{name} questions"] = read_questions(folder / "little-worlds" / f"{name}.json")
    return script


def told(text: str, relations: dict[str, Any]) -> set[tuple[str, str]]:
    """The pairs of person and relation in a context or a question."""
    found = set()
    for relation, (facts, ways, _) in relations.items():
        for pattern in (*facts, *ways):
            shape = re.escape(pattern).replace(r"\{who\}", r"(?P<who>[A-Z]\w+)").replace(r"\{what\}", r"[\w ]+")
            found |= {(one["who"], relation) for one in re.finditer(shape, text) if "who" in one.groupdict()}
    return found


def test_what_dev_asks_is_nowhere_in_training(made: dict[str, Any]) -> None:
    relations = made["RELATIONS"]
    known, held = made["pairs"](random.Random(1))
    assert not set(known) & set(held)
    seen = {pair for one in made["train questions"] for pair in told(f"{one.context} {one.question}", relations)}
    assert seen == set(known)
    asked: list[Question] = [one for one in made["dev questions"] if told(one.question, relations)]
    assert len(asked) > 50
    assert all(told(one.question, relations) <= set(held) for one in asked)


def test_a_relation_alone_gives_no_answer_away(made: dict[str, Any]) -> None:
    questions: list[Question] = made["train questions"]
    assert all(one.answers and one.placed == one.answers for one in questions), "every answer is at its place"
    pairs = [told(one.context, made["RELATIONS"]) for one in questions]
    crowded = [len({relation for _, relation in some}) < len(some) for some in pairs]
    assert sum(crowded) / len(crowded) > 0.6, "a relation of several people in the same context"
