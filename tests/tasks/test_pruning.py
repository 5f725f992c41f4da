"""`heedful prune` for models of other tasks than translation."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from heedful.config import parse_recipe
from heedful.errors import UserError
from heedful.model.heads import Labels
from heedful.model.pruning import attentions
from heedful.tasks import pruning
from heedful.tasks.classify import load
from heedful.tasks.looking import encoding
from heedful.tasks.looking.examples import Files
from heedful.tasks.looking.reading import Asked
from heedful.tasks.pruning import prune
from heedful.tasks.runs import train

from .looking import tiny
from .test_classify import finished as finished  # a fixture
from .test_classify import write_corpus


def files(folder: Path) -> Files:
    return Files([write_corpus(folder)], 100)


def test_a_classifier_without_half_of_its_heads_is_a_classifier(finished: Path, tmp_path: Path) -> None:
    told = "\n".join(prune(finished, files(tmp_path), 0.5, tmp_path / "small"))
    whole, small = load(finished), load(tmp_path / "small")
    heads = [sum(attend.heads for _, attend in attentions(one.model.plan)) for one in (whole, small)]
    assert heads[1] == heads[0] // 2
    assert f"heads {heads[0]} -> {heads[1]}, parameters" in told
    assert re.search(r"^loss \d+\.\d+ -> \d+\.\d+$", told, re.M)
    assert re.search(r"^accuracy [\d.]+%? -> [\d.]+%?$", told, re.M)
    kept = json.loads((tmp_path / "small" / "config.json").read_bytes())["pruned"]
    assert sum(map(len, kept.values())) < sum(attend.heads for _, attend in attentions(whole.model.plan))
    assert small.labels == whole.labels
    assert small.classify(["x y z"])[0].label in small.labels


def test_the_first_pass_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny.of("classify")
    row = encoding.classified(made, Asked(("the fox",))).rows[0]
    given = [(row.inputs, {"label": Labels(torch.tensor([0]))})]
    events: list[str] = []
    clock, forward = time.monotonic, type(made.model).forward

    def passed(*arguments: Any, **options: Any) -> Any:
        events.append("pass")
        return forward(*arguments, **options)

    monkeypatch.setattr(type(made.model), "forward", passed)

    def told() -> float:
        events.append("clock")
        return clock()

    monkeypatch.setattr(time, "monotonic", told)
    found = pruning._measured(made.model, given)
    assert events == ["pass", "clock", "pass", "clock"]
    chance = dict(made.classify(["the fox"])[0].chances)[made.labels[0]]
    assert found.loss == pytest.approx(-np.log(chance), rel=1e-4)


def test_training_goes_on_from_it(finished: Path, tmp_path: Path) -> None:
    list(prune(finished, files(tmp_path), 0.5, tmp_path / "small"))
    sets = [f'data.train=["{tmp_path / "a.tsv"}"]', f'training.start="{tmp_path / "small"}"', "training.steps=3"]
    assert train(parse_recipe({"task": "classify"}, [*sets, "training.batch_tokens=256"]), tmp_path / "more") == 0
    assert dict(attentions(load(tmp_path / "more").model.plan)) == dict(attentions(load(tmp_path / "small").model.plan))


def test_what_cannot_be_is_told_and_nothing_is_left(finished: Path, tmp_path: Path) -> None:
    given = files(tmp_path)
    with pytest.raises(UserError, match="more than 0 and less than 1"):
        next(prune(finished, given, 1.0, tmp_path / "small"))
    with pytest.raises(UserError, match="exists already"):
        next(prune(finished, given, 0.5, tmp_path))
    with pytest.raises(UserError, match="no head can go"):
        list(prune(finished, given, 0.01, tmp_path / "small"))
    assert not (tmp_path / "small").exists()
    assert not list(tmp_path.glob(".tmp-*"))
