"""Language models from plain text: what is chosen, that runs resume to the bit, and what a run leaves."""

from __future__ import annotations

import hashlib
import json
import math
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

import heedful
from heedful.config import parse_recipe
from heedful.errors import UserError
from heedful.tasks import write
from heedful.tasks.runs import resume, train
from heedful.tasks.write import Writer
from heedful.train import loop
from heedful.train.run import Run

from .texts import recipe, verses


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("write")
    assert train(recipe(folder, steps=150), folder / "run") == 0
    return folder / "run"


def weights(run: Path) -> str:
    return hashlib.sha256((run / "model" / "model.safetensors").read_bytes()).hexdigest()


def journal(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "journal.jsonl").read_text("utf-8").split("\n") if line]


def test_it_learns_and_says_how_well(run: Path) -> None:
    validations = [line for line in journal(run) if line["kind"] == "validation"]
    first, last = validations[0], validations[-1]
    assert last["loss"] < 0.75 * first["loss"]
    text = verses(300)
    dev = text[int(len(text) * 0.9) :]
    predictions = len(heedful.load(run).tokenizer.encode(dev)) + 1
    assert last["loss.character"] == pytest.approx(last["loss"] * predictions / len(dev))
    assert last["bits.byte"] == pytest.approx(last["loss"] * predictions / len(dev.encode()) / math.log(2))
    assert (run / "report.html").exists()
    assert "perplexity, word" in (run / "model" / "README.md").read_text("utf-8")
    scored = json.loads((run / "scores.json").read_text("utf-8"))
    assert float(scored[0]["scores"][0][1]) < last["loss"]  # a window that slides has more before each token


def test_samples_go_on_with_held_out_text(run: Path) -> None:
    samples = [line["samples"] for line in journal(run) if line["kind"] == "validation"][-1]
    assert samples
    dev = verses(300)[int(len(verses(300)) * 0.9) :]
    for sample in samples:
        assert sample["source"] + sample["reference"] in dev
        assert sample["output"]


def test_the_dev_share_is_the_last_tenth_and_is_never_trained_on(run: Path) -> None:
    text = verses(300)
    opened = Run.open(run)
    parts = write.task.read_parts(opened.recipe, prose=True)
    assert parts.train + parts.dev == [text[: int(len(text) * 0.9)], text[int(len(text) * 0.9) :]]


def test_stopped_and_resumed_gives_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 24
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    assert train(recipe(tmp_path, steps=steps), tmp_path / "whole") == 0
    told = loop.Loop._tell

    def stop(self: Any, votes: Any, line: dict[str, float]) -> None:
        told(self, votes, line)
        if self.state.step in (7, 15):
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(loop.Loop, "_tell", stop)
        assert train(recipe(tmp_path, steps=steps), tmp_path / "parts") == 128 + signal.SIGTERM
        assert resume(tmp_path / "parts") == 128 + signal.SIGTERM
    assert resume(tmp_path / "parts") == 0
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")


def test_every_epoch_is_cut_elsewhere_and_sees_all(run: Path) -> None:
    opened = Run.open(run)
    learning = write.build(opened.recipe, opened.data, torch.device("cpu"))
    seen = []
    for epoch in (0, 1):
        said: list[int] = []
        firsts = []
        for pieces in learning.micro_batches(epoch):
            batch = learning.collate(pieces, epoch)
            assert batch.tokens == len(batch.labels["next_token"].ids) <= opened.recipe.training.batch_tokens
            said += batch.labels["next_token"].ids.tolist()
            given = batch.inputs["text"]
            assert given.layout.longest <= opened.recipe.data.longest
            firsts.append(given.ids[torch.from_numpy(given.layout.starts)].tolist())
        seen.append((sorted(said), sorted(firsts)))
    assert seen[0][0] == seen[1][0]
    assert seen[0][1] != seen[1][1]
    again = write.build(opened.recipe, opened.data, torch.device("cpu"))
    assert [list(map(int, one)) for one in again.micro_batches(1)] == [
        list(map(int, one)) for one in learning.micro_batches(1)
    ]


def test_what_is_read_is_what_is_said_one_later(run: Path) -> None:
    opened = Run.open(run)
    learning = write.build(opened.recipe, opened.data, torch.device("cpu"))
    batch = learning.collate(learning.micro_batches(0)[0], 0)
    layout, read, said = batch.inputs["text"].layout, batch.inputs["text"].ids, batch.labels["next_token"].ids
    for start, length in zip(layout.starts, layout.lengths, strict=True):
        assert read[start + 1 : start + length].tolist() == said[start : start + length - 1].tolist()


def test_the_tokenizer_grows_with_the_text_and_positions_with_the_context(tmp_path: Path) -> None:
    small, large = tmp_path / "small.txt", tmp_path / "large.txt"
    small.write_text("a b c\n" * 100)
    large.write_text("a b c d e f g\n" * 40_000)
    for file, size in ((small, 1000), (large, 2000)):
        given = parse_recipe({"task": "write"}, [f'data.train=["{file}"]', "data.longest=100"])
        found = write.complete(given)
        assert found.tokenizer.size == size
        assert found.model["capacity"] == 100
        assert found.training.limit
    with pytest.raises(UserError, match=r"50 learned positions.*data.longest = 100"):
        write.complete(
            parse_recipe({"task": "write"}, [f'data.train=["{small}"]', "data.longest=100", "model.capacity=50"])
        )


def test_a_model_of_characters_has_no_more_entries_than_it_needs(tmp_path: Path) -> None:
    given = write.complete(recipe(tmp_path, "tokenizer.size=2000", kind="characters", count=20))
    (said,) = [line for line in write.prepare(given, tmp_path / "data") if line.startswith("train")]
    tokenizer = heedful.Tokenizer.load(tmp_path / "data" / "tokenizer.json")
    letters = len(set(verses(20)[: int(len(verses(20)) * 0.9)]))
    assert letters + 260 <= tokenizer.vocab_size <= letters + 261  # with byte tokens and controls
    assert "characters" in said


@pytest.mark.parametrize("how", ["paragraph", "line"])
def test_documents_that_are_short_stay_apart(tmp_path: Path, how: str) -> None:
    (tmp_path / "a.txt").write_text("one two\nthree\n\nfour five\nsix\n\n" * 30, "utf-8")
    given = parse_recipe(
        {"task": "write"},
        [f'data.train=["{tmp_path}/a.txt"]', f"data.documents={how}", "tokenizer.size=300", "training.steps=1"],
    )
    given = write.complete(given)
    write.prepare(given, tmp_path / "data")
    learning = write.build(given, tmp_path / "data", torch.device("cpu"))
    starts, start = 0, heedful.Tokenizer.load(tmp_path / "data" / "tokenizer.json").start
    for pieces in learning.micro_batches(0):
        given_ids = learning.collate(pieces, 0).inputs["text"]
        firsts = given_ids.ids[torch.from_numpy(given_ids.layout.starts)]
        assert set(firsts.tolist()) == {start}
        starts += len(firsts)
    assert starts == {"paragraph": 54, "line": 108}[how]


def test_a_run_goes_on_from_a_finished_model(run: Path, tmp_path: Path) -> None:
    given = parse_recipe(
        {"task": "write"},
        [
            f'data.train=["{run.parent}/verses.txt"]', f"training.start={run}", "data.longest=32", "training.steps=2",
            "training.rate=1e-6", "training.processes=1", "training.threads=1", "training.precision=fp32",
        ],
    )  # fmt: skip
    assert train(given, tmp_path / "on") == 0
    before = [line for line in journal(run) if line["kind"] == "validation"][-1]
    after = [line for line in journal(tmp_path / "on") if line["kind"] == "validation"][-1]
    assert after["loss"] == pytest.approx(before["loss"], rel=0.01)


def test_without_enough_text_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "e.txt").write_text("\n\n")
    given = parse_recipe({"task": "write"}, [f'data.train=["{tmp_path}/e.txt"]', "training.steps=1"])
    with pytest.raises(UserError, match=r"e\.txt: no text"):
        train(given, tmp_path / "run")
    with pytest.raises(UserError, match="--train"):
        train(parse_recipe({"task": "write"}), tmp_path / "run2")


def test_a_writer_is_of_writing_only(run: Path, tmp_path: Path) -> None:
    assert isinstance(heedful.load(run), Writer)
    config = json.loads((run / "model" / "config.json").read_text("utf-8"))
    assert config["context"] == 32
    assert config["documents"] == "file"
