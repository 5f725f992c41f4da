"""States of another run put in: what is answered then, against passes done by hand and against that other run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import heedful
from heedful.errors import UserError
from heedful.inside import probing
from heedful.page import terminal
from heedful.tasks.looking import patching, what_if
from heedful.tasks.looking.opening import read
from heedful.tasks.looking.reading import Asked, Reading

from . import tiny
from .tiny import TASKS

OTHER = {"fox": "bird", "bird": "fox", "red": "green"}  # words of as many tokens
READ = {"translate": "source", "write": "text"}


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.picture(tmp_path_factory.mktemp("pictures"))


def both(task: str, picture: Path) -> tuple[Reading, Reading]:
    """The task's own reading, and that of a text with other words."""
    _, texts, sees = TASKS[task]
    others = [" ".join(OTHER.get(word, word) for word in text.split()) for text in texts]
    return tuple(read(tiny.of(task), Asked(tuple(some), picture if sees else None)) for some in (texts, others))  # type: ignore[return-value]


def last_blocks(own: Reading) -> list[str]:
    """The last block of every stream that was given."""
    last = {block.stream: where for _, where, block in own.model.plan.blocks()}
    return [last[stream] for stream in dict.fromkeys(stream for row in own.rows for stream in row.told)]


@pytest.mark.parametrize("task", READ)
def test_changes_are_those_of_passes_by_hand(task: str, picture: Path) -> None:
    own, other = both(task, picture)
    changes = patching.exchanges(own, other, ())
    assert len({change.where[0] for change in changes}) == 2  # layers
    runs, each = what_if.judged(own, changes, redone=0)
    inputs = [reading.rows[0].inputs for reading in (own, other)]
    theirs = probing.capture(own.model, inputs[1], ["*.after"])

    def log_probabilities(*edits: probing.Edit) -> np.ndarray:
        assert own.written is not None
        seen = probing.capture(own.model, inputs[0], ["*.after"], *edits)
        logits = own.model.logits("next_token", seen.states, seen.layouts).detach().log_softmax(-1).numpy()
        return logits[np.arange(len(logits) - len(own.written), len(logits)), list(own.written)]

    plain = log_probabilities()
    for run, change, found in zip(runs, changes, each, strict=True):
        ((address, (places, states)),) = change.without.states.items()
        assert run.where == (address, int(own.rows[0].lines[READ[task]].word[places[0]]))
        assert torch.equal(states, theirs.row(address)[places])
        after = log_probabilities(probing.patched(address, places, states))
        assert np.allclose(found, after - plain, atol=1e-4)
    assert np.abs(each).max() > 0.1


def test_all_states_that_a_source_leaves_are_the_other_translation(picture: Path) -> None:
    own, other = both("translate", picture)
    assert own.answer != other.answer
    texts = own.text, other.text
    record = heedful.look(tiny.of("translate"), texts[0], patch_from=texts[1], patch=["source.1"]).record
    assert record.answer == other.answer
    (run,) = record.what_if
    assert (run.what, run.text) == ("state", other.answer)
    assert any(f"“{other.text}”, whose answer is “{other.answer}”" in note for note in record.notes)


def test_what_a_prompt_leaves_decides_the_next_token(picture: Path) -> None:
    """And only there: what is written after it reads its own states."""
    own, other = both("write", picture)
    assert own.said[0].text != other.said[0].text
    record = heedful.look(tiny.of("write"), own.text, patch_from=other.text, patch=["text.1:fox"]).record
    assert record.said[0].text == other.said[0].text
    assert record.said[0].logprob == pytest.approx(other.said[0].logprob, abs=1e-4)
    assert len(record.said) > 2


@pytest.mark.parametrize("task", ["fill", "classify", "tag", "answer", "ask", "match"])
def test_with_all_that_it_leaves_a_text_is_the_other(task: str, picture: Path) -> None:
    own, other = both(task, picture)
    changes = patching.exchanges(own, other, last_blocks(own))
    first, now = what_if.scores_of(own, [changes])
    assert own.scored is not None
    inputs = other.rows[0].inputs
    layouts = {name: given.layout for name, given in inputs.items()}
    with torch.no_grad():
        states = {name: other.model.embedded(name, given) for name, given in inputs.items()}
        ends = other.model.run(states, layouts, last=own.scored.last)
        expected = own.scored.score(ends, layouts)[0].numpy()
    assert np.allclose(now, expected, atol=1e-5)
    assert np.abs(now - first).max() > 1e-3
    (run,) = what_if.judged(own, changes[:1], redone=1)[0]
    assert run.what == "state"


def test_of_two_texts_the_likeness_is_that_of_the_others(picture: Path) -> None:
    own, other = both("embed", picture)
    texts = TASKS["embed"][1]
    looked = heedful.look(tiny.of("embed"), *texts, patch_from=other.text.split(" | "), patch=last_blocks(own))
    assert looked.record.answer == other.answer != own.answer


def test_what_is_the_same_in_both_runs_changes_nothing() -> None:
    """Of a text that is read from left to right, all that stands before the word that differs."""
    writer = tiny.of("write")
    record = heedful.look(writer, "the red fox", patch_from="the red bird", patch=["text.0:the", "text.1:red"]).record
    assert record.what_if[0].change == 0
    assert record.answer == read(writer, Asked(("the red fox",))).answer


def test_every_word_after_every_layer_is_a_what_if_and_in_the_terminal() -> None:
    found = heedful.look(tiny.of("translate"), "the red fox .", patch_from="the red bird .", what_if=False)
    runs = found.record.what_if
    words = found.record.lines["source"].words
    assert len(runs) == 2 * len(words)
    assert {run.label for run in runs} >= {"with the other text's “bird” for “fox” after layer 1 of source"}
    most = max(runs, key=lambda run: abs(run.change))
    shown = terminal.picture(found.record, 100, colour=False)
    assert f"{most.change:+.2f} {most.label}" in shown
    assert shown.count("the other text's") == 8


def test_words_that_are_alike_are_told_apart() -> None:
    found = heedful.look(tiny.of("translate"), "the fox the fox", patch_from="the fox the bird", what_if=True)
    labels = [run.label for run in found.record.what_if]
    assert len(set(labels)) == len(labels)
    assert {"without “the” (2 of 2)", "with the other text's “bird” for “fox” (2 of 2) after layer 2 of source"} <= {
        *labels
    }


def test_words_of_other_numbers_of_tokens_keep_their_states() -> None:
    translator = tiny.of("translate")
    lengths = [len(translator.tokenizers["source"].encode(text)) for text in ("the red xyz", "the green fox")]
    assert lengths[0] > lengths[1]
    looked = heedful.look(translator, "the red xyz", patch_from="the green fox", patch=["source.1"])
    assert any("their states stay: “fox” for “xyz”." in note for note in looked.record.notes)
    with pytest.raises(UserError, match="no word 'xyz' has as many tokens in both texts; those that have: the, red"):
        heedful.look(translator, "the red xyz", patch_from="the green fox", patch=["source.1:xyz"])


def test_as_many_texts_as_were_given() -> None:
    with pytest.raises(UserError, match="2 texts were given"):
        heedful.look(tiny.of("embed"), "the fox", "the bird", patch_from="the bird")


def test_of_several_windows_none_is_exchanged() -> None:
    long = "the red fox sees [MASK] . " * 12
    with pytest.raises(UserError, match="several windows"):
        heedful.look(tiny.of("fill"), long, patch_from=long.replace("red", "green"))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"patch_from": "the fox"}, "is 4 words, as the model cuts it, and that of the other text 3"),
        ({"patch_from": "the red fox"}, "same text"),
        ({"patch_from": "the red bird", "patch": ["source.7"]}, "'source.7'; "),
        ({"patch_from": "the red bird", "patch": ["source.1.source.weights"]}, "nothing of this model"),
        ({"patch_from": "the red bird", "patch": ["target.1"]}, "target is not given but written"),
        ({"patch_from": "the red bird", "patch": ["source.1:cow"]}, "no word 'cow'"),
        ({"patch": ["source.1"]}, "--patch-from TEXT"),
        ({"patch_from": "a", "against": "x"}, "--patch-from out"),
        ({"patch_from": "the red bird", "hide": ["fox"]}, "--patch ADDRESS"),
    ],
)
def test_mistakes_are_told(given: dict[str, object], told: str) -> None:
    with pytest.raises(UserError) as caught:
        heedful.look(tiny.of("translate"), "the red fox", **given)  # type: ignore[arg-type]
    assert told in str(caught.value)
