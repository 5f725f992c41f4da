"""Masked pretraining: it learns, resumes to the same bits, and fills in words; text never becomes a mask."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

import heedful
from heedful.cli import main
from heedful.config import parse_recipe
from heedful.errors import UserError
from heedful.tasks import finding
from heedful.tasks.fill import Filler, load
from heedful.tasks.learning import Learning
from heedful.tasks.runs import report, train

from .stopping import same_bits_after_a_stop
from .toy import WORDS

# Where a token is from another is seen at once: what comes next is learned in a hundred steps.
EASY = ("training.precision=fp32", "model.positions=rotary")


def write_text(folder: Path, lines: int = 300) -> Path:
    """Lines of words of which each says what comes next."""
    file = folder / "a.txt"
    texts = (" ".join(WORDS[(line * 7 + place) % 10] for place in range(3 + line % 12)) for line in range(lines))
    file.write_text("".join(f"{text}.\n" for text in texts), "utf-8")
    return file


def settings(file: Path, *more: str) -> list[str]:
    return [
        f'data.train=["{file}"]', "data.longest=24", "tokenizer.size=400", "model.width=48", "model.feedforward=96",
        "model.layers=2", "model.heads=4", "training.processes=1", "training.threads=1", "training.batch_tokens=512",
        "training.warmup=20", "training.rate=5e-3", "training.validate_every=50", "training.save_every=5", *more,
    ]  # fmt: skip


def run(out: Path, *given: str) -> Path:
    assert train(parse_recipe({"task": "fill"}, list(given)), out) == 0
    return out


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's folder; not to be changed."""
    folder = tmp_path_factory.mktemp("fill")
    return run(folder / "run", *settings(write_text(folder), "training.steps=120", *EASY))


@pytest.fixture(scope="module")
def filler(pretrained: Path) -> Filler:
    return load(pretrained)


def test_it_learns_to_fill_in(filler: Filler) -> None:
    found = filler.fill("alpha beta [MASK] delta epsilon.")
    assert found.text == "alpha beta gamma delta epsilon."
    (guesses,) = found.masks
    assert (guesses[0].text, len(guesses)) == ("gamma", 5)
    assert guesses[0].probability > 0.5
    assert [one.probability for one in guesses] == sorted((one.probability for one in guesses), reverse=True)
    several = filler.fill("[MASK] beta gamma delta [MASK] zeta.", best=1)
    assert several.text == "alpha beta gamma delta epsilon zeta."
    assert filler.fill("eta theta ___ kappa.", word="___").text == "eta theta iota kappa."


def test_text_around_stays_and_a_mask_ends_where_the_text_goes_on(filler: Filler) -> None:
    found = filler.fill("zeta  eta\u00a0theta [MASK]s [MASK].")
    assert found.text.startswith("zeta  eta\u00a0theta ")
    assert found.text.endswith(".")
    begins, goes_on = filler.fill("alpha [MASK]").masks[0], filler.fill("alpha be[MASK]").masks[0]
    ids = filler.tokenizer.ids
    assert all(f"▁{one.text}" in ids for one in begins)
    assert all(one.text in ids or len(one.text) == 1 for one in goes_on)


def test_many_texts_are_as_each_alone(filler: Filler) -> None:
    texts = ["beta [MASK] delta", "no mask", "", "eta [MASK] iota kappa alpha beta gamma", "[MASK]", "a [MASK] " * 40]
    for text, found in zip(texts, filler.fill_many(texts, best=3), strict=True):
        (alone,) = filler.fill_many([text], best=3)
        assert found.text == alone.text
        chances = [[one.probability for one in few] for few in (*found.masks, *alone.masks)]
        assert torch.allclose(*torch.tensor(chances).reshape(2, -1, 3)) if "[MASK]" in text else not chances


def test_texts_longer_than_a_row_are_read_around_the_mask(filler: Filler) -> None:
    text = " ".join(WORDS * 10)
    found = filler.fill(text.replace("zeta", "[MASK]", 3)).text.split(" ")
    assert sum(one != other for one, other in zip(found, text.split(" "), strict=True)) <= 1
    with pytest.raises(UserError, match=r"no \[MASK\] in the text"):
        filler.fill("nothing to do")


def test_only_a_prompt_makes_masks(tmp_path: Path, filler: Filler) -> None:
    """The word in training text, and the token's own name in a prompt, are text like any other."""
    mask = filler.tokenizer.tag("<mask>")
    for text in ("a [MASK] b", "a <mask> b", " <mask>", "</s>"):
        assert not {0, 1, 2, mask} & set(filler.tokenizer.encode(text))
    assert filler.fill("alpha <mask> [MASK]").text.startswith("alpha <mask> ")


def shell(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["heedful", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_commands(
    pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    model = ("-m", str(pretrained))
    assert shell(monkeypatch, "fill", "alpha [MASK] gamma", "eta [MASK] [MASK]", "--best", "2", *model) == 0
    lines = capfd.readouterr().out.split("\n")
    assert (lines[0], lines[1].split()[1]) == ("alpha beta gamma", "beta")
    assert [line for line in lines if line.startswith("mask")] == ["mask 1", "mask 2"]
    text = "alpha [MASK] gamma\nno mask\n\nzeta [MASK] theta"
    filled = "alpha beta gamma\nno mask\n\nzeta eta theta"
    file = tmp_path / "a.txt"
    file.write_text(text)
    assert shell(monkeypatch, "fill", "--file", str(file), *model) == 0
    assert capfd.readouterr().out == filled
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert shell(monkeypatch, "fill", "--json", *model) == 0
    told = [json.loads(line) for line in capfd.readouterr().out.split("\n")]
    assert [one["text"] for one in told] == filled.split("\n")
    assert told[0]["masks"][0][0]["text"] == "beta"
    for arguments, said in (
        (("nothing",), "no [MASK] in the text"),
        (("x", "--file", "y"), "not both"),
        (("--file", "nowhere"), "nowhere: cannot be opened"),
        (("x", "--mask", ""), "is empty"),
    ):
        assert shell(monkeypatch, "fill", *arguments, *model) == 2
        error = capfd.readouterr().err.split("\n")
        assert said in error[0]
        assert len(error) == 2


@pytest.mark.parametrize("extra", [(), ("masking.next_sentence=true", "training.precision=bf16")])
def test_stopped_and_resumed_is_the_same_run(tmp_path: Path, extra: tuple[str, ...]) -> None:
    given = settings(write_text(tmp_path, 60), "training.steps=23", "data.documents=paragraph", *extra)
    same_bits_after_a_stop(lambda out: run(out, *given), tmp_path, Learning, "collate", 13)


def test_next_sentence(tmp_path: Path) -> None:
    """Passages that follow are told from others where lines count on; both losses count as means."""
    file = tmp_path / "a.txt"
    texts = (" ".join([WORDS[line % 10]] * (8 + line % 5)) for line in range(400))  # a line repeats one word
    file.write_text("".join(f"{text}\n" for text in texts))
    steady = ("training.precision=fp32", "model.place=pre", "model.dropout=0.0", "model.attention_dropout=0.0")
    given = settings(file, "training.steps=150", "masking.next_sentence=true", *steady)
    out = run(tmp_path / "run", *given)
    assert sorted(load(out).model.heads) == ["masked_token", "next_sentence"]
    scores = json.loads((out / "scores.json").read_bytes())[0]["figures"]
    assert scores["next_accuracy"] > 0.8
    found = finding.evaluate(out, [file])
    assert "next sentence" in found.text


def test_a_finished_run_tells_of_itself(pretrained: Path, tmp_path: Path) -> None:
    (measured,) = json.loads((pretrained / "scores.json").read_bytes())
    assert measured["figures"]["accuracy"] > 0.5
    assert measured["figures"]["pseudo_perplexity"] < 10
    journal = [json.loads(line) for line in (pretrained / "journal.jsonl").read_bytes().split(b"\n")[:-1]]
    samples = [line["samples"] for line in journal if line["kind"] == "validation"]
    assert all("[MASK]" in one["source"] and one["reference"] for one in samples[-1])
    assert any(one["output"] == one["reference"] for one in samples[-1])
    assert "How good it is" in (pretrained / "report.html").read_text("utf-8")
    assert "| masked loss |" in (pretrained / "model" / "README.md").read_text("utf-8")
    again = tmp_path / "run"
    shutil.copytree(pretrained, again)
    (again / "scores.json").unlink()
    assert report(again, score=True)[-1] == f"report: {again / 'report.html'}"
    figures = json.loads((again / "scores.json").read_bytes())[0]["figures"]
    assert figures == pytest.approx(measured["figures"], rel=1e-4)


def test_evaluate_on_files(pretrained: Path, tmp_path: Path) -> None:
    file, empty = tmp_path / "b.txt", tmp_path / "c.txt"
    file.write_text("alpha beta gamma delta epsilon zeta.\n\nsome quite other words stand here\n")
    empty.write_text("\n \n")
    found = finding.evaluate(pretrained, [file])
    assert found.figures["documents"] == 2
    assert 0 < found.figures["loss"] < 20
    assert "pseudo-perplexity" in found.text
    with pytest.raises(UserError, match="no text"):
        finding.evaluate(pretrained, [empty])


def test_go_on_from_a_model(pretrained: Path, tmp_path: Path) -> None:
    given = settings(write_text(tmp_path), "training.steps=1", f"training.start={pretrained}", "training.warmup=1")
    given = [one for one in given if not one.startswith("model.")]
    began = run(tmp_path / "more", *given)
    loss = json.loads((began / "scores.json").read_bytes())[0]["figures"]["loss"]
    assert loss < 2
    with pytest.raises(UserError, match="no head 'next_sentence'"):
        run(tmp_path / "other", *given, "masking.next_sentence=true")


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("data.longest=4", "needs 5 or more"),
        ("data.longest=1000", "learned positions"),
        ("masking.share=1.5", "masking.share = 1.5 is outside"),
        ("model.pool=false", "leave model.pool on"),
        ('data.fields=["nothing"]', "there is no column 'nothing'"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, setting: str, told: str) -> None:
    file = tmp_path / "a.tsv"
    file.write_text("sentence\tlabel\nalpha beta\t1\ngamma delta\t0\n")
    given = [*settings(file), "masking.next_sentence=true", "training.steps=1", setting]
    with pytest.raises(UserError, match=told):
        run(tmp_path / "run", *given)
    assert not (tmp_path / "run" / "run.json").exists()


def test_columns_are_documents(tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    file.write_text("sentence\tlabel\n" + "alpha beta gamma\tzzz\n" * 20)
    out = run(tmp_path / "run", *settings(file, "training.steps=1", 'data.fields=["sentence"]'))
    texts = load(out)
    assert "z" not in "".join(texts.tokenizer.pieces(range(5 + 256, texts.tokenizer.vocab_size)))


def test_an_edited_model_is_refused(pretrained: Path, tmp_path: Path) -> None:
    for key, value in (("longest", 10**6), ("longest", "x"), ("masking", {"share": "much"})):
        folder = tmp_path / f"{key}-{value!s:.4}"
        shutil.copytree(pretrained / "model", folder)
        config = json.loads((folder / "config.json").read_bytes())
        config[key] = value
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(UserError, match=r"config\.json"):
            heedful.load(folder)
