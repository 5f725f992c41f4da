"""Tagging from files to answers, on a toy: names begin with a capital, and the word before says of what kind."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest

from heedful.config import parse_recipe
from heedful.errors import UserError
from heedful.tasks import learning
from heedful.tasks.runs import train
from heedful.tasks.tag import Tagger, evaluate, load
from heedful.tasks.tag.calling import Asked, tag_lines
from heedful.tasks.tag.preparing import SHAPES, _windows, shape_of

from .stopping import same_bits_after_a_stop
from .test_classify import SMALL

FIRST, LAST, PLACES = ["Anna", "Bob", "Cy", "Dora"], ["Ash", "Birch", "Cole"], ["Rome", "Oslo", "Lima"]


def write_corpus(folder: Path, count: int = 250, seed: int = 0) -> Path:
    """eng.train in IOB1, with a column that nobody asks for."""
    drawn, out = random.Random(seed), ["-DOCSTART- -X- O", ""]
    for _ in range(count):
        out += [f"{drawn.choice(['the', 'so', 'then'])} X O"] * drawn.randint(0, 2)
        out += ["met X O", f"{drawn.choice(FIRST)} X I-PER", f"{drawn.choice(LAST)} X I-PER"]
        if drawn.random() < 0.3:
            out.append(f"{drawn.choice(FIRST)} X B-PER")  # another person, side by side
        out += ["in X O", f"{drawn.choice(PLACES)} X I-LOC", ". X O", ""]
    path = folder / "eng.train"
    path.write_text("\n".join(out) + "\n")
    return path


def run(folder: Path, settings: list[str], steps: int = 60, out: str = "run") -> Path:
    path = folder / out
    assert train(parse_recipe({"task": "tag"}, [*SMALL, *settings, f"training.steps={steps}"]), path) == 0
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tag")
    return run(folder, [f'data.train=["{write_corpus(folder)}"]'])


@pytest.fixture(scope="module")
def tagger(finished: Path) -> Tagger:
    return load(finished)


def test_it_learns_and_gives_places_in_the_text(tagger: Tagger) -> None:
    text = "  so met Bob Ash\tin Rome."
    (found,) = tagger.tag([text])
    assert [(one.label, one.text) for one in found.entities] == [("PER", "Bob Ash"), ("LOC", "Rome")]
    assert all(text[one.start : one.end] == one.text for one in [*found.entities, *found.words])
    assert [word.text for word in found.words] == ["so", "met", "Bob", "Ash", "in", "Rome", "."]
    assert all(0 < one.score <= 1 for one in found.entities)
    assert tagger.labels == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]


def test_each_word_gets_a_label_whatever_it_is(tagger: Tagger) -> None:
    sentences = [["met"] * 900, [], ["\u200b", "", "x" * 5000, "</s>", " "], ["Bob"]]
    found = tagger.tag_words(sentences)
    assert [len(labels) for labels, _ in found] == [900, 0, 5, 1]
    assert tagger.tag(["", " ", "a\u2028b\0"])[0].words == []
    together, alone = tagger.tag_words([["met", "Bob", "Ash"], ["in", "Rome"]]), tagger.tag_words([["in", "Rome"]])
    assert together[1][0] == alone[0][0]


def test_labels_make_valid_entities(tagger: Tagger) -> None:
    drawn = random.Random(5)
    vocabulary = [*FIRST, *LAST, *PLACES, "in", "met", ".", "zzz"]
    for labels, _ in tagger.tag_words([[drawn.choice(vocabulary) for _ in range(9)] for _ in range(100)]):
        for before, label in zip(["O", *labels], labels, strict=False):
            assert not label.startswith("I-") or before[2:] == label[2:]


def test_a_run_leaves_scores_page_and_card(finished: Path) -> None:
    (scores,) = json.loads((finished / "scores.json").read_text())
    assert scores["scores"][0][0] == "F1"
    assert scores["scores"][0][1] > 0.9
    page = (finished / "report.html").read_text()
    assert "Type by type" in page
    assert "entities: PER" in page
    assert "finds names in a text: LOC, PER" in (finished / "model" / "README.md").read_text()


def test_evaluate_scores_files_in_another_scheme(tagger: Tagger, tmp_path: Path) -> None:
    file = tmp_path / "b.jsonl"
    words = ["met", "Bob", "Ash", "in", "Rome", "."]
    file.write_text(json.dumps({"words": words, "labels": ["O", "B-PER", "E-PER", "O", "S-LOC", "O"]}) + "\n")
    with_fields = evaluate(tagger, [file])
    assert with_fields.figures["rates"]["PER"][:3] == [1.0, 1.0, 1.0] or with_fields.figures["rates"]["PER"][:3] == (
        1,
        1,
        1,
    )
    bad = tmp_path / "c"
    bad.write_text("met O\nBob I-DOG\n")
    with pytest.raises(UserError, match=r"c:2: the label 'I-DOG' is not one of training's"):
        evaluate(tagger, [bad])
    bad.write_text("\n")
    with pytest.raises(UserError, match="no sentences"):
        evaluate(tagger, [bad])


def call(model: Path, content: bytes, form: Any = "text", spaced: bool = False) -> str:
    out = io.BytesIO()
    tag_lines(Asked(model, form, spaced), [], io.BytesIO(content), out)
    return out.getvalue().decode()


def test_lines_in_are_lines_out(finished: Path) -> None:
    content = b"met Bob Ash in Rome.\n\n\xff\n" + "a\u2028b".encode() + b"\nmet Cy"
    found = call(finished, content).split("\n")
    assert found[0] == "met [PER Bob Ash] in [LOC Rome]."
    assert len(found) == 5
    assert found[1] == ""
    told = [json.loads(line) for line in call(finished, content, "json").split("\n")]
    assert told[0]["entities"][1]["start"] == 15
    assert call(finished, b"met Bob Ash\nin Rome\n", "columns") == "met O\nBob B-PER\nAsh I-PER\n\nin O\nRome B-LOC\n\n"
    assert "Rome. " in call(finished, b"in Rome.\n", "columns", spaced=True)


def test_stopped_and_resumed_is_the_same_run(tmp_path: Path) -> None:
    settings = [f'data.train=["{write_corpus(tmp_path)}"]', "tokenizer.sampling=0.2", "training.token_dropout=0.2"]
    train_in = lambda out: run(tmp_path, settings, 20, out.name)
    same_bits_after_a_stop(train_in, tmp_path, learning.Learning, "collate", 13)


def test_parts_of_speech_and_a_pretrained_model(tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("the dog saw a cat\n" * 30)
    fill = parse_recipe({"task": "fill"}, [*SMALL, f'data.train=["{text}"]', "training.steps=3", "data.longest=32"])
    assert train(fill, tmp_path / "fill") == 0
    path, drawn = tmp_path / "pos.tsv", random.Random(2)
    rows = []
    for _ in range(100):
        rows += [f"{drawn.choice(['the', 'a'])}\tDET", f"{drawn.choice(['dog', 'cat'])}\tNOUN", "saw\tVERB", ""]
        rows += [f"x{drawn.randint(0, 9)}\tX", ""]
    path.write_text("\n".join(rows) + "\n")
    base = [one for one in SMALL if not one.startswith(("model.", "tokenizer.size"))]
    settings = [*base, f'data.train=["{path}"]', f"training.start={tmp_path}/fill", "training.steps=40"]
    assert train(parse_recipe({"task": "tag"}, settings), tmp_path / "run") == 0
    found = load(tmp_path / "run")
    assert found.tag(["the dog saw a cat"])[0].words[1].label == "NOUN"
    assert call(tmp_path / "run", b"a cat saw\n") == "a/DET cat/NOUN saw/VERB\n"
    assert "What is taken for what" in (tmp_path / "run" / "report.html").read_text()


def test_long_sentences_are_cut_into_windows_of_about_a_length() -> None:
    assert _windows([1] * 10, 10) == [(0, 10)]
    assert _windows([1] * 11, 10) == [(0, 6), (6, 11)]
    assert _windows([], 10) == [(0, 0)]
    drawn = random.Random(1)
    for _ in range(200):
        sizes, most = [drawn.randint(1, 8) for _ in range(drawn.randint(1, 60))], drawn.randint(8, 40)
        found = _windows(sizes, most)
        assert [place for first, last in found for place in range(first, last)] == list(range(len(sizes)))
        assert all(sum(sizes[first:last]) <= most for first, last in found)


@pytest.mark.parametrize(
    ("word", "shape"),
    [("the", "lower"), ("The", "Title"), ("EU", "UPPER"), ("I", "Initial."), ("U.", "Initial."), ("McRae", "miXed"),
     ("1996", "123"), ("1,000", "123"), ("F16", "a1"), (".", "other"), ("", "other"), ("東京", "lower"),
     ("all-In", "miXed")],
)  # fmt: skip
def test_shapes(word: str, shape: str) -> None:
    assert SHAPES[shape_of(word)] == shape


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["training.metric=recall"], "a tagger is scored by loss, accuracy, f1"),
        (['data.fields=["1","9"]'], "there is no column 9"),
        (["data.dev_share=0.0"], "change it, or give --dev FILE"),
        (['data.fields=["1","2"]'], "the only label is X"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path: Path, settings: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as told:
        run(tmp_path, [f'data.train=["{write_corpus(tmp_path)}"]', *settings], 2)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("given", ["one", [None], [b"a"]])
def test_what_is_no_list_of_texts_is_refused(tagger: Tagger, given: Any) -> None:
    with pytest.raises(UserError, match="takes a list of texts"):
        tagger.tag(given)
