"""Changed runs: what hiding a word or switching off a head does to the answer, against passes done by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import heedful
from heedful.errors import UserError
from heedful.inside import probing
from heedful.inside.attribution import blank
from heedful.inside.record import Record, View
from heedful.model.model import Model
from heedful.model.probe import Probe
from heedful.tasks.looking import what_if
from heedful.tasks.looking.opening import read
from heedful.tasks.looking.reading import Asked, Reading

from . import tiny
from .tiny import SENTENCE, TASKS


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.picture(tmp_path_factory.mktemp("pictures"))


def reading(task: str, picture: Path) -> Reading:
    _, texts, sees = TASKS[task]
    return read(tiny.of(task), Asked(tuple(texts), picture if sees else None))


def log_probabilities(model: Model, own: Reading, probe: Probe | None) -> np.ndarray:
    """Of the tokens that were written, in one pass."""
    with torch.no_grad():
        states, layouts = model.encode(own.rows[0].inputs, probe=probe)
        logits = model.logits("next_token", states, layouts).log_softmax(-1).numpy()
    assert own.written is not None
    skipped = len(logits) - len(own.written)
    return logits[np.arange(skipped, len(logits)), list(own.written)]


@pytest.mark.parametrize("task", ["translate", "write", "caption"])
def test_changes_are_those_of_passes_by_hand(task: str, picture: Path) -> None:
    own = reading(task, picture)
    model = own.model
    before = log_probabilities(model, own, None)
    changes = [*what_if.words_hidden(own), *what_if.heads_off(own)]
    runs, each = what_if.judged(own, changes, redone=0)
    assert len(runs) == len(changes)
    for run, change, found in zip(runs, changes, each, strict=True):
        if change.what == "word":
            ((stream, places),) = change.without.tokens.items()
            probe: Probe = probing.hidden(stream, places)
        else:
            probe = probing.heads_off(change.without.heads)
        after = log_probabilities(model, own, probe)
        assert np.allclose(found, after - before, atol=1e-4)
        assert (run.logprob, run.change) == pytest.approx((after.sum(), (after - before).sum()), abs=1e-3)
        assert run.changes == pytest.approx(found.tolist())


def test_only_what_was_given_is_hidden(picture: Path) -> None:
    prompt = [change.without.tokens["text"] for change in what_if.words_hidden(reading("write", picture))]
    assert [place for places in prompt for place in places] == list(
        range(1, 1 + len(tiny.tokenizer(True).encode("the red fox")))
    )
    several = what_if.words_hidden(reading("match", picture))
    assert {change.where[0] for change in several} == {"text", "picture"}
    assert len(several) == 3 + 4


@pytest.mark.parametrize("task", TASKS)
def test_what_is_answered_then_is_the_tasks_answer_while_watched(task: str, picture: Path) -> None:
    own = reading(task, picture)
    changes = what_if.heads_off(own)
    runs, _ = what_if.judged(own, changes, redone=2)
    done = [(run, change) for run, change in zip(runs, changes, strict=True) if run.text]
    assert 1 <= len(done) <= 2
    for run, change in done:
        assert abs(run.change) >= max(abs(other.change) for other in runs if not other.text) - 1e-6
        with own.model.watched(probing.heads_off(change.without.heads)):
            assert run.text == reading(task, picture).answer
    assert own.model.probe is None


def test_of_two_texts_words_are_judged_by_likeness(picture: Path) -> None:
    own = reading("embed", picture)
    embedder, texts = tiny.of("embed"), list(TASKS["embed"][1])
    vectors = embedder.embed(texts)
    changes = what_if.words_hidden(own)
    runs, each = what_if.judged(own, changes, redone=0)
    for run, change, (difference,) in zip(runs, changes, each, strict=True):
        ((_, places),) = change.without.tokens.items()
        with own.model.watched(probing.hidden("text", places)):
            changed = embedder.embed(texts)
        there = int(run.where[0] == "second")
        alike = float(changed[there] @ vectors[1 - there])
        assert run.logprob == pytest.approx(alike, abs=1e-5)
        assert difference == pytest.approx(alike - float(vectors[0] @ vectors[1]), abs=1e-5)


def view(record: Record, kind: str, name: str) -> View:
    return next(view for view in record.views if (view.kind, view.name) == (kind, name))


def test_occlusion_says_what_the_answer_loses() -> None:
    record = heedful.look(tiny.of("translate"), SENTENCE, what_if=True).record
    kind = record.kind("target.source")
    found = view(record, kind.name, "occlusion").weights
    source = record.lines["source"]
    for run in record.what_if:
        if run.what == "word":
            tokens = source.word == run.where[1]
            assert np.allclose(found[:, tokens].sum(1), -np.array(run.changes), atol=1e-5)
    assert not found[:, -1].any(), "the end is no word"
    only = heedful.look(tiny.of("translate"), SENTENCE, what_if=False, attribution="occlusion").record
    assert np.array_equal(view(only, kind.name, "occlusion").weights, found)
    assert only.what_if == ()


def scores(own: Reading, given: Any) -> np.ndarray:
    """The numbers of the score [n] of one row."""
    assert own.scored is not None
    with torch.no_grad():
        states = {name: own.model.embedded(name, one) for name, one in given.items()}
        layouts = {name: one.layout for name, one in given.items()}
        ends = own.model.run(states, layouts, last=own.scored.last)
        return own.scored.score(ends, layouts)[0].double().numpy()


@pytest.mark.parametrize("task", ["translate", "write", "fill", "classify", "tag", "answer", "ask", "match", "caption"])
def test_integrated_gradients_add_up_to_the_change(task: str, picture: Path) -> None:
    _, texts, sees = TASKS[task]
    record = heedful.look(
        tiny.of(task), texts, picture=picture if sees else None, what_if=False, attribution="ig"
    ).record
    views = [view for view in record.views if view.name == "ig"]
    assert len(views) == (2 if task in ("ask", "match") else 1)
    own = reading(task, picture)
    (row,), scored = own.rows, own.scored
    assert scored is not None
    for stream, found in zip(row.told, views, strict=True):
        assert found.signed
        assert "not explained" in found.note
        line, told = row.lines[stream], what_if.told_of(own, row, stream)
        keep = [place for place in range(len(line)) if place >= told or line.control[line.word[place]]]
        empty = {**row.inputs, stream: blank(row.inputs[stream], row.blank, keep)}
        before, after = (scores(own, given) for given in (empty, row.inputs))
        change = after - before
        assert found.weights.sum() == pytest.approx(change.sum(), abs=0.05 * np.maximum(1, np.abs(change)).sum()), (
            "5 % of each change, or of 1"
        )
        controls = record.lines[record.kind(found.kind).keys].control
        if task == "fill":
            assert np.allclose(found.weights[:, [0, -1]], 0, atol=1e-6), "starts and ends stay as they are"
        assert any(controls) or found.weights.any()


def test_without_time_only_the_heads_that_matter_most_are_switched_off(
    picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = reading("translate", picture)
    every = what_if.heads_off(own)
    slopes = what_if.sensitivity(own)
    chosen = what_if.likeliest_to_matter(own, every, 5)
    assert len(chosen) == 5
    least = min(slopes[one.where[0]][one.where[1]] for one in chosen)
    assert all(slopes[one.where[0]][one.where[1]] <= least for one in every if one not in chosen)
    words = len(what_if.words_hidden(own))
    monkeypatch.setattr(what_if, "FEW_SECONDS", what_if.work(own, 1) * (words + 10.5))
    record = heedful.look(tiny.of("translate"), SENTENCE, what_if=None).record
    assert sum(run.what == "head" for run in record.what_if) == 10
    assert any("of 24 heads those 10" in note for note in record.notes)
    monkeypatch.setattr(what_if, "FEW_SECONDS", 1.0)
    record = heedful.look(tiny.of("translate"), SENTENCE, what_if=None).record
    assert (record.what_if, "--what-if" in record.notes[-1]) == ((), True)


def test_a_gates_slope_is_what_a_small_step_says(picture: Path) -> None:
    own = reading("translate", picture)
    address, head, step = "target.1.source", 2, 1e-2

    def scaled(by: float) -> float:
        def change(at: str, weights: torch.Tensor, rows: Any) -> torch.Tensor:
            changed = weights.clone()
            changed[:, head] *= by
            return changed

        return float(log_probabilities(own.model, own, probing.Edit((f"{address}.weights",), change)).sum())

    slope = (scaled(1 + step) - scaled(1 - step)) / (2 * step)
    assert what_if.sensitivity(own)[address][head] == pytest.approx(abs(slope), rel=0.02, abs=1e-3)


@pytest.mark.parametrize("texts", [[SENTENCE, "a fox and a bird ."], [SENTENCE]])
def test_heads_of_embedders_are_chosen_by_what_moves_the_vector(texts: list[str]) -> None:
    loaded = tiny.of("embed")
    own = read(loaded, Asked(tuple(texts)))
    address, step = "text.1.text", 1e-2
    found = what_if.sensitivity(own)[address]

    def scaled(head: int, by: float) -> np.ndarray:
        def change(at: str, weights: torch.Tensor, rows: Any) -> torch.Tensor:
            changed = weights.clone()
            changed[:, head] *= by
            return changed

        with loaded.model.watched(probing.Edit((f"{address}.weights",), change)):
            return np.asarray(loaded.embed(texts), np.float64)

    for head in range(4):
        more, less = scaled(head, 1 + step), scaled(head, 1 - step)
        if len(texts) == 2:
            slope = abs(more[0] @ more[1] - less[0] @ less[1]) / (2 * step)
            assert found[head] == pytest.approx(slope, rel=0.02, abs=1e-3)
        else:  # in directions drawn by chance
            length = np.linalg.norm(more - less) / (2 * step)
            assert 0.5 * length < found[head] < 1.7 * length


def places_of(record: Record, line: str, word: str) -> list[int]:
    own = record.lines[line]
    return [place for place, number in enumerate(own.word) if own.words[number] == word]


def test_a_word_is_hidden_in_the_texts_that_have_it() -> None:
    """The longer text's places are not in the shorter one, nor are its words hidden there."""
    loaded, texts = tiny.of("embed"), [SENTENCE, "a fox and a bird ."]
    plain = heedful.look(loaded, texts, what_if=False).record
    record = heedful.look(loaded, texts, what_if=False, hide=["sees", "bird"]).record
    first = [place for word in ("sees", "bird") for place in places_of(record, "text", word)]
    second = places_of(record, "second", "bird")
    assert max(first) >= len(record.lines["second"])
    vectors = []
    for text, gone in zip(texts, (first, second), strict=True):
        with loaded.model.watched(probing.hidden("text", gone)):
            vectors.append(loaded.embed([text])[0])
    alike = float(vectors[0] @ vectors[1])
    assert record.answer == f"likeness {alike:.3f}"
    assert record.answers[0].guesses[0].probability == pytest.approx(alike, abs=1e-5)
    (run,) = record.what_if
    assert (run.text, run.label) == (record.answer, "without “sees” and without “bird”")
    assert run.change == pytest.approx(alike - plain.answers[0].guesses[0].probability, abs=1e-5)
    for kind, gone in (("text.text", first), ("second.second", second)):
        for layer, before in zip(record.kind(kind).layers, plain.kind(kind).layers, strict=True):
            empty = ~layer.weights.any((0, 1))
            assert np.flatnonzero(empty).tolist() == gone
            assert before.weights.any((0, 1)).all()


LONG = " ".join(tiny.WORDS * 3)
WINDOWS = {
    "fill": (f"the red [MASK] {LONG} a [MASK] .",),
    "tag": (LONG,),
    "answer": ("where is the fox ?", LONG),
}  # fmt: skip


@pytest.mark.parametrize("task", WINDOWS)
def test_a_word_of_one_window_is_hidden_in_no_other(task: str) -> None:
    loaded, texts = tiny.of(task), WINDOWS[task]
    own = read(loaded, Asked(texts))
    assert own.windows
    assert len(own.rows[0].lines["text"]) <= 32
    record = heedful.look(loaded, texts, what_if=True).record
    assert not any(run.text for run in record.what_if if run.what == "word")
    assert any(run.text for run in record.what_if if run.what == "head"), "a head is off in all windows"
    assert any("of several windows" in note for note in record.notes)
    changed = heedful.look(loaded, texts, what_if=False, hide=["river"]).record
    gone = places_of(changed, "text", "river")
    for layer in changed.kind("text.text").layers:
        assert np.flatnonzero(~layer.weights.any((0, 1))).tolist() == gone
    assert changed.answer == own.answer
    assert any("What is answered now is not known" in note for note in changed.notes)
    assert (changed.said, changed.answers) == ((), ())
    (run,) = changed.what_if
    assert (run.text, run.label) == ("", "without “river”")
    assert run.change != 0
    off = heedful.look(loaded, texts, what_if=False, head_off=["text.1.text:0"]).record
    with loaded.model.watched(probing.heads_off({"text.1.text": [0]})):
        assert off.answer == read(loaded, Asked(texts)).answer


HIDES = {
    "write": "red", "classify": "fox", "tag": "fox", "answer": "bird", "fill": "sees", "ask": "fox", "match": "fox",
}  # fmt: skip


@pytest.mark.parametrize("task", HIDES)
def test_a_word_is_hidden_from_every_task(task: str, picture: Path) -> None:
    _, texts, sees = TASKS[task]
    loaded, shown = tiny.of(task), picture if sees else None
    record = heedful.look(loaded, texts, picture=shown, what_if=False, hide=[HIDES[task]]).record
    gone = places_of(record, "text", HIDES[task])
    assert gone
    for kind in record.kinds:
        if kind.keys == "text":
            for layer in kind.layers:
                assert not layer.weights[:, :, gone].any()
    with loaded.model.watched(probing.hidden("text", gone)):
        assert record.answer == reading(task, picture).answer
    assert len(record.what_if) == 1


def test_places_that_are_not_there_yet_are_not_hidden() -> None:
    loaded = tiny.of("embed")
    with loaded.model.watched(probing.hidden("text", [1])):
        alone = loaded.embed([SENTENCE])
    for more in ([1, 99], {0: [1, 99]}):
        with loaded.model.watched(probing.hidden("text", more)):  # type: ignore[arg-type]
            assert np.array_equal(loaded.embed([SENTENCE]), alone)


def test_the_lens_is_of_the_changed_run() -> None:
    loaded, off = tiny.of("fill"), {"text.1.text": [0]}
    record = heedful.look(loaded, TASKS["fill"][1], what_if=False, head_off=["text.1.text:0"], hide=["sees"]).record
    plain = heedful.look(loaded, TASKS["fill"][1], what_if=False).record
    probe = probing.Together(probing.hidden("text", places_of(record, "text", "sees")), probing.heads_off(off))
    row = reading("fill", Path()).rows[0]
    with torch.no_grad():
        states, layouts = loaded.model.encode(row.inputs, probe=probe)
        chances = loaded.model.logits("masked_token", states, layouts).softmax(-1)
    (lens,), (before,) = record.lenses, plain.lenses
    assert lens.positions == before.positions
    for place, guesses, was in zip(lens.positions, lens.guesses[-1], before.guesses[-1], strict=True):
        assert guesses[0].probability == pytest.approx(float(chances[place].max()), abs=1e-5)
        assert guesses[0].probability != was[0].probability
    assert lens.guesses[0] == before.guesses[0], "what is read has not changed"


def test_a_changed_run_is_not_compared() -> None:
    with pytest.raises(UserError, match="compares two models as they are"):
        heedful.look(tiny.of("translate"), SENTENCE, against=tiny.of("translate"), head_off=["target.1.source:2"])


def test_a_changed_run_is_shown_as_it_was_changed() -> None:
    loaded = tiny.of("translate")
    plain = heedful.look(loaded, SENTENCE, what_if=False).record
    record = heedful.look(loaded, SENTENCE, what_if=False, head_off=["target.1.source:2"], hide=["fox"]).record
    layer = next(one for one in record.kind("target.source").layers if one.address == "target.1.source")
    assert not layer.weights[2].any()
    source = record.lines["source"]
    fox = source.word == source.words.index("fox")
    for kind in ("source.source", "target.source"):
        for one in record.kind(kind).layers:
            assert not one.weights[:, :, fox].any()
    (run,) = record.what_if
    assert run.text == record.answer
    with loaded.model.watched(
        probing.Together(
            probing.hidden("source", np.flatnonzero(fox).tolist()), probing.heads_off({"target.1.source": [2]})
        )
    ):
        assert record.answer == loaded.translate([SENTENCE])[0]
    assert any(plain.answer in note for note in record.notes)
    assert loaded.model.probe is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"head_off": ["target.9.source:1"]}, "did you mean 'target."),
        ({"head_off": ["target.1.source"]}, "has the heads 0 to 3"),
        ({"head_off": ["target.1.source:4"]}, "has the heads 0 to 3"),
        ({"head_off": ["target.1.source:x"]}, "has the heads 0 to 3"),
        ({"hide": ["wolf"]}, "there is no such word"),
    ],
)
def test_what_is_not_there_cannot_be_changed(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        heedful.look(tiny.of("translate"), SENTENCE, **change)


def test_two_models_are_compared_while_they_say_the_same() -> None:
    one, other = tiny.of("translate"), tiny.translator()
    with torch.no_grad():
        for parameter in other.model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    record = heedful.look(one, SENTENCE, what_if=False, against=other).record
    found = view(record, "target.source", "difference")
    assert found.signed
    forced = read(other, replace(Asked((SENTENCE,)), said=read(one, Asked((SENTENCE,))).written))
    plain = heedful.look(one, SENTENCE, what_if=False).record
    theirs = np.zeros(found.weights.shape)
    with torch.no_grad():
        seen = probing.capture(other.model, forced.rows[0].inputs, ["target.*.source.weights"])
    for address in seen.addresses:
        theirs += seen.row(address).numpy().mean(0) / len(seen.addresses)
    ours = np.mean([layer.weights.mean(0) for layer in plain.kind("target.source").layers], axis=0)
    assert np.allclose(found.weights, theirs - ours, atol=1e-5)
    said = sum(one.logprob for one in forced.said) - sum(one.logprob for one in plain.said)
    assert any(f"by {abs(said):.2f} nats" in note for note in record.notes)
    with pytest.raises(UserError, match="cannot be compared"):
        heedful.look(one, SENTENCE, what_if=False, against=tiny.of("write"))
