"""`heedful check`: what it finds, what it says, how it ends; and what training then makes of the same files."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from heedful.config import parse_recipe
from heedful.data.parallel import prepare
from heedful.data.selection import read_accounts
from heedful.errors import UserError, visible
from heedful.model import hardware
from heedful.tasks.runs import train
from heedful.tasks.translate import load
from heedful.tasks.translate import trial as trial_module
from heedful.tasks.translate.check import Report, check
from heedful.tasks.translate.check_text import text_of
from heedful.tasks.translate.task import Translation

from .stopping import same_bits_after_a_stop

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
SMALL = [
    "tokenizer.size=400", "model.preset=transformer-tiny", "model.width=32", "model.feedforward=64",
    "training.processes=1", "training.threads=1", "training.batch_tokens=256", "training.steps=40", "training.warmup=5",
]  # fmt: skip


def write(path: Path, pairs: list[tuple[str, str]]) -> str:
    path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs), "utf-8")
    return str(path)


def good(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Pairs that no rule finds fault with; all are different."""
    chance, found = random.Random(seed), dict[str, str]()
    while len(found) < count:
        words = [chance.choice(WORDS) for _ in range(chance.randint(4, 7))]
        found[" ".join(words)] = " ".join(words[::-1]) + "."
    return list(found.items())


def of(*settings: str) -> Report:
    return check(parse_recipe({}, [*SMALL, *settings]))


@pytest.fixture(autouse=True, scope="module")
def unprobed() -> Iterator[None]:
    """No fifth of a second for timing kernels at every check."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(hardware.SWITCH, "off")
        yield


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "heedful.cli", *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, list[str]]:
    folder = tmp_path_factory.mktemp("messy")
    pairs = good(200)
    dirt = [pairs[0], ("", "x"), ("same words", "same words"), ("Кот спит тут", pairs[3][1]), ("page 1", "page 2")]
    settings = [
        f'data.pairs=["{write(folder / "a.tsv", pairs + dirt)}"]',
        f'data.dev_pairs=["{write(folder / "d.tsv", [*good(150, 1), *pairs[5:6], (pairs[6][0], "other one")])}"]',
        f'data.test_pairs=["{write(folder / "t.tsv", good(20, 2))}"]',
    ]
    return of(*settings), settings


def test_a_report_counts(messy: tuple[Report, list[str]]) -> None:
    report, _ = messy
    train, dev, test = report.corpora
    assert [(one.name, one.pairs) for one in report.corpora] == [("train-0", 205), ("dev-0", 152), ("test-0", 20)]
    assert (train.duplicates, train.empty) == (1, 1)
    assert set(train.source.scripts) == {"LATIN", "CYRILLIC"}
    assert dev.overlap is not None
    assert test.overlap is not None
    assert (dev.overlap.pairs, dev.overlap.sources, test.overlap.pairs) == (1, 1, 0)
    (cleaned,) = report.cleaning
    assert {rule.rule: rule.count for rule in cleaned.rules} == {"empty": 1, "leaks": 1, "duplicates": 1}
    others = {rule.rule: rule.count for rule in cleaned.others if rule.count}
    assert others == {"copies": 1, "script": 1, "numbers": 1}
    assert report.problems == []
    assert any("1 of 152 pairs are also in the training files; training leaves them out" in n for n in report.notes)


def test_training_decides_as_check_does(messy: tuple[Report, list[str]], tmp_path: Path) -> None:
    report, settings = messy
    prepare(parse_recipe({}, [*SMALL, *settings]), tmp_path)
    account = read_accounts(tmp_path)[0]
    (cleaned,) = report.cleaning
    assert (account.read, account.kept) == (cleaned.read, cleaned.kept)
    assert [rule for rule in account.rules if rule.rule != "long"] == cleaned.rules


def test_a_batch_is_tried(messy: tuple[Report, list[str]]) -> None:
    trial = messy[0].trial
    assert trial is not None
    assert trial.exact
    assert trial.sampled == 202
    assert 0 < trial.loss < 20
    assert trial.largest_target_tokens <= 256
    assert trial.parameters > 10_000
    assert trial.checkpoint == 12 * trial.parameters
    assert 0 < trial.memory < 2**40
    assert trial.epoch_seconds > 0
    assert trial.steps == 40
    assert trial.epochs == pytest.approx(40 / trial.steps_an_epoch)


def test_the_trial_counts_batches_as_training_does(messy: tuple[Report, list[str]], tmp_path: Path) -> None:
    report, settings = messy
    recipe = parse_recipe({}, [*SMALL, *settings])
    prepare(recipe, tmp_path)
    task = Translation(recipe, tmp_path, torch.device("cpu"))
    assert report.trial is not None
    assert len(task.micro_batches(0)) == report.trial.micro_batches


def test_of_a_large_corpus_a_sample_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = [f'data.pairs=["{write(tmp_path / "a.tsv", good(900))}"]', "data.hold_out=100"]
    whole = of(*settings).trial
    monkeypatch.setattr(trial_module, "SAMPLE", 250)
    part = of(*settings).trial
    assert whole is not None
    assert part is not None
    assert (whole.sampled, part.sampled, part.exact) == (800, 200, False)
    assert part.micro_batches == pytest.approx(whole.micro_batches, rel=0.2)
    assert part.shards == pytest.approx(whole.shards, rel=0.3)
    assert any("one pair in 4" in assumption for assumption in part.assumptions)


def test_several_languages_and_weights(tmp_path: Path) -> None:
    files = [write(tmp_path / name, good(60, seed)) for seed, name in enumerate(("de.tsv", "fr.tsv"))]
    report = of(f"data.pairs={json.dumps(files)}", 'data.tags=["de", "fr"]', "data.temperature=5.0", "data.hold_out=5")
    assert [(one.name, one.tag) for one in report.corpora] == [("train-0", "de"), ("train-1", "fr")]
    assert [one.held_out for one in report.cleaning] == [5, 5]
    assert report.trial is not None


def test_leaks_that_are_trained_on_are_a_problem(tmp_path: Path) -> None:
    pairs = good(400)
    settings = [
        f'data.pairs=["{write(tmp_path / "a.tsv", pairs)}"]',
        f'data.dev_pairs=["{write(tmp_path / "d.tsv", [*good(200, 1), pairs[1]])}"]',
    ]
    assert of(*settings).problems == []
    (problem,) = of(*settings, "cleaning.leaks=false").problems
    assert "dev-0: 1 of 201 pairs are also in the training files and trained on" in problem
    write(tmp_path / "d.tsv", pairs[:4])
    (problem,) = of(*settings).problems
    assert "4 of 4 pairs are also in the training files (100.0 %): divide them anew" in problem


def test_much_left_out_is_a_problem(tmp_path: Path) -> None:
    pairs = good(70)
    file = write(tmp_path / "a.tsv", pairs + pairs[:30])
    (problem,) = of(f'data.pairs=["{file}"]').problems
    assert "30 of 100 pairs (30.0 %) are left out, most as 30 duplicates" in problem


@pytest.mark.parametrize("pairs", [[], [("", "")], [("a", "b")], [("a", "")] * 9])
def test_nothing_left_is_a_problem(tmp_path: Path, pairs: list[tuple[str, str]]) -> None:
    report = of(f'data.pairs=["{write(tmp_path / "a.tsv", pairs)}"]')
    assert report.trial is None
    assert "nothing is left to train on" in report.problems[0]
    assert "PROBLEM: " in text_of(report)


def test_sources_that_may_be_held_out_and_trained_on_are_noted(tmp_path: Path) -> None:
    pairs = [(source, target + tail) for source, target in good(50) for tail in ("", " Ja.")]
    file = write(tmp_path / "a.tsv", pairs)
    assert any("50 sources are there more than once" in note for note in of(f'data.pairs=["{file}"]').notes)
    assert not any("more than once" in note for note in of(f'data.pairs=["{file}"]', "cleaning.same_source=true").notes)


def test_notes_on_the_run(tmp_path: Path) -> None:
    file = write(tmp_path / "a.tsv", good(400))
    notes = of(f'data.pairs=["{file}"]', "training.steps=2", "training.warmup=100").notes
    assert any("training.warmup = 100 steps of about 2" in note for note in notes)
    assert any(note.startswith("the run sees about") for note in notes)


def test_the_text_says_it_all(messy: tuple[Report, list[str]]) -> None:
    text = text_of(messy[0])
    for words in (
        "train-0: 205 pairs", "1 duplicates (0.5 %), 1 with an empty side", "source: Latin ", "Cyrillic",
        "words       mean ", "also in training: 1 pairs (0.7 %), and the source alone of 1 more (0.7 %)",
        "1 in another script  (cleaning.script)", "Кот спит тут", "a.tsv:204", "one batch tried: ", "no problem found",
        "an epoch: ", "assumed for memory",
    ):  # fmt: skip
        assert words in text


def test_a_terminal_obeys_nothing_in_the_text() -> None:
    assert visible("a\x1b[31m\u202eb\u2028c\td é日") == r"a\u{1b}[31m\u{202e}b\u{2028}c\u{9}d é日"
    assert visible("x" * 50, 10) == "x" * 9 + "…"


HOSTILE = [
    "\x00", "\ufeffx", "a\u2028b", "\u202eabc", "x" * 1_000_000, "\u0301" * 1000, "", " ", "\x1b[2J", "9" * 9999,
    "\U0010ffff", "\r", "a\rb", "<pad> </s>", "\u00ad",
]  # fmt: skip


def test_hostile_text_ends_in_a_report(tmp_path: Path) -> None:
    pairs = [(text, "one two") for text in HOSTILE] + [("one two", text) for text in HOSTILE] + good(60)
    report = of(f'data.pairs=["{write(tmp_path / "a.tsv", pairs)}"]')
    text = text_of(report)
    assert not {"\x00", "\x1b", "\u202e", "\u2028", "\r"} & set(text)
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report
    assert report.cleaning[0].read == len(pairs)


def test_random_bytes_are_one_line_or_a_report(tmp_path: Path) -> None:
    chance = random.Random(1)
    alphabet = [b"\n", b"\t", b"a", b" ", "é".encode(), b"\x00", b"\r", "\u2028".encode(), b"\xff", "猫".encode()]
    file = tmp_path / "a.tsv"
    for _ in range(40):
        file.write_bytes(b"".join(chance.choices(alphabet, [3, 3, 9, 3, 3, 1, 1, 1, 0.01, 3], k=chance.randint(0, 60))))
        try:
            told = text_of(of(f'data.pairs=["{file}"]'))
        except UserError as error:
            told = str(error) * ("\n" not in str(error))
        assert told


def test_the_command_as_text_and_as_json(tmp_path: Path) -> None:
    pairs = good(80)
    files = ["--pairs", write(tmp_path / "a.tsv", pairs), "--dev-pairs", write(tmp_path / "d.tsv", good(40, 1))]
    options = [part for setting in SMALL for part in ("--set", setting)]
    done = run("check", *files, *options)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"no problem found" in done.stdout
    leaky = [*files, "--test-pairs", write(tmp_path / "t.tsv", pairs[:9])]
    done = run("check", *leaky, *options, "--json")
    assert (done.returncode, done.stderr) == (1, b"")
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["corpora"][2]["overlap"]["pairs"] == 9
    assert report["problems"]
    ascii_only = run("check", *leaky, *options, PYTHONIOENCODING="ascii")
    assert (ascii_only.returncode, ascii_only.stderr) == (1, b"")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no training data"),
        (["none.toml"], "none.toml: cannot be read"),
        (["--pairs", "none.tsv"], "none.tsv: no such file"),
        (["--languages", "de,fr", "--pairs", "none.tsv"], "2 languages for 1 files"),
        (["--set", "cleaning.duplicate=true"], "did you mean 'duplicates'?"),
    ],
)
def test_a_mistake_of_the_user_is_one_line_and_exit_code_2(arguments: list[str], words: str) -> None:
    done = run("check", *arguments)
    assert done.returncode == 2
    assert words in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_init_writes_a_recipe_once(tmp_path: Path) -> None:
    out = tmp_path / "r.toml"
    file = write(tmp_path / "a.tsv", good(60))
    done = run("init", "translate", "-o", str(out), "--pairs", file, "--for", "5m", "--languages", "de")
    assert done.returncode == 0
    written = out.read_bytes()
    assert f'pairs = ["{file}"]' in written.decode()
    again = run("init", "translate", "-o", str(out))
    assert again.returncode == 2
    assert b"exists already" in again.stderr
    assert out.read_bytes() == written
    shown = run("init", "translate", "-o", "-")
    assert shown.stdout.startswith(b"# A recipe of heedful.")


@pytest.mark.parametrize("mix", ["data.weights=[1.0, 0.4]", "data.temperature=3.0"])
def test_a_mixed_run_resumes_to_the_same_bits(tmp_path: Path, mix: str) -> None:
    files = [write(tmp_path / name, good(count, count)) for name, count in (("de.tsv", 90), ("fr.tsv", 40))]
    settings = [*SMALL, f"data.pairs={json.dumps(files)}", 'data.tags=["de", "fr"]', mix, "training.save_every=5"]
    recipe = parse_recipe({}, [*settings, "training.steps=20", "training.validate_every=10"])
    same_bits_after_a_stop(lambda out: train(recipe, out), tmp_path, Translation, "collate", 13)
    lines = [json.loads(line) for line in (tmp_path / "whole" / "journal.jsonl").read_text("utf-8").split("\n") if line]
    validation = next(line for line in lines if line["kind"] == "validation")
    assert {"loss", "accuracy", "loss.de", "loss.fr"} <= set(validation)


def test_the_command_trains_several_languages(tmp_path: Path) -> None:
    pairs = good(60)
    for name, side in (("en", 0), ("de", 1), ("fr", 1)):
        (tmp_path / f"t.{name}").write_text("".join(pair[side] + "\n" for pair in pairs), "utf-8")
    options = [part for setting in SMALL for part in ("--set", setting)]
    files = ["--source", f"{tmp_path}/t.en", "--target", f"fr={tmp_path}/t.fr", "--target", f"de={tmp_path}/t.de"]
    done = run(
        "train", "translate", "--languages", "de,fr", *files, "--out", str(tmp_path / "run"), *options, "--steps", "2"
    )
    assert done.returncode == 0, done.stderr
    assert b"data: fr 57 pairs to train on" in done.stderr
    assert load(tmp_path / "run").tags == ("fr", "de")
