"""Classification from files to answers, on a toy: a text is good if it has more good words than bad ones."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from heedful.config import parse_recipe
from heedful.errors import UserError
from heedful.tasks import learning
from heedful.tasks.classify import Classifier, build, evaluate, load, write_report
from heedful.tasks.classify.calling import Asked, classify_lines
from heedful.tasks.classify.preparing import table_of
from heedful.tasks.runs import train
from heedful.train.run import Run

from .stopping import same_bits_after_a_stop

GOOD, BAD = ["fine", "lovely", "great", "bright"], ["dull", "poor", "awful", "grim"]
SMALL = [
    "model.preset=bert-tiny", "model.width=32", "model.layers=1", "model.feedforward=32", "model.dropout=0.1",
    "tokenizer.size=400", "training.processes=1", "training.threads=1", "training.batch_tokens=256",
    "training.rate=1e-2", "training.warmup=5", "training.validate_every=10", "training.save_every=5",
    "training.precision=fp32",
]  # fmt: skip


def lines(count: int = 300, seed: int = 0) -> list[tuple[str, int, int]]:
    """Texts, with how many good and bad words they have; never as many."""
    drawn, found = random.Random(seed), []
    while len(found) < count:
        words = [drawn.choice(GOOD + BAD + ["film", "a", "the"]) for _ in range(drawn.randint(1, 7))]
        good, bad = (sum(word in kind for word in words) for kind in (GOOD, BAD))
        if good != bad:
            found.append((" ".join(words), good, bad))
    return found


def write_corpus(folder: Path) -> Path:
    path = folder / "a.tsv"
    path.write_text("".join(f"{text}\t{'pos' if good > bad else 'neg'}\n" for text, good, bad in lines()), "utf-8")
    return path


def run(folder: Path, settings: list[str], steps: int = 40, out: str = "run") -> Path:
    path = folder / out
    assert train(parse_recipe({"task": "classify"}, [*SMALL, *settings, f"training.steps={steps}"]), path) == 0
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classify")
    return run(folder, [f'data.train=["{write_corpus(folder)}"]', 'card.name="Good or bad"'])


@pytest.fixture(scope="module")
def classifier(finished: Path) -> Classifier:
    return load(finished)


def test_it_learns_and_answers_in_order(classifier: Classifier) -> None:
    new = lines(100, seed=9)
    found = classifier.classify([text for text, _, _ in new])
    assert (
        sum(one.label == ("pos" if good > bad else "neg") for one, (_, good, bad) in zip(found, new, strict=True)) > 90
    )
    assert all(abs(sum(one.chances.values()) - 1) < 1e-6 for one in found)
    assert classifier.classify([new[5][0]])[0].chances["pos"] == pytest.approx(found[5].chances["pos"], abs=1e-5)
    assert classifier.classify([]) == []
    assert classifier.classify(["", "x " * 500, "</s> [MASK] \0 \u2028"])[0].label in ("neg", "pos")


def test_what_is_trained_on_is_what_is_answered(finished: Path, classifier: Classifier) -> None:
    """The rows of training are those of prediction."""
    from heedful.data.labelled import Example
    from heedful.data.spelled import Words
    from heedful.tasks.examples import opened

    tokenizer = classifier.tokenizer
    opened_again = opened(finished / "data", "dev", Run.open(finished).recipe, tokenizer)
    texts = [json.loads(line)["texts"] for line in (finished / "data" / "dev.jsonl").read_text().split("\n") if line]
    words = Words(tokenizer)
    table, _ = table_of([Example(tuple(text), "", "") for text in texts], words, 128)
    from heedful.data.spelled import Spelled

    own, other = (
        opened_again.rows(np.arange(len(texts))),
        Spelled(table, words.spellings(), tokenizer, 128).rows(np.arange(len(texts))),
    )
    assert own.ids.tolist() == other.ids.tolist()
    wanted = [1, *classifier.tokenizer.encode(texts[0][0]), 2]
    assert own.ids[: len(wanted)].tolist() == wanted


def test_a_run_leaves_scores_page_and_card(finished: Path) -> None:
    (scores,) = json.loads((finished / "scores.json").read_text())
    assert {metric: score for metric, score, _ in scores["scores"]}["accuracy"] > 0.9
    page = (finished / "report.html").read_text()
    for wanted in ("What is taken for what", "Label by label", "How sure it is", "calibration", "label pos"):
        assert wanted in page
    card = (finished / "model" / "README.md").read_text()
    assert "heedful classify -m MODEL" in card
    assert "neg, pos" in card
    assert write_report(Run.open(finished)).exists()


def test_evaluate_scores_files_and_refuses_unknown_labels(classifier: Classifier, tmp_path: Path) -> None:
    file = tmp_path / "b.tsv"
    file.write_text("fine great film\tpos\nawful\tneg\ngrim dull\tpos\n")
    found = evaluate(classifier, [file])
    assert "66.67" in found.text
    assert found.figures["table"] == [[1, 0], [1, 1]]
    assert "grim dull" in found.page
    file.write_text("fine\tpos\nso so\tmiddling\n")
    with pytest.raises(UserError, match=r"b\.tsv:2: the label 'middling' is not one of training's: neg, pos"):
        evaluate(classifier, [file])
    file.write_text("")
    with pytest.raises(UserError, match="no examples"):
        evaluate(classifier, [file])


def call(model: Path, content: bytes, **asked: Any) -> list[str]:
    out = io.BytesIO()
    classify_lines(Asked(model, **{"best": 1, "as_json": False, **asked}), [], io.BytesIO(content), out)
    return out.getvalue().decode().split("\n")


def test_lines_in_are_lines_out(finished: Path) -> None:
    content = b"fine great film\n\nawful\xff\n" + "y\u2028x".encode() + b"\nlast"
    found = call(finished, content)
    assert len(found) == 5
    assert found[0].split("\t")[0] == "pos"
    assert found[1] == ""
    assert 0.5 <= float(found[0].split("\t")[1]) <= 1
    best = call(finished, b"great\n", best=2)[0].split("\t")
    assert [best[0], best[2]] == ["pos", "neg"]
    told = json.loads(call(finished, b"great\n", as_json=True)[0])
    assert told["labels"] == ["pos"]
    assert set(told["probabilities"]) == {"neg", "pos"}


def test_records_are_read_by_their_fields(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "great"}\n{"text": "awful"}\n')
    (tmp_path / "b.csv").write_text('id,review\n1,"fine, great"\n')
    (tmp_path / "c.txt").write_text("grim")
    out = io.BytesIO()
    asked = Asked(finished, 1, False)
    classify_lines(asked, [tmp_path / "a.jsonl", tmp_path / "c.txt", tmp_path / "a.jsonl"], None, out)
    assert [line.split("\t")[0] for line in out.getvalue().decode().split("\n")] == [
        "pos",
        "neg",
        "neg",
        "pos",
        "neg",
        "",
    ]
    out = io.BytesIO()
    classify_lines(Asked(finished, 1, False, ("review",)), [tmp_path / "b.csv"], None, out)
    assert out.getvalue().startswith(b"pos\t")
    with pytest.raises(UserError, match="there is no column 'nothing'"):
        classify_lines(Asked(finished, 1, False, ("nothing",)), [tmp_path / "b.csv"], None, out)
    with pytest.raises(UserError, match="cannot be opened"):
        classify_lines(asked, [tmp_path / "d.txt"], None, out)


def test_stopped_and_resumed_is_the_same_run(tmp_path: Path) -> None:
    settings = [
        f'data.train=["{write_corpus(tmp_path)}"]', "tokenizer.sampling=0.2", "training.token_dropout=0.2",
        "training.r_drop=1.0", "training.ema=0.9",
    ]  # fmt: skip
    train_in = lambda out: run(tmp_path, settings, 20, out.name)
    same_bits_after_a_stop(train_in, tmp_path, learning.Learning, "collate", 13)


def test_several_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    made = [{"text": t, "label": ["good"] * (g > 0) + ["bad"] * (b > 0)} for t, g, b in lines()]
    made += [
        {"text": f"{one} film {other}", "label": []} for one in ("a", "the", "film") for other in ("a", "the", "")
    ] * 8
    path.write_text("".join(json.dumps(one) + "\n" for one in made))
    found = load(run(tmp_path, [f'data.train=["{path}"]', "data.labels=several", "training.final=last"], 100))
    answers = found.classify(["fine grim", "fine", "the film"])
    assert [set(one.labels) for one in answers] == [{"good", "bad"}, {"good"}, set()]
    assert answers[0].label in ("bad,good", "good,bad")
    assert "micro F1" in (tmp_path / "run" / "report.html").read_text()


def test_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "".join(f"{text},{100 + 10 * (good - bad)}\n" for text, good, bad in lines()))
    found = load(run(tmp_path, [f'data.train=["{path}"]', "data.labels=number"], 60))
    low, high = found.classify(["grim awful dull poor", "fine great lovely"])
    assert low.value is not None
    assert high.value is not None
    assert 50 < low.value < 90 < 115 < high.value < 150
    assert high.label == f"{high.value:.6g}"
    assert "Pearson" in (tmp_path / "run" / "report.html").read_text()
    assert Run.open(tmp_path / "run").recipe.training.metric == "correlation"


def test_pairs_and_from_a_pretrained_model(tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("".join(f"{one}\n" for one, _, _ in lines()))
    fill = parse_recipe({"task": "fill"}, [*SMALL, f'data.train=["{text}"]', "training.steps=5", "data.longest=32"])
    assert train(fill, tmp_path / "fill") == 0
    path, drawn = tmp_path / "a.tsv", random.Random(3)
    words = [(drawn.choice(GOOD), drawn.choice(GOOD + BAD)) for _ in range(200)]
    path.write_text("".join(f"{a}\t{b}\t{'same' if b in GOOD else 'other'}\n" for a, b in words))
    settings = [f'data.train=["{path}"]', 'data.fields=["1","2","3"]', f"training.start={tmp_path}/fill"]
    base = [one for one in SMALL if not one.startswith(("model.", "tokenizer.size"))]
    recipe = parse_recipe({"task": "classify"}, [*base, *settings, "model.dropout=0.0", "training.steps=40"])
    assert train(recipe, tmp_path / "run") == 0
    found = load(tmp_path / "run")
    assert found.pairs
    assert found.model.plan.stream("text").embedding.dropout == 0.0
    assert [one.label for one in found.classify([("fine", "great"), ("fine", "grim")])] == ["same", "other"]
    assert call(tmp_path / "run", b"fine\tgreat\n\nfine\tgrim\n")[1] == ""
    with pytest.raises(UserError, match="is no pair"):
        call(tmp_path / "run", b"fine great\n")
    with pytest.raises(UserError, match="reads pairs"):
        found.classify(["fine"])
    with pytest.raises(UserError, match=r"but for dropout: leave --preset, model\.width, .* out"):
        train(parse_recipe({"task": "classify"}, [*SMALL, *settings, "training.steps=2"]), tmp_path / "other")


def test_a_pair_that_is_too_long_loses_the_end_of_the_longer_text(classifier: Classifier) -> None:
    from heedful.data.labelled import Example
    from heedful.data.spelled import Words

    words = Words(classifier.tokenizer)
    rows = [Example(("fine " * 30, "grim"), "", ""), Example(("grim", "fine " * 30), "", "")]
    rows.append(Example(("fine " * 30, "grim " * 30), "", ""))
    table, cut = table_of(rows, words, 16)
    assert cut == 3
    names = {number: word for word, number in words.numbers.items()}
    said = ["".join(names[n] for n in table.row("word", row)) for row in range(3)]
    assert said[0].endswith("</s>▁grim </s>")
    assert said[1].startswith(" <s>▁grim </s>▁fine▁fine")
    assert (said[2].count("▁fine"), said[2].count("▁grim")) == (6, 7)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["data.labels=number"], r"a\.tsv:1: '...' is not a number"),
        (["data.labels=several", "training.r_drop=1.0"], "r_drop is for data.labels = 'one'"),
        (["training.metric=recall"], "it is one of loss, accuracy, f1"),
        (["data.dev_share=0.0"], "change it, or give --dev FILE"),
        (['data.fields=["x","y"]'], "there is no column 'x'"),
        (['data.fields=["1","1","2"]', "model.segments=0"], "pairs of texts need 2"),
        (["tokenizer.size=17"], "is below"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path: Path, settings: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as told:
        run(tmp_path, [f'data.train=["{write_corpus(tmp_path)}"]', *settings], 2)
    assert "\n" not in str(told.value)


def test_an_unknown_label_of_the_dev_file_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "d.tsv").write_text("fine\tpos\nfine\tgut\n")
    with pytest.raises(UserError, match=r"d\.tsv:2: the label 'gut' is not one of training's: neg, pos"):
        run(tmp_path, [f'data.train=["{write_corpus(tmp_path)}"]', f'data.dev=["{tmp_path}/d.tsv"]'], 2)
    (tmp_path / "e.tsv").write_text("".join(f"fine {n}\tpos\n" for n in range(40)))
    with pytest.raises(UserError, match="the only label is pos"):
        run(tmp_path, [f'data.train=["{tmp_path}/e.tsv"]'], 2)


@pytest.mark.parametrize("given", ["one", [None], [b"a"], [["a", "b"]]])
def test_what_is_no_list_of_texts_is_refused(classifier: Classifier, given: Any) -> None:
    with pytest.raises(UserError, match=r"takes a list|text 0 is"):
        classifier.classify(given)


def test_an_edited_config_is_refused(finished: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(finished / "model", tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    tree = json.loads(config.read_bytes())
    del tree["seal"]
    for change in ({"labels": ["x"]}, {"kind": "mood"}, {"labels": None}):
        config.write_text(json.dumps({**tree, "answers": {**tree["answers"], **change}}))
        with pytest.raises(UserError, match=r"config\.json"):
            load(tmp_path / "model")


def test_training_rows_follow_the_epoch(tmp_path: Path) -> None:
    settings = [f'data.train=["{write_corpus(tmp_path)}"]', "training.token_dropout=0.3"]
    found = Run.open(run(tmp_path, settings, 2))
    task = build(found.recipe, found.data, torch.device("cpu"))
    batch = task.micro_batches(0)[0]
    one, again, other = (task.collate(batch, epoch).inputs["text"].ids for epoch in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
