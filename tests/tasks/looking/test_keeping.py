"""The heads that a report has chosen are shown first by every look after it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from heedful.tasks.looking import calling, look
from heedful.tasks.looking.keeping import FILE, Kept, kept

from . import tiny
from .test_heads import write_examples


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> Path:
    """A run of an asker, to be written to."""
    shutil.copytree(folder / "asks", tmp_path / "asks")
    return tmp_path / "asks"


def report(run: Path, folder: Path, capsys: pytest.CaptureFixture[str], most: int = 20) -> str:
    import io

    files = write_examples(folder)
    text = files["ask"].read_text("utf-8").split("\n")
    files["ask"].write_text("\n".join([text[0], *text[1:3] * 10, ""]), "utf-8")
    calling.report(calling.Shown(None, False), run, [files["ask"]], {"most": most}, None, io.BytesIO())
    return capsys.readouterr().err


def test_they_are_kept_and_shown(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert kept(run / "model") == Kept()
    assert "are kept in" in report(run, tmp_path, capsys)
    found = kept(run / "model")
    assert found.examples == 20
    ((name, heads),) = found.best.items()  # of both directions, the head that tells most
    assert name in ("text.picture", "picture.text")
    # Another choice than one example would make is followed, and said.
    told = json.loads((run / "model" / FILE).read_bytes())
    layer = 1 - heads[0][0]
    told["best"] = {name: [[layer, 1]]}
    (run / "model" / FILE).write_text(json.dumps(told))
    record = look(run, "where is it ?", picture=tiny.picture(tmp_path)).record
    view = next(view for view in record.views if view.name == "best")
    assert view.kind == name
    np.testing.assert_array_equal(view.weights, record.kind(name).layers[layer].weights[1])
    assert "over 20 examples" in view.note
    assert record.best == {name: [(layer, 1)]}


def test_few_examples_choose_nothing(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "are kept" not in report(run, tmp_path, capsys, most=19)
    assert not (run / "model" / FILE).exists()


@pytest.mark.parametrize("content", [b"", b"{", b'{"weights": "0"}', b'{"best": {"a": 3}}', b"\xff"])
def test_what_is_damaged_or_of_another_model_is_left_alone(run: Path, content: bytes) -> None:
    (run / "model" / FILE).write_bytes(content)
    assert kept(run / "model") == Kept()


def test_a_head_that_is_not_there_is_not_shown(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report(run, tmp_path, capsys)
    told = json.loads((run / "model" / FILE).read_bytes())
    told["best"] = {"text.picture": [[9, 0]]}
    (run / "model" / FILE).write_text(json.dumps(told))
    record = look(run, "where is it ?", picture=tiny.picture(tmp_path)).record
    assert "on this one alone" in next(view for view in record.views if view.name == "best").note
