"""Text to text: an encoder-decoder that makes headlines of reports, told what to do by a prefix of its own."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from heedful.config import parse_recipe
from heedful.errors import UserError
from heedful.tasks import translate
from heedful.tasks.runs import train
from heedful.tasks.translate import Translator, load, load_all, together
from heedful.train.run import Run

PREFIX = "headline:"
PEOPLE = ["Anna", "Bob", "Carla", "Dan"]
DEEDS = ["wins", "leaves", "paints", "sells"]
THINGS = ["the race", "the town", "a boat", "two houses"]
ENDINGS = ["as neighbours said", "to general surprise", "in the morning", "after long talks"]


def reports(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Reports with their headlines: who did what, without when and how."""
    drawn = random.Random(seed)
    found = []
    for _ in range(count):
        who, does, what, how = (drawn.choice(some) for some in (PEOPLE, DEEDS, THINGS, ENDINGS))
        found.append((f"{how} yesterday , {who} {does} {what}", f"{who} {does} {what}"))
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prefix")
    (folder / "a.tsv").write_text("".join(f"{one}\t{other}\n" for one, other in reports(300)), "utf-8")
    settings = [
        f'data.pairs=["{folder}/a.tsv"]', f"data.prefix={PREFIX}", "tokenizer.size=400",
        "model.preset=transformer-tiny", "model.width=48", "model.feedforward=96", "model.dropout=0.0",
        "training.processes=1", "training.threads=1",
        "training.batch_tokens=256", "training.warmup=20", "training.rate=5e-3", "training.validate_every=75",
        "training.save_every=75", "training.steps=150", "cleaning.duplicates=false", "cleaning.leaks=false",
        "data.placeholders=0", "data.hold_out=20", "training.precision=fp32",
    ]  # fmt: skip
    assert train(parse_recipe({}, settings), folder / "run") == 0
    return folder / "run"


def test_training_and_use_read_the_same(run: Path) -> None:
    translator, opened = load(run), Run.open(run)
    task = translate.build(opened.recipe, opened.data, torch.device("cpu"))
    (sources,) = {part.before["source"] for part in task.corpus.parts}
    assert translator.tokenizers["source"].decode(sources) == PREFIX
    example = "in the morning yesterday , Anna wins the race"
    assert translator.encode(example)[: len(sources)] == list(sources)
    batch = task.collate(np.array([0, 1]), 0)
    layout, ids = batch.inputs["source"].layout, batch.inputs["source"].ids
    for start in layout.starts:
        assert ids[start : start + len(sources)].tolist() == list(sources)
    whole = translator.tokenizers["source"].encode(f"{PREFIX} {example}")
    assert translator.encode(example) == [*whole, translator.tokenizers["source"].end]


def test_it_makes_headlines(run: Path) -> None:
    found = reports(40, seed=9)
    answers = load(run).translate([report for report, _ in found])
    assert sum(answer == headline for answer, (_, headline) in zip(answers, found, strict=True)) >= 30


def test_without_its_prefix_the_model_reads_something_else(run: Path) -> None:
    own = load(run)
    bare = Translator(own.model, own.tokenizers, own.tags, own.decoding, seen=own.seen)
    assert (own.task, bare.task) == (PREFIX, "")
    tokenizer = own.tokenizers["source"]
    assert bare.encode("Anna") == [*tokenizer.encode("Anna"), tokenizer.end]


def test_models_of_several_tasks_do_not_decode_together(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(run / "model", other)
    config = json.loads((other / "config.json").read_text("utf-8"))
    del config["seal"]
    (other / "config.json").write_text(json.dumps({**config, "prefix": "title:"}), "utf-8")
    with pytest.raises(UserError, match="'title:'"):
        load_all([run, other])
    assert together([run, run]).task == PREFIX


def test_learned_positions_must_hold_the_prefix_too(run: Path) -> None:
    recipe = Run.open(run).recipe
    tree = {"data": {"pairs": list(recipe.data.pairs), "prefix": "a" * 50, "longest": 64}}
    settings = ["model.preset=transformer-tiny", "model.positions=learned", "model.capacity=100"]
    with pytest.raises(UserError, match="52 more"):
        translate.complete(parse_recipe(tree, settings))
