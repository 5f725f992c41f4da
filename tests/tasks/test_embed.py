"""Text vectors: pairs learn to be alike, resume to the same bits; vectors and search from Python and the shell."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from heedful.cli import main
from heedful.config import parse_recipe
from heedful.errors import UserError
from heedful.tasks import finding
from heedful.tasks.embed import Embedder, load
from heedful.tasks.learning import Learning
from heedful.tasks.runs import train

from .stopping import same_bits_after_a_stop
from .toy import WORDS

OTHERS = ["eins", "zwei", "drei", "vier", "funf", "sechs", "sieben", "acht", "neun", "zehn"]


def write_pairs(folder: Path, count: int = 300) -> Path:
    """Two words, and the same two of another language in any order."""
    file = folder / "a.tsv"
    drawn = np.random.default_rng(0).integers(0, 10, (count, 2))
    rows = (f"{WORDS[one]} {WORDS[two]}\t{OTHERS[max(one, two)]} {OTHERS[min(one, two)]}\n" for one, two in drawn)
    file.write_text("".join(rows), "utf-8")
    return file


def settings(file: Path, *more: str) -> list[str]:
    return [
        f'data.train=["{file}"]', "data.longest=16", "tokenizer.size=400", "model.width=32", "model.feedforward=64",
        "model.layers=1", "model.heads=2", "training.processes=1", "training.threads=1", "training.batch_tokens=300",
        "training.warmup=10", "training.rate=1e-2", "training.validate_every=40", "training.save_every=5", *more,
    ]  # fmt: skip


def run(out: Path, *given: str) -> Path:
    assert train(parse_recipe({"task": "embed"}, list(given)), out) == 0
    return out


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's folder; not to be changed."""
    folder = tmp_path_factory.mktemp("embed")
    return run(folder / "run", *settings(write_pairs(folder), "training.steps=120", "training.precision=fp32"))


@pytest.fixture(scope="module")
def embedder(trained: Path) -> Embedder:
    return load(trained)


def test_it_learns_what_means_the_same(trained: Path, embedder: Embedder) -> None:
    figures = json.loads((trained / "scores.json").read_bytes())[0]["figures"]
    assert figures["recall5_there"] > 0.8
    (hits,) = embedder.search(["alpha beta"], ["zehn neun", "zwei eins", "", "sechs vier"], best=2)
    assert (hits[0].number, len(hits)) == (1, 2)
    assert hits[0].score > hits[1].score


def test_vectors_are_of_length_one_and_each_texts_own(embedder: Embedder) -> None:
    texts = ["alpha", "beta gamma delta " * 50, "", "zwei eins", "alpha"]
    found = embedder.embed(texts)
    assert (found.shape, found.dtype) == ((5, 32), np.float32)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert np.allclose(found, np.concatenate([embedder.embed([text]) for text in texts]), atol=1e-5)
    assert embedder.embed([]).shape == (0, 32)
    assert embedder.search(["alpha"], []) == [[]]
    with pytest.raises(UserError, match="vectors of 32 numbers"):
        embedder.search(["alpha"], np.zeros((3, 5), np.float32))


def test_stopped_and_resumed_is_the_same_run(tmp_path: Path) -> None:
    given = settings(write_pairs(tmp_path), "training.steps=20", "training.reads=first")
    same_bits_after_a_stop(lambda out: run(out, *given), tmp_path, Learning, "collate", 13)


def test_from_a_pretrained_encoder(tmp_path: Path) -> None:
    """The trunk is that of the model it starts from; the head is its own."""
    text, pairs = tmp_path / "a.txt", write_pairs(tmp_path)
    text.write_text("alpha beta gamma eins zwei drei\n" * 20)
    given = [one for one in settings(text) if "data.longest" not in one]
    recipe = parse_recipe({"task": "fill"}, [*given, "data.longest=16", "training.steps=1"])
    assert train(recipe, tmp_path / "fill") == 0
    own = [one for one in settings(pairs) if not one.startswith("model.")]
    more = ("training.steps=1", "training.rate=0.0", f"training.start={tmp_path / 'fill'}")
    found, start = load(run(tmp_path / "run", *own, *more)), finding.load(tmp_path / "fill")
    one, other = found.model.tensors(), start.model.tensors()
    shared = [name for name in one if name in other]
    assert len(shared) > 10
    assert all(torch.equal(one[name], other[name]) for name in shared)
    assert [name for name in one if name not in other] == ["heads.embedding.output.weight"]


def test_evaluate_on_files(trained: Path, tmp_path: Path) -> None:
    found = finding.evaluate(trained, [write_pairs(tmp_path, 50)])
    assert found.figures["pairs"] == 50
    assert found.figures["recall10_there"] > 0.8
    assert "recall at 10" in found.text
    assert ("What was found last" in found.page) == bool(found.figures["worst"])


def test_what_is_found_last_is_shown(trained: Path, tmp_path: Path) -> None:
    """Each text is given the partner of the next one, which comes late."""
    lines = write_pairs(tmp_path, 50).read_text().rstrip("\n").split("\n")
    first, second = zip(*(line.split("\t") for line in dict.fromkeys(lines)), strict=True)
    shifted = tmp_path / "shifted.tsv"
    shifted.write_text("".join(f"{one}\t{other}\n" for one, other in zip(first, second[1:] + second[:1], strict=True)))
    found = finding.evaluate(trained, [shifted])
    worst = found.figures["worst"]
    assert len(worst) > 10
    assert worst == sorted(worst, key=lambda one: -one["rank"])
    assert all(one["rank"] > 1 and one["found"] != one["partner"] for one in worst)
    assert "What was found last" in found.page
    (tmp_path / "b.tsv").write_text("")
    with pytest.raises(UserError, match="no pairs"):
        finding.evaluate(trained, [tmp_path / "b.tsv"])


def shell(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["heedful", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_commands(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    lines, array, table = tmp_path / "a.txt", tmp_path / "a.npy", tmp_path / "a.jsonl"
    lines.write_text("zehn neun\n\nzwei eins\n")
    model = ("-m", str(trained))
    for output in (array, table):
        assert shell(monkeypatch, "embed", str(lines), "-o", str(output), *model) == 0
    made = np.load(array, allow_pickle=False)
    rows = [json.loads(line) for line in table.read_text().split("\n")[:-1]]
    assert np.allclose(made, rows, atol=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "a.npy", "a.txt"]
    capfd.readouterr()
    for more in ((), ("--vectors", str(array))):
        assert shell(monkeypatch, "search", "alpha beta", "--in", str(lines), "--best", "5", *model, *more) == 0
        found = capfd.readouterr().out.split("\n")
        assert len(found) == 3  # two lines and the end: what is empty is not found
        assert found[0].endswith(f"{lines}:3  zwei eins")
    assert shell(monkeypatch, "search", "alpha", "--in", str(lines), "--json", *model) == 0
    assert json.loads(capfd.readouterr().out)["query"] == "alpha"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"alpha\n\xff\n")))
    assert shell(monkeypatch, "embed", *model) == 0
    assert len(capfd.readouterr().out.split("\n")) == 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("embed", "LINES", "-o", "x.txt"), "x.txt: vectors are written to .npy"),
        (("embed", "LINES", "-o", "LINES"), "vectors are written to .npy"),
        (("embed", "-o", "x.npy"), "name the FILE"),
        (("embed", "nothing.txt"), "nothing.txt: cannot be opened"),
        (("search", "x", "--in", "LINES", "--vectors", "LINES"), "not vectors that"),
        (("search", "x", "--in", "nothing.txt"), "nothing.txt"),
    ],
)
def test_mistakes_are_told(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    arguments: tuple[str, ...], told: str,
) -> None:  # fmt: skip
    lines = tmp_path / "a.txt"
    lines.write_text("alpha\n")
    monkeypatch.chdir(tmp_path)
    given = [str(lines) if one == "LINES" else one for one in arguments]
    assert shell(monkeypatch, *given, "-m", str(trained)) == 2
    error = capfd.readouterr().err.split("\n")
    assert told in error[0]
    assert len(error) == 2
