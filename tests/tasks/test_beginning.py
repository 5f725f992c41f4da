"""What all tasks begin with: files found, sizes chosen, a model to start from; and finished models found again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from heedful.config import Recipe, parse_recipe
from heedful.errors import UserError
from heedful.model.families import encoder
from heedful.model.model import Model
from heedful.model.plan import Head
from heedful.tasks import finding
from heedful.tasks.beginning import keep_start, located, plan_of_start, planned, settled, start_with
from heedful.text.tokenizer import Tokenizer, train_tokenizer

SIZES = {"width": 8, "layers": 1, "heads": 2, "feedforward": 8, "capacity": 12}


def saved(folder: Path, task: str = "fill", seed: int = 1) -> tuple[Model, Tokenizer]:
    tokenizer = train_tokenizer(["ab abc abcd"], size=300, tags=("<mask>",))
    model = Model(encoder(vocab=tokenizer.vocab_size, **SIZES), seed)  # type: ignore[arg-type]
    finding.save_model(folder, model, task, tokenizer, {"longest": 12, "masking": {}})
    return model, tokenizer


def recipe(*settings: str, task: str = "classify") -> Recipe:
    return parse_recipe({"task": task}, list(settings))


def test_files_are_found_as_named_or_under_the_root(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("x\ty\n")
    assert located(recipe('data.train=["a.tsv"]'), tmp_path).data.train == (str(tmp_path / "a.tsv"),)
    with pytest.raises(UserError, match=r"b\.tsv: no such file"):
        located(recipe('data.train=["a.tsv"]', 'data.test=["b.tsv"]'), tmp_path)
    with pytest.raises(UserError, match="no training data: give --train FILE"):
        located(recipe(), tmp_path)


def test_what_is_left_open_is_chosen_and_what_is_said_stays() -> None:
    found = settled(recipe(), size=500)
    assert (found.model["preset"], found.tokenizer.size, found.training.limit) == ("bert-tiny", 500, "20m")
    assert found.training.warmup == 400
    said = recipe("tokenizer.size=700", "training.steps=50", "training.warmup=3", "model.preset=bert-mini")
    assert settled(said, size=500) == said


def test_with_a_start_the_tokenizer_is_its_own(tmp_path: Path) -> None:
    _, tokenizer = saved(tmp_path / "start")
    found = settled(recipe(f"training.start={tmp_path / 'start'}", "tokenizer.lowercase=true"), size=500)
    assert (found.tokenizer.size, found.tokenizer.lowercase) == (tokenizer.vocab_size, False)
    assert "preset" not in found.model


def test_the_newer_start_is_taken_until_there_is_a_checkpoint(tmp_path: Path) -> None:
    data = tmp_path / "run" / "data"
    for seed, trained in ((1, False), (2, False), (3, True)):
        (model, _), start = saved(tmp_path / str(seed), seed=seed), tmp_path / str(seed)
        if trained:
            (tmp_path / "run" / "checkpoints").mkdir()
        lines, tokenizer = keep_start(recipe(f"training.start={start}"), data)
        assert lines == [f"model: starts from {start}; its tokenizer is taken"]
        assert tokenizer is not None
        kept = finding.load_for(data / "start", "fill")[0].tensors()
        same = all(torch.equal(kept[name], tensor) for name, tensor in model.tensors().items())
        assert same is not trained
    assert keep_start(recipe(), data) == ([], None)


def test_the_trunk_is_taken_and_new_heads_stay_as_they_are(tmp_path: Path) -> None:
    given, tokenizer = saved(tmp_path / "start")
    chosen = recipe(f"training.start={tmp_path / 'start'}", "data.longest=12")
    keep_start(chosen, tmp_path / "data")
    label = Head(name="label", streams=("text",), outputs=3, reads="mean")
    plan = planned(chosen, tokenizer.vocab_size, plan_of_start(chosen, tmp_path / "data")).with_heads(label)
    model = Model(plan, seed=5)
    before = {name: tensor.clone() for name, tensor in model.tensors().items()}
    start_with(model, chosen, tmp_path / "data")
    theirs = given.tensors()
    for name, tensor in model.tensors().items():
        assert torch.equal(tensor, before[name] if name.startswith("heads.") else theirs[name])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["model.vocab=9"], "model.vocab is the tokenizer's to say"),
        (["model.capacity=8", "data.longest=9"], "8 learned positions, fewer than data.longest = 9"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(settings: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        planned(recipe(*settings), 300)


def test_a_finished_model_is_loaded_for_its_task_only(tmp_path: Path) -> None:
    saved(tmp_path / "m")
    assert finding.task_of(tmp_path / "m") == "fill"
    assert type(finding.load(tmp_path / "m")).__name__ == "Filler"
    with pytest.raises(UserError, match="a model for the task 'fill', not for tag"):
        finding.load_for(tmp_path / "m", "tag")
    saved(tmp_path / "other", task="fil")
    with pytest.raises(UserError, match="did you mean 'fill'"):
        finding.task_of(tmp_path / "other")
    with pytest.raises(UserError, match="no such folder; a model is in the folder of a run"):
        finding.load(tmp_path / "gone")


def test_another_tokenizer_is_noticed(tmp_path: Path) -> None:
    saved(tmp_path / "m")
    train_tokenizer(["xyz"], size=300, tags=("<mask>",)).save(tmp_path / "m" / "tokenizer.json")
    with pytest.raises(UserError, match="damaged, or not the tokenizer"):
        finding.load(tmp_path / "m")
