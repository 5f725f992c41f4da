"""Questions about pictures: reading, answers and their credit, two pictures side by side, runs, answers, bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import heedful
from heedful import UserError
from heedful.cli import app
from heedful.config import parse_recipe
from heedful.data.patches import boxes_of
from heedful.data.pictures import Reference
from heedful.model.embeddings import PatchInput
from heedful.model.layout import Layout
from heedful.tasks import finding
from heedful.tasks.ask import Asker
from heedful.tasks.ask import task as ask_task
from heedful.tasks.ask.batching import together
from heedful.tasks.ask.examples import Answers, Example, credits_of, read_examples
from heedful.tasks.ask.judging import judge, kind_of, mistakes, sections
from heedful.tasks.runs import report, train
from heedful.tasks.thumbnails import full_names, thumbnails

from .stopping import same_bits_after_a_stop

COLOURS = {"red": (250, 20, 20), "green": (20, 250, 20), "blue": (20, 20, 250)}


def write_data(folder: Path, name: str, count: int, seed: int, answer: str = "plain") -> Path:
    """Pictures of a colour, and whether they have it; `answer` says how answers are written."""
    drawn = np.random.default_rng(seed)
    pictures, rows = [], []
    for number in range(count):
        shown, asked = drawn.choice([*COLOURS], 2)
        if drawn.random() < 0.5:
            asked = shown
        noise = drawn.integers(-15, 16, (8, 8, 3))
        pictures.append(np.clip(np.array(COLOURS[str(shown)]) + noise, 0, 255))
        right = "yes" if shown == asked else "no"
        given: object = right if answer == "plain" else [right, right, right, "maybe"]
        rows.append({"picture": f"{name}.npy#{number}", "question": f"is it {asked}", "answer": given})
    np.save(folder / f"{name}.npy", np.array(pictures, np.uint8))
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def settings(train_file: Path, dev_file: Path, steps: int) -> list[str]:
    return [
        f'data.train=["{train_file}"]', f'data.dev=["{dev_file}"]', "pictures.size=[8,8]", "pictures.edge=4",
        "model.place=pre", "model.width=32", "model.picture_width=32", "model.co_width=32", "model.feedforward=64",
        "model.picture_feedforward=64", "model.layers=2", "model.picture_layers=2", "model.text_before=[1]",
        "model.picture_before=[1]", "model.dropout=0.0", "model.attention_dropout=0.0", "model.capacity=64",
        "tokenizer.size=300", f"training.steps={steps}", "training.rate=5e-3", "training.warmup=10",
        "training.batch_tokens=320", "training.processes=1", "training.threads=1", "training.precision=fp32",
        "training.validate_every=20", "training.save_every=7",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, and a run that has learned them."""
    made = tmp_path_factory.mktemp("ask")
    files = write_data(made, "train", 600, 1), write_data(made, "dev", 90, 2)
    recipe = parse_recipe({"task": "ask"}, settings(*files, steps=90))
    assert train(recipe, made / "run") == 0
    return made


@pytest.fixture(scope="module")
def asker(folder: Path) -> Asker:
    found = heedful.load(folder / "run")
    assert isinstance(found, Asker)
    return found


# ---- learning ------------------------------------------------------------------------------------------------------


def test_it_learns_and_says_how_well(folder: Path) -> None:
    found = finding.evaluate(folder / "run", [folder / "dev.jsonl"])
    assert found.figures["questions"] == 90
    assert found.figures["accuracy"] > 0.9
    assert "dev.jsonl: 90 questions" in found.text
    assert "<html" in found.page
    scores = json.loads((folder / "run" / "scores.json").read_text())
    assert scores[0]["rows"][0][0] == "accuracy, validation"
    page = (folder / "run" / "report.html").read_text()
    assert "By answer" in page
    assert (folder / "run" / "model" / "README.md").exists()
    assert report(folder / "run")[0].startswith("report: ")
    assert (folder / "run" / "report.html").read_text() == page


def test_mistakes_are_shown_with_their_pictures(folder: Path, asker: Asker) -> None:
    """What is right is asked as if it were wrong; of as many questions as there are, before a second of the same."""
    turned = {"yes": "no", "no": "yes"}
    examples = [
        Example(one.pictures, one.question, (turned[one.answers[0]],), one.where)
        for one in read_examples(folder / "dev.jsonl", (), several=False)
    ]
    found = mistakes(judge(asker, examples), asker.answers)
    assert {one.question for one in found.worst[:3]} == {f"is it {colour}" for colour in COLOURS}
    assert len(found.worst) == 20
    for one in found.worst:
        assert Path(one.pictures[0].rpartition("#")[0]).is_absolute()
        assert (one.said, one.known) == (turned[one.expected], True)
    assert sections(found)[-1].parts[0].count("<img") == 20
    gone = [Reference(f"{folder}/nowhere.png", ""), Reference("<b>", "")]
    assert thumbnails(full_names(gone)) == "nowhere.png &lt;b&gt;"


def test_an_answer_and_its_probability(folder: Path, asker: Asker) -> None:
    first = json.loads((folder / "dev.jsonl").read_text().split("\n")[0])
    found = asker.ask(folder / "dev.npy#0", first["question"])
    assert found.answer == first["answer"]
    assert found.probability == max(found.best.values())
    assert sum(found.best.values()) == pytest.approx(1.0, abs=1e-5)
    assert asker.ask(folder / "dev.npy#0", first["question"], best=1).best == {found.answer: found.probability}


def test_questions_together_and_alone(folder: Path, asker: Asker) -> None:
    asked = [(folder / f"dev.npy#{number % 7}", f"is it {colour}") for number, colour in enumerate([*COLOURS] * 5)]
    many = asker.ask_many(asked)
    for (picture, question), found in zip(asked, many, strict=True):
        assert asker.ask(picture, question).probability == pytest.approx(found.probability, abs=1e-5)


def test_stopped_and_resumed_is_the_same_run(folder: Path, tmp_path: Path) -> None:
    given = [*settings(folder / "train.jsonl", folder / "dev.jsonl", steps=20), "pictures.shift=1"]
    recipe = parse_recipe({"task": "ask"}, [*given, "model.dropout=0.1"])
    same_bits_after_a_stop(lambda out: train(recipe, out), tmp_path, ask_task, "labels_of", 16)


def test_several_annotators(tmp_path: Path) -> None:
    files = write_data(tmp_path, "train", 200, 3, "several"), write_data(tmp_path, "dev", 40, 4, "several")
    recipe = parse_recipe({"task": "ask"}, [*settings(*files, steps=60), 'data.labels="several"'])
    assert train(recipe, tmp_path / "run") == 0
    asker = heedful.load(tmp_path / "run")
    assert set(asker.answers.words) == {"maybe", "no", "yes"}
    found = asker.ask(tmp_path / "dev.npy#0", "is it red")
    assert 0.1 < found.best["maybe"] < 0.6  # one of four said so: a third of the credit
    assert finding.evaluate(tmp_path / "run", [files[1]]).figures["accuracy"] > 0.6


def test_two_pictures(tmp_path: Path) -> None:
    """Which side is red can only be told where boxes tell left from right."""
    drawn = np.random.default_rng(5)
    reds, rows = np.zeros((40, 8, 8, 3), np.uint8), []
    reds[:20], reds[20:] = COLOURS["red"], COLOURS["blue"]
    np.save(tmp_path / "p.npy", reds)
    for _ in range(200):
        one, other = int(drawn.integers(20)), int(drawn.integers(20, 40))
        left = drawn.random() < 0.5
        names = [f"p.npy#{number}" for number in ((one, other) if left else (other, one))]
        rows.append({"picture": names, "statement": "the left picture is red", "label": bool(left)})
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = [*settings(path, path, 60), 'data.fields=["picture", "statement", "label"]']
    assert train(parse_recipe({"task": "ask"}, given), tmp_path / "run") == 0
    assert finding.evaluate(tmp_path / "run", [path]).figures["accuracy"] > 0.95
    asker = heedful.load(tmp_path / "run")
    red, blue = tmp_path / "p.npy#0", tmp_path / "p.npy#30"
    assert asker.ask((red, blue), "the left picture is red").answer == "true"
    assert asker.ask((blue, red), "the left picture is red").answer == "false"


def test_features_of_the_users_own(tmp_path: Path) -> None:
    drawn, rows, arrays = np.random.default_rng(6), [], {"encoder": np.array("mine")}
    for number in range(120):
        kind = number % 2
        arrays[f"p{number}/features"] = (drawn.normal(size=(3, 6)) + 3 * kind).astype(np.float32)
        arrays[f"p{number}/boxes"] = np.tile(np.array([[0, 0, 0.5, 0.5]], np.float32), (3, 1))
        rows.append({"picture": f"p{number}", "question": "is it large", "answer": ["no", "yes"][kind]})
    np.savez(tmp_path / "f.npz", **arrays)
    np.savez(tmp_path / "other.npz", **{**arrays, "encoder": np.array("yours")})
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = [*settings(tmp_path / "t.jsonl", tmp_path / "t.jsonl", 40), f'pictures.features="{tmp_path}/f.npz"']
    assert train(parse_recipe({"task": "ask"}, given), tmp_path / "run") == 0
    asker = heedful.load(tmp_path / "run")
    found = asker.ask_many([("p0", "is it large"), ("p1", "is it large")], features=tmp_path / "f.npz")
    assert [one.answer for one in found] == ["no", "yes"]
    files = ("evaluate", str(tmp_path / "t.jsonl"), "-m", str(tmp_path / "run"))
    shown = CliRunner().invoke(app, [*files, "--features", str(tmp_path / "f.npz"), "--json"])
    assert json.loads(shown.output)["accuracy"] == 1.0
    with pytest.raises(UserError, match="made by the encoder 'yours'"):
        asker.ask_many([("p0", "is it large")], features=tmp_path / "other.npz")


def test_patches_have_no_features(folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", encoder=np.array("mine"))
    with pytest.raises(UserError, match=r"f\.npz: the model sees pictures as patches and reads no features"):
        finding.evaluate(folder / "run", [folder / "dev.jsonl"], features=tmp_path / "f.npz")


def test_learned_positions_are_enough(folder: Path, tmp_path: Path) -> None:
    given = [*settings(folder / "train.jsonl", folder / "dev.jsonl", 1), "model.picture_capacity=4"]
    with pytest.raises(UserError, match="picture_capacity = 4 positions; 5 patches are shown"):
        train(parse_recipe({"task": "ask"}, given), tmp_path / "run")


def test_pictures_side_by_side() -> None:
    boxes = torch.from_numpy(np.tile(boxes_of((8, 8), 4), (3, 1)))
    given = PatchInput(torch.zeros(15, 48), boxes, Layout.packed(np.full(3, 5)))
    found = together(given, np.array([1, 2]))
    assert found.layout.lengths.tolist() == [5, 10]
    assert torch.equal(found.boxes[:5], boxes[:5])  # alone: where it was
    assert found.boxes[5].tolist() == [0.0, 0.0, 0.5, 1.0, 0.5]
    assert found.boxes[10].tolist() == [0.5, 0.0, 1.0, 1.0, 0.5]
    assert together(given, np.array([1, 1, 1])) is given


# ---- answers -------------------------------------------------------------------------------------------------------


def test_credit_is_that_of_vqa() -> None:
    ten = ["a"] * 4 + ["b"] * 2 + ["c"] * 4
    assert credits_of(ten) == pytest.approx({"a": 1.0, "b": 2 / 3, "c": 1.0})
    assert credits_of(["a"]) == {"a": 1.0}
    assert credits_of(["a", "b"]) == {"a": 0.5, "b": 0.5}


def test_the_most_frequent_answers_are_known() -> None:
    examples = [Example((), "?", (answer,), "") for answer in ("b", "a", "c", "b", "a", "d")]
    answers = Answers.of(examples, False, 3)
    assert answers.words == ("a", "b", "c")
    assert answers.wanted(examples[0]) == {1: 1.0}
    assert answers.wanted(examples[-1]) == {}


def test_kinds_of_answers() -> None:
    assert [kind_of(answer) for answer in ("Yes", "false", "2", "2.5", "two cats")] == [
        "yes or no", "yes or no", "number", "number", "other"
    ]  # fmt: skip


def test_an_answer_that_training_never_had_is_wrong_and_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (folder / "dev.jsonl").read_text().split("\n")[:4]
    odd = [json.dumps({**json.loads(row), "answer": "perhaps"}) for row in rows[:2]]
    path = tmp_path / "dev.jsonl"
    path.write_text("\n".join([*odd, *rows[2:]]) + "\n")
    (tmp_path / "dev.npy").write_bytes((folder / "dev.npy").read_bytes())
    found = finding.evaluate(folder / "run", [path])
    assert found.figures["unknown"] == 2
    assert found.figures["accuracy"] <= 0.5
    assert "counted as wrong" in found.text
    assert train(parse_recipe({"task": "ask"}, settings(folder / "train.jsonl", path, 1)), tmp_path / "run") == 0
    assert "dev: 2 questions have answers that training has not" in capsys.readouterr().err


# ---- reading -------------------------------------------------------------------------------------------------------


def test_formats(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("picture\tquestion\tanswer\tsecond\na.png\twhat?\t2\tb.png\nc.png\thow?\tred\t\n")
    (tmp_path / "a.jsonl").write_text(
        '{"picture": ["a.png", "b.png"], "question": "what?", "answer": 2}\n'
        '{"picture": "c.png", "question": "how?", "answer": true}\n'
    )
    columns, keys = (list(read_examples(tmp_path / name)) for name in ("a.tsv", "a.jsonl"))
    assert [[one.name for one in row.pictures] for row in columns] == [["a.png", "b.png"], ["c.png"]]
    assert [[one.name for one in row.pictures] for row in keys] == [["a.png", "b.png"], ["c.png"]]
    assert [row.answers for row in columns] == [("2",), ("red",)]
    assert [row.answers for row in keys] == [("2",), ("true",)]
    (tmp_path / "b.tsv").write_text("picture\tquestion\tanswer\na.png\twhat?\tred,red, blue\n")
    assert next(read_examples(tmp_path / "b.tsv", several=True)).answers == ("red", "red", "blue")
    (tmp_path / "c.jsonl").write_text('{"image": "a.png", "sentence": "it is", "label": "true"}\n')
    assert next(read_examples(tmp_path / "c.jsonl", ("image", "sentence", "label"))).answers == ("true",)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"picture": 3, "question": "a?", "answer": "b"}', "the picture is 3"),
        ('{"picture": ["a", "b", "c"], "question": "a?", "answer": "b"}', "or a list of two"),
        ('{"picture": "a", "question": " ", "answer": "b"}', "the question is ' '"),
        ('{"picture": "a", "question": "a?", "answer": ""}', "the answer is ''"),
        ('{"picture": "a", "question": "a?", "answer": {"b": 1}}', "it must be a text, a number"),
        ('{"picture": "a", "question": "a?", "answer": ["b", "b"]}', "several answers"),
        ('{"picture": "a", "question": "a?"}', 'there is no "answer"'),
    ],
)
def test_bad_records(tmp_path: Path, row: str, said: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(row + "\n")
    with pytest.raises(UserError, match=r"a\.jsonl:1: ") as error:
        list(read_examples(path))
    assert said in str(error.value)


def test_bad_pictures_are_told_in_a_line(folder: Path, tmp_path: Path, asker: Asker) -> None:
    with pytest.raises(UserError, match="no such picture"):
        asker.ask(tmp_path / "missing.png", "is it red")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 40)
    with pytest.raises(UserError, match=r"bad\.png"):
        asker.ask(tmp_path / "bad.png", "is it red")
    path = tmp_path / "t.jsonl"
    path.write_text('{"picture": "gone.png", "question": "a?", "answer": "b"}\n')
    with pytest.raises(UserError, match=r"t\.jsonl:1: gone\.png"):
        train(parse_recipe({"task": "ask"}, settings(path, path, 1)), tmp_path / "run")


def test_numbers_are_not_predicted(folder: Path, tmp_path: Path) -> None:
    given = [*settings(folder / "train.jsonl", folder / "dev.jsonl", 1), 'data.labels="number"']
    with pytest.raises(UserError, match="not for ask"):
        train(parse_recipe({"task": "ask"}, given), tmp_path / "run")


# ---- the command ---------------------------------------------------------------------------------------------------


def run(*words: object, given: str = "") -> Any:
    return CliRunner().invoke(app, ["ask", *map(str, words)], input=given)


def test_ask_on_the_command_line(folder: Path) -> None:
    model, picture = ("-m", folder / "run"), folder / "dev.npy#0"
    alone = run(picture, "is it red", *model)
    assert alone.exit_code == 0
    word, chance = alone.stdout.rstrip("\n").split("\t")
    assert word in ("yes", "no")
    assert 0.5 <= float(chance) <= 1.0
    both = run(picture, "is it red", "is it blue", *model, "--best", 2).stdout.split("\n")[:-1]
    assert len(both) == 4  # two answers for each of two questions
    told = json.loads(run(picture, "is it red", *model, "--json").stdout)
    assert told["question"] == "is it red"
    assert told["answer"] == word
    assert set(told["answers"]) == {"yes", "no"}


def test_lines_in_are_lines_out(folder: Path) -> None:
    found = run(folder / "dev.npy#0", "-m", folder / "run", given="is it red\nis it blue\n")
    assert len(found.stdout.split("\n")) == 3
    gaps = run(folder / "dev.npy#0", "-m", folder / "run", given="is it red\n\nis it blue\n").stdout
    assert gaps.split("\n")[1] == ""
    assert len(gaps.split("\n")) == 4
    table = run(folder / "dev.jsonl", "-m", folder / "run")
    assert len(table.stdout.split("\n")) == 91
    answers = [line.split("\t")[0] for line in table.stdout.split("\n")[:-1]]
    wanted = [json.loads(line)["answer"] for line in (folder / "dev.jsonl").read_text().split("\n")[:-1]]
    assert sum(map(str.__eq__, answers, wanted)) > 80


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gone.png", "is it red"], "gone.png: no such picture"),
        (["gone.png", " "], "the question is empty"),
        (["dev.jsonl", "is it red"], "names its pictures and questions"),
        (["dev.npy", "is it red"], "say which is the picture"),
        (["dev.npy#100000", "is it red"], "no picture 100000"),
    ],
)
def test_mistakes_are_a_line(folder: Path, words: list[str], said: str) -> None:
    found = run(*(folder / words[0], *words[1:]), "-m", folder / "run")
    assert found.exit_code == 2
    assert said in found.stderr
    assert found.stderr.count("\n") == 1
