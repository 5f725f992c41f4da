"""Records of every task: their numbers are those of the model, their answers those of the task."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import heedful
from heedful.errors import UserError
from heedful.inside.probing import Capture
from heedful.inside.record import Record
from heedful.model.families import decoder
from heedful.model.model import Model
from heedful.tasks.looking.kinds import names_of
from heedful.tasks.looking.opening import read
from heedful.tasks.looking.reading import Asked
from heedful.tasks.write import Writer
from heedful.text.pipeline import MASK

from . import tiny
from .tiny import TASKS


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.picture(tmp_path_factory.mktemp("pictures"))


def looked(task: str, picture: Path, **options: Any) -> Record:
    _, texts, sees = TASKS[task]
    given = {"what_if": False, **options}
    return heedful.look(tiny.of(task), texts, picture=picture if sees else None, **given).record


@pytest.mark.parametrize("task", TASKS)
def test_every_attention_of_the_plan_is_there_with_the_weights_of_a_pass(task: str, picture: Path) -> None:
    _, texts, sees = TASKS[task]
    loaded, record = tiny.of(task), looked(task, picture, values=True)
    reading = read(loaded, Asked(tuple(texts), picture if sees else None))
    assert (record.task, record.answer) == (task, reading.answer)
    names = names_of(loaded.model.plan) + (["second.second"] if task == "embed" else [])
    assert [kind.name for kind in record.kinds] == names
    kinds = iter(record.kinds)
    for row in reading.rows:
        seen = Capture("*.weights")
        with torch.no_grad():
            loaded.model.encode(row.inputs, probe=seen)
        layers = {layer.address: layer for _ in names_of(loaded.model.plan) for layer in next(kinds).layers}
        assert {f"{address}.weights" for address in layers} == set(seen.seen)
        for address, layer in layers.items():
            ((weights, _),) = seen.seen[f"{address}.weights"]
            assert np.allclose(layer.weights, weights[0].numpy(), atol=1e-6)
            assert layer.weighted is not None
            for shares in (layer.weights, layer.weighted):
                assert np.allclose(shares.sum(-1), 1, atol=1e-5)
    for kind in record.kinds:
        shape = len(record.lines[kind.queries]), len(record.lines[kind.keys])
        assert all(layer.weights.shape[1:] == shape for layer in kind.layers)
        assert all(view.weights.shape == shape for view in record.views if view.kind == kind.name)
        if kind.causal:
            assert not any(np.triu(layer.weights, 1).any() for layer in kind.layers)
        for table in record.measures[kind.name].values():
            assert [len(heads) for heads in table] == [len(layer.weights) for layer in kind.layers]


@pytest.mark.parametrize("task", TASKS)
def test_the_answer_is_the_tasks_own(task: str, picture: Path) -> None:
    record, loaded, texts = looked(task, picture), tiny.of(task), list(TASKS[task][1])
    if task == "translate":
        found = loaded.answer(texts)[0]
        assert (record.answer, [one.logprob for one in record.said]) == (found.text, [t.logprob for t in found.tokens])
    elif task == "write":
        assert record.answer == loaded.write(texts[0], length=24, temperature=0.0)
    elif task == "fill":
        found = loaded.fill(texts[0])
        assert record.answer == found.text
        assert [[(one.text, one.probability) for one in some.guesses] for some in record.answers] == [
            [(one.text, one.probability) for one in few] for few in found.masks
        ]
    elif task == "classify":
        (found,) = loaded.classify(texts)
        assert record.answer == found.label
        assert {one.text: one.probability for one in record.answers[0].guesses} == found.chances
    elif task == "tag":
        words = loaded.tag(texts)[0].words
        assert record.answer == " ".join(f"{one.text}/{one.label}" for one in words)
        assert np.allclose([np.exp(one.logprob) for one in record.said], [one.score for one in words])
    elif task == "answer":
        found = loaded.answer(*texts, 5)
        assert record.answer == found.text
        assert [one.probability for one in record.answers[0].guesses] == [one.probability for one in found.best]
    elif task == "embed":
        one, other = loaded.embed(texts)
        assert record.answers[0].guesses[0].probability == pytest.approx(float(one @ other), abs=1e-6)
    elif task == "caption":
        assert record.answer == loaded.caption([str(picture)])[0]
    elif task == "match":
        (found,) = loaded.match(loaded.captions(texts), loaded.pictures([str(picture)]), 1, looked=1)[0]
        chances = {one.text: one.probability for one in record.answers[0].guesses}
        assert chances["belong together"] == pytest.approx(1 / (1 + np.exp(-found.score)), abs=1e-6)
    else:
        found = loaded.ask(picture, texts[0])
        assert (record.answer, {one.text: one.probability for one in record.answers[0].guesses}) == (
            found.answer, found.best,
        )  # fmt: skip


@pytest.mark.parametrize("task", ["translate", "write", "caption"])
def test_what_is_written_is_one_ahead_of_what_is_read(task: str, picture: Path) -> None:
    record = looked(task, picture)
    stream = "text" if task == "write" else "target"
    own = record.kind(f"{stream}.{stream}")
    read, written = record.lines[own.keys], record.lines[own.queries]
    assert own.causal
    assert read.pieces[1:] == written.pieces[:-1]
    assert [one.text for one in record.said] == list(written.pieces[len(written) - len(record.said) :])
    (lens,) = record.lenses
    shift = len(written) - len(record.said)
    for place, said in enumerate(record.said):
        assert said.others[0].probability == pytest.approx(lens.guesses[-1][place + shift][0].probability, abs=1e-5)


def test_pictures_tell_where_their_tokens_are(picture: Path) -> None:
    record = looked("match", picture)
    line = record.lines["picture"]
    assert line.picture is not None
    assert (line.picture.width, line.picture.height) == (16, 12)
    assert line.picture.boxes.tolist() == [
        [0, 0, 1, 1], [0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1],
    ]  # fmt: skip
    assert line.control == (True, False, False, False, False)


def test_where_an_answer_is_read_is_told(picture: Path) -> None:
    for task in ("translate", "write", "caption"):
        assert looked(task, picture).asked == {}, "what is written is asked for where it is written"
    line = looked("fill", picture).lines["text"]
    masks = tuple(place for place, piece in enumerate(line.pieces) if piece == MASK)
    assert looked("fill", picture).asked == {"text": masks}
    assert len(masks) == 2
    assert looked("classify", picture).asked == {"text": (0,)}
    record = looked("tag", picture)
    line = record.lines["text"]
    firsts = tuple(line.word.tolist().index(word) for word, control in enumerate(line.control) if not control)
    assert record.asked == {"text": firsts}
    record = looked("embed", picture)  # the mean of all
    assert record.asked == {name: tuple(range(len(record.lines[name]))) for name in ("text", "second")}
    assert looked("ask", picture).asked == looked("match", picture).asked == {"text": (0,), "picture": (0,)}
    record = looked("answer", picture)
    first, *_, last = sorted(record.asked["text"])[:1] * 2 + sorted(record.asked["text"])[-1:]
    said = "".join(record.lines["text"].pieces[first : last + 1])
    assert said == record.answer.replace(" ", "")


def test_what_else_a_tag_might_have_been_is_named_like_the_tag(picture: Path) -> None:
    loaded, record = tiny.of("tag"), looked("tag", picture)
    for said in record.said:
        word = said.text.rpartition("/")[0]
        assert {one.text for one in said.others} == {f"{word}/{label}" for label in loaded.labels}
        assert next(one for one in said.others if one.text == said.text).probability == pytest.approx(
            np.exp(said.logprob), abs=1e-5
        )


def test_kinds_and_layers_are_chosen_and_it_is_said(picture: Path) -> None:
    record = looked("translate", picture, kinds=["target.source"], layers=[2])
    (kind,) = record.kinds
    assert [layer.address for layer in kind.layers] == ["target.1.source"]
    assert any("only these are here: 2" in note for note in record.notes)
    (best,) = (view for view in record.views if view.name == "best")
    assert "layer 2 head" in best.note
    assert "layer 1" not in best.note, "a layer keeps its number"
    whole = looked("translate", picture)
    view = next(view for view in whole.views if (view.kind, view.name) == ("target.source", "rollout"))
    chosen = next(view for view in record.views if (view.kind, view.name) == ("target.source", "rollout"))
    assert np.array_equal(view.weights, chosen.weights), "rollout is of all layers"
    for wrong in ({"kinds": ["source.target"]}, {"layers": [3]}, {"layers": [0]}):
        with pytest.raises(UserError):
            looked("translate", picture, **wrong)


def test_layers_of_two_streams_are_numbered_by_their_blocks(picture: Path) -> None:
    whole = looked("match", picture)
    addresses = {layer.address for kind in whole.kinds for layer in kind.layers}
    numbers = sorted({int(address.split(".")[1]) + 1 for address in addresses})
    across = [layer.address for layer in whole.kind("text.picture").layers]
    number = int(across[0].split(".")[1]) + 1
    assert number > 1, "a text reads itself before it reads a picture"
    record = looked("match", picture, layers=[number])
    shown = {layer.address for kind in record.kinds for layer in kind.layers}
    assert shown == {address for address in addresses if int(address.split(".")[1]) + 1 == number}
    assert across[0] in shown
    with pytest.raises(UserError, match=f"what is shown has {', '.join(map(str, numbers))}"):
        looked("match", picture, layers=[numbers[-1] + 1])


def test_of_several_sentences_one_is_shown() -> None:
    loaded, text = tiny.of("translate"), "the fox sees. The bird sings."
    second = heedful.look(loaded, text, sentence=2, what_if=False).record
    assert second.text == "The bird sings."
    assert second.answer == loaded.translate(["The bird sings."], split="never")[0]
    assert any("2 sentences" in note for note in second.notes)
    with pytest.raises(UserError, match="the text has 2"):
        heedful.look(loaded, text, sentence=3)


def test_a_long_prompt_is_read_from_its_end(picture: Path) -> None:
    writer = tiny.of("write")
    prompt = " ".join(tiny.WORDS * 3)
    record = heedful.look(writer, prompt, what_if=False).record
    assert record.answer == writer.write(prompt, length=16, temperature=0.0)
    assert any("the last 16" in note for note in record.notes)
    assert len(record.lines["text"]) <= writer.context


def test_nothing_before_a_text_that_is_written(picture: Path) -> None:
    record = heedful.look(tiny.of("write"), "", length=5, what_if=False).record
    assert record.answer == tiny.of("write").write("", length=5, temperature=0.0)
    assert len(record.said) == 5


def test_a_text_beyond_what_can_be_shown_is_refused() -> None:
    own = tiny.tokenizer(prose=True)
    sizes = {"width": 32, "layers": 16, "heads": 32, "feedforward": 8, "positions": "none"}
    writer = Writer(Model(decoder(vocab=own.vocab_size, **sizes), 1).eval(), own, 4000)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="shorten the text"):
        heedful.look(writer, "bird " * 700, length=1)


@pytest.mark.parametrize(
    ("task", "change", "reason"),
    [
        ("translate", {"texts": ("",)}, "the text is empty"),
        ("translate", {"texts": (" \t ",)}, "the text is empty"),
        ("translate", {"texts": ("a", "b")}, "takes one text; 2 given"),
        ("translate", {"picture": Path("a.png")}, "looks at no picture"),
        ("fill", {"texts": ("no mask",)}, r"there is no \[MASK\]"),
        ("classify", {"texts": ("a", "b")}, "takes one text"),
        ("answer", {"texts": ("who?",)}, "a question and the text that the answer is in"),
        ("answer", {"texts": ("who?", " ")}, "text 2 is empty"),
        ("ask", {}, "name one with --picture"),
        ("caption", {"texts": ("a",)}, "takes no text"),
        ("match", {"picture": Path("missing.png")}, "missing.png"),
    ],
)
def test_what_a_model_does_not_take_is_told(task: str, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        read(tiny.of(task), replace(Asked(tuple(TASKS[task][1])), **change))


@pytest.mark.parametrize("kind", ["several", "number"])
def test_other_answers_of_classifiers(kind: str) -> None:
    loaded = tiny.classifier(kind, pairs=True)
    record = heedful.look(loaded, "a fox", "a bird", what_if=True).record
    assert record.answer in (loaded.classify([("a fox", "a bird")])[0].label, "none of the labels")
    assert record.what_if


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(UserError, match="cannot be looked into"):
        heedful.look(tiny.of("write").model, "x")
