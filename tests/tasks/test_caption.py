"""Captions from files to what is written, on drawn squares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from heedful.cli import app
from heedful.config import parse_recipe
from heedful.data.captioned import read_captioned
from heedful.data.table import Table
from heedful.decode.engine import Decoded
from heedful.decode.options import Options
from heedful.errors import UserError
from heedful.model.plan import Patches
from heedful.tasks import caption as task
from heedful.tasks import finding
from heedful.tasks.caption import Captioner, load
from heedful.tasks.runs import report, train

from .squares import write_pairs

STEPS = ("training.steps=200", "training.validate_every=200")
OTHERS = ("model.co_", "model.picture_", "model.text_")


def settings_of(folder: Path) -> list[str]:
    kept = [one for one in write_pairs(folder) if not one.startswith(OTHERS)]
    return [*kept, "training.label_smoothing=0", "training.batch_tokens=400", "decoding.beam=2"]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captions")
    recipe = parse_recipe({"task": "caption"}, [*settings_of(folder), *STEPS])
    assert train(recipe, folder / "run") == 0
    return folder


@pytest.fixture(scope="module")
def captioner(given: Path) -> Captioner:
    return load(given / "run")


def test_it_learns_to_write(given: Path, captioner: Captioner) -> None:
    found = finding.evaluate(given / "run", [given / "dev.tsv"])
    assert found.figures["chrF2"] > 90
    assert found.page.count("<img") == found.figures["pictures"]  # fewer than a page shows
    page = (given / "run" / "report.html").read_text("utf-8")
    assert "<img" in page
    pairs = read_captioned(given / "dev.tsv")
    names = [str(given / pair.picture.name) for pair in pairs]
    written = captioner.caption(names)
    assert sum(text == pair.caption for text, pair in zip(written, pairs, strict=True)) >= 10
    assert captioner.caption(names[5:6]) == written[5:6]
    assert report(given / "run", score=True)
    assert report(given / "run")
    assert (given / "run" / "report.html").read_text("utf-8") == page


def test_the_command(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app(["caption", "-m", str(given / "run"), f"{given}/a.npz#0", f"{given}/a.npz#140"], standalone_mode=False)
    lines = capsys.readouterr().out.split("\n")
    assert len(lines) == 3
    assert lines[0].startswith("a red square")
    with pytest.raises(UserError, match=r"none\.png: no such picture"):
        load(given / "run").caption(["none.png"])


def test_what_is_read_and_what_is_said(given: Path) -> None:
    recipe = task.complete(parse_recipe({"task": "caption"}, [*settings_of(given), "training.steps=1"]))
    task.prepare(recipe, given / "data")
    learning = task.build(recipe, given / "data", torch.device("cpu"))
    assert isinstance(learning.model.plan.stream("source").embedding, Patches)
    batch = learning.collate(np.array([3, 70]), 0)
    row = Table.open(given / "data" / "pairs.safetensors").row("caption", 3)
    length = len(row) + 1
    assert batch.inputs["target"].ids[:length].tolist() == [1, *row]
    assert batch.labels["next_token"].ids[:length].tolist() == [*row, 2]
    assert batch.tokens == batch.inputs["target"].layout.tokens


def test_a_model_over_pictures_needs_a_reader(captioner: Captioner) -> None:
    with pytest.raises(AssertionError, match="reader"):
        Decoded(captioner.model, Options())


def test_features_are_not_captioned(given: Path) -> None:
    with pytest.raises(UserError, match=r"leave pictures\.features out"):
        task.complete(parse_recipe({"task": "caption"}, [*settings_of(given), "pictures.features=efficientnet-lite0"]))
