"""Translators trained with everything on: validation by decoding, R-drop, a teacher, a start; exact when stopped."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from heedful.config import parse_recipe
from heedful.errors import UserError
from heedful.model import hardware
from heedful.model.heads import Labels
from heedful.model.model import Model
from heedful.tasks.runs import resume, train
from heedful.tasks.translate import Translator, load
from heedful.tasks.translate.several import load_all, load_checkpoint
from heedful.tasks.translate.task import Batch, Translation
from heedful.tasks.translate.validation import spread
from heedful.train import checkpoint, distributed
from heedful.train.journal import exact, read
from heedful.train.run import Run

from .test_translate import write_corpus


@pytest.fixture(autouse=True)
def _the_same_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs on a busy machine may choose differently."""
    monkeypatch.setenv(hardware.SWITCH, "off")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run and its corpus; read only."""
    folder = tmp_path_factory.mktemp("given")
    settings = [*write_corpus(folder), "training.steps=30", "model.width=48"]
    assert train(parse_recipe({}, settings), folder / "run") == 0
    return folder / "run"


def settings_of(given: Path, *more: str) -> list[str]:
    """Of a small quick run on the same corpus."""
    return [*write_corpus(given.parent), "training.steps=20", *more]


def everything(given: Path) -> list[str]:
    return settings_of(
        given, "training.ema=0.9", "training.metric=chrf", "training.patience=3", "training.validation_sentences=6",
        "training.r_drop=2.0", f"training.teacher={given}", "training.distillation=0.4", "training.temperature=1.5",
    )  # fmt: skip


def run(out: Path, settings: list[str], steps: int | None = None) -> Path:
    assert train(parse_recipe({}, [*settings, *([f"training.steps={steps}"] if steps else [])]), out) == 0
    return out


class Stop(Exception):
    pass


def stopped(out: Path, settings: list[str], monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """A run that is interrupted before the micro-batch with this number."""
    collate, calls = Translation.collate, 0

    def stopping(self: Translation, micro_batch: object, epoch: int) -> Batch:
        nonlocal calls
        calls += 1
        if calls == at:
            raise Stop
        return collate(self, micro_batch, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(Translation, "collate", stopping)
        with pytest.raises(Stop):
            train(parse_recipe({}, settings), out)


def assert_same(one: Path, other: Path) -> None:
    assert exact(read(one / "journal.jsonl")) == exact(read(other / "journal.jsonl"))
    last = [checkpoint.newest(folder) for folder in (one, other)]
    assert last[0]
    assert last[1]
    for file in sorted(last[0].folder.glob("*.safetensors")):
        assert file.read_bytes() == (last[1].folder / file.name).read_bytes(), file.name
    weights = [load_file(folder / "model" / "model.safetensors") for folder in (one, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


# -- exact -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_with_everything_on_a_stopped_run_is_the_same_run(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    settings = [*everything(given), f"training.precision={precision}"]
    run(tmp_path / "whole", settings)
    stopped(tmp_path / "stopped", settings, monkeypatch, at=13)
    assert resume(tmp_path / "stopped") == 0
    assert_same(tmp_path / "whole", tmp_path / "stopped")


def test_a_resumed_run_needs_only_its_own_folder(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The start and the teacher may be gone, or be others by then."""
    moved = tmp_path / "moved"
    shutil.copytree(given / "model", moved)
    settings = settings_of(given, "model.width=48", f"training.teacher={moved}", f"training.start={moved}")
    run(tmp_path / "whole", settings)
    for name, at in (("early", 2), ("late", 13)):
        stopped(tmp_path / name, settings, monkeypatch, at=at)
        shutil.move(moved, tmp_path / "away")
        assert resume(tmp_path / name) == 0
        shutil.move(tmp_path / "away", moved)
        assert_same(tmp_path / "whole", tmp_path / name)


def rank(number: int, port: int, out: Path, settings: list[str]) -> None:
    """One of two ranks, with the environment that torchrun would set; the server that forks it may have another."""
    os.environ |= {
        hardware.SWITCH: "off",
        "RANK": str(number), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
    }  # fmt: skip
    os._exit(train(parse_recipe({}, settings), out))


def test_with_everything_on_two_processes_are_one_that_accumulates(given: Path, tmp_path: Path) -> None:
    settings, port = everything(given), distributed._free_port()
    fork = multiprocessing.get_context("forkserver")
    both = [fork.Process(target=rank, args=(n, port, tmp_path / "two", settings)) for n in (0, 1)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    run(tmp_path / "one", [*settings, "training.accumulate=2"])
    ours, theirs = (exact(read(tmp_path / name / "journal.jsonl")) for name in ("two", "one"))
    for one, other in zip(ours, theirs, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert one.get("tokens") == other.get("tokens")


# -- validation ------------------------------------------------------------------------------------------------------


def validations(folder: Path) -> list[dict[str, object]]:
    return [line for line in read(folder / "journal.jsonl") if line["kind"] == "validation"]


def test_validation_by_decoding_changes_no_bit_of_training(given: Path, tmp_path: Path) -> None:
    run(tmp_path / "loss", settings_of(given))
    run(tmp_path / "bleu", settings_of(given, "training.metric=bleu", "training.validation_sentences=7"))
    steps = [[line for line in exact(read(tmp_path / name / "journal.jsonl")) if line["kind"] == "step"]
             for name in ("loss", "bleu")]  # fmt: skip
    assert steps[0] == steps[1]
    plain, scored = validations(tmp_path / "loss")[-1], validations(tmp_path / "bleu")[-1]
    assert plain["loss"] == scored["loss"]
    assert {"chrf", "bleu"} <= set(scored) - set(plain)


def test_the_scores_are_those_of_the_model_at_hand(given: Path, tmp_path: Path) -> None:
    """chrF of the finished model's own greedy answers to the held-out sentences, and the samples are some of them."""
    from sacrebleu.metrics import CHRF

    run(tmp_path / "run", settings_of(given, "training.metric=chrf", "training.final=last", "training.ema=0.5"))
    translator = load(tmp_path / "run")
    task = Translation(Run.open(tmp_path / "run").recipe, tmp_path / "run" / "data", torch.device("cpu"))
    options = translator.options(beam=1, max_length=task.heldout.options.max_length)
    answers = translator.translate(task.heldout.sources, options=options)
    line = validations(tmp_path / "run")[-1]
    assert line["chrf"] == pytest.approx(CHRF().corpus_score(answers, [task.heldout.references]).score)
    samples = line["samples"]
    assert isinstance(samples, list)
    assert len(samples) == 5
    for sample in samples:
        place = task.heldout.sources.index(sample["source"])
        assert sample["reference"] == task.heldout.references[place]
        assert sample["output"] == answers[place]


def test_sentences_are_spread_over_the_dev_set() -> None:
    assert spread(3, 5).tolist() == [0, 1, 2]
    assert spread(1000, 5).tolist() == [0, 250, 500, 749, 999]
    assert len(np.unique(spread(501, 500))) == 500


def test_a_model_that_never_stops_is_cut(given: Path) -> None:
    task = Translation(Run.open(given).recipe, given / "data", torch.device("cpu"))
    longest = max(len(task.tokenizers["target"].encode(text)) for text in task.heldout.references)
    assert task.heldout.options.max_length == 2 * longest + 10


# -- R-drop and distillation -----------------------------------------------------------------------------------------


def batches(given: Path, *more: str) -> tuple[Translation, Batch, Batch]:
    """A task of these settings, one of its batches, and the same batch as a task without them has it."""
    recipe = parse_recipe({}, settings_of(given, *more))
    plain = Translation(Run.open(given).recipe, given / "data", torch.device("cpu"))
    task = Translation(
        recipe.__class__(**{key: getattr(plain.recipe, key) for key in ("data", "tokenizer", "model")},
                         training=recipe.training), given / "data", torch.device("cpu"),
    )  # fmt: skip
    some = task.micro_batches(0)[0]
    return task, task.collate(some, 0), plain.collate(some, 0)


def test_r_drop_sees_every_row_twice_under_two_dropouts(given: Path) -> None:
    task, twice, once = batches(given, "training.r_drop=3.0")
    assert twice.tokens == once.tokens
    states, _ = task.model.train().encode(twice.inputs)
    first, second = states["target"].chunk(2)
    assert not torch.allclose(first, second)
    logits = [task.model.heads["next_token"](half).log_softmax(-1) for half in (first, second)]
    ids = once.labels["next_token"].ids
    expected = sum(torch.nn.functional.nll_loss(one, ids, reduction="sum") for one in logits) / 2
    for p, q in (logits, logits[::-1]):
        expected = expected + 3.0 / 4 * torch.nn.functional.kl_div(q, p, reduction="sum", log_target=True)
    labels = twice.labels["next_token"]
    found = task.model.heads["next_token"].loss(states["target"], labels)
    assert float(found.loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    still, _ = task.model.eval().encode(twice.inputs)
    first, second = still["target"].chunk(2)
    torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-5)


def test_a_teacher_is_asked_about_the_same_words(given: Path, tmp_path: Path) -> None:
    """The head's sum is KL(teacher || student) by the two models' own logits."""
    out = run(tmp_path / "run", settings_of(given, f"training.teacher={given}", "training.distillation=1.0"), steps=1)
    task = Translation(Run.open(out).recipe, out / "data", torch.device("cpu"))
    batch = task.collate(task.micro_batches(0)[0], 0)
    teacher, student = load(given).model, task.model.eval()
    logits = [model.logits("next_token", *model.encode(batch.inputs)).log_softmax(-1) for model in (teacher, student)]
    expected = torch.nn.functional.kl_div(logits[1], logits[0], reduction="sum", log_target=True)
    found = student(batch.inputs, batch.labels)["next_token"].loss
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    assert all(not parameter.requires_grad for parameter in (task.teacher or teacher).parameters())
    again = Labels(batch.labels["next_token"].ids)
    assert float(student(batch.inputs, {"next_token": again})["next_token"].loss.detach()) != float(found.detach())


def test_a_teacher_brings_its_tokenizer(given: Path, tmp_path: Path) -> None:
    out = run(tmp_path / "run", settings_of(given, f"training.teacher={given}", "tokenizer.size=300"), steps=1)
    ours, theirs = (load(folder).tokenizers["source"] for folder in (out, given))
    assert ours.fingerprint == theirs.fingerprint
    assert Run.open(out).recipe.tokenizer.size == theirs.vocab_size


# -- starting from a translator --------------------------------------------------------------------------------------


def test_a_run_goes_on_from_a_translator(given: Path, tmp_path: Path) -> None:
    """With [model] left out it has the start's own plan; untrained it is the start."""
    settings = [line for line in settings_of(given, f"training.start={given}") if not line.startswith("model.")]
    start, copied = load(given), run(tmp_path / "run", [*settings, "training.rate=0"], steps=1)
    assert load(copied).model.plan == start.model.plan
    theirs = start.model.tensors()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in load(copied).model.tensors().items())
    trained = load(run(tmp_path / "trained", settings, steps=3))
    assert not all(torch.equal(tensor, theirs[name]) for name, tensor in trained.model.tensors().items())
    first = next(line for line in read(tmp_path / "trained" / "journal.jsonl") if line["kind"] == "step")
    cold = next(line for line in read(given / "journal.jsonl") if line["kind"] == "step")
    assert first["nll"] < 0.8 * cold["nll"]


def test_a_plan_that_differs_in_dropout_alone_is_taken(given: Path, tmp_path: Path) -> None:
    settings = settings_of(given, f"training.start={given}", "model.width=48", "model.dropout=0.25")
    found = load(run(tmp_path / "run", settings, steps=1)).model.plan
    assert found != load(given).model.plan
    assert "0.25" in repr(found)


def test_starting_twice_in_one_folder_takes_the_new_start(given: Path, tmp_path: Path) -> None:
    """A run that was refused leaves its data; what it copied must not be taken for the next one's."""
    other = load(given)
    with torch.no_grad():
        next(other.model.parameters()).mul_(0.5)
    shutil.copytree(given / "model", tmp_path / "other")
    config = {"task": "translate", "tokenizers": {s: t.fingerprint for s, t in other.tokenizers.items()}}
    other.model.save(tmp_path / "other", config)
    (tmp_path / "run" / "data").mkdir(parents=True)
    shutil.copytree(tmp_path / "other", tmp_path / "run" / "data" / "start")
    settings = [line for line in settings_of(given, f"training.start={given}") if not line.startswith("model.")]
    found = load(run(tmp_path / "run", [*settings, "training.rate=0"], steps=1)).model.tensors()
    assert all(torch.equal(found[name], tensor) for name, tensor in load(given).model.tensors().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("training.start={given}\nmodel.width=32", r"\[model\] is not that of training\.start: streams\.0\.width: 32"),
        ("training.start={given}\nmodel.width=48\nmodel.layers=3", r"steps: \d+ of them in the recipe"),
        ("training.start=/nowhere", "no such folder; a model is in the folder of a run"),
        ("training.teacher=/nowhere", "no such folder; a model is in the folder of a run"),
        ("training.teacher={bert}", "a model for the task 'fill', not for translation"),
        ("training.start={given}\ntraining.teacher={other}", "has another source tokenizer than"),
        ('training.start={given}\nmodel.width=48\ndata.tags=["de"]', "learns no new tags"),
    ],
)
def test_mistakes_are_told_in_one_line(given: Path, tmp_path: Path, change: str, message: str) -> None:
    shutil.copytree(given / "model", tmp_path / "bert")
    Model.save(load(given).model, tmp_path / "bert", {"task": "fill"})
    if "{other}" in change:
        (tmp_path / "text").mkdir()
        run(tmp_path / "other", [*write_corpus(tmp_path / "text", seed=9), "tokenizer.size=300"], steps=1)
    change = change.format(given=given, bert=tmp_path / "bert", other=tmp_path / "other")
    with pytest.raises(UserError, match=message) as told:
        train(parse_recipe({}, settings_of(given, *change.split("\n"))), tmp_path / "run")
    assert "\n" not in str(told.value)
    assert not (tmp_path / "run").exists()


def test_a_start_with_tags_wants_them(given: Path, tmp_path: Path) -> None:
    tagged = run(tmp_path / "tagged", settings_of(given, 'data.tags=["de"]'), steps=1)
    with pytest.raises(UserError, match=r"several target languages; name those of the data in data\.tags: de"):
        train(parse_recipe({}, settings_of(given, f"training.start={tagged}")), tmp_path / "run")
    again = run(tmp_path / "again", settings_of(given, f"training.start={tagged}", 'data.tags=["de"]'), steps=1)
    assert load(again).tags == ("de",)


# -- several models --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ema", ["training.ema=0", "training.ema=0.9"])
def test_a_checkpoint_is_a_model(given: Path, tmp_path: Path, ema: str) -> None:
    out = run(tmp_path / "run", settings_of(given, ema, "training.final=last"))
    model, done = load_checkpoint(out, 20), load(out)
    found = model.tensors()
    assert all(torch.equal(found[name], tensor) for name, tensor in done.model.tensors().items())
    assert not model.training
    earlier = out / "checkpoints" / "step-00000015"
    both = load_all([out, earlier, out / "model"])
    assert all(isinstance(one, Translator) for one in both)
    assert both[1].translate(["alpha beta"])
    with pytest.raises(UserError, match=r"has no checkpoint of step 7; it has 10, 15, 20"):
        load_checkpoint(out, 7)
    (earlier / "model.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match=r"model\.safetensors: has 1 bytes"):
        load_checkpoint(out, 15)


def test_a_checkpoint_of_two_corpora_of_a_language(given: Path, tmp_path: Path) -> None:
    settings = settings_of(given, 'data.tags=["de", "de"]')
    files = {"data.source": "a.src", "data.target": "a.tgt"}
    where = given.parent
    doubled = [f'{key}=["{where}/{name}", "{where}/{name}"]' for key, name in files.items()]
    out = run(tmp_path / "run", [*settings, *doubled], steps=5)
    one, other = load_all([out, out / "checkpoints" / "step-00000005"])
    assert one.tags == other.tags == ("de",)
    assert "translates into de." in (out / "model" / "README.md").read_text("utf-8")


def test_models_of_other_words_do_not_decode_together(given: Path, tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    other = run(tmp_path / "other", [*write_corpus(tmp_path / "text", seed=9), "tokenizer.size=300"], steps=1)
    with pytest.raises(UserError, match="has another source tokenizer than"):
        load_all([given, other])
    tagged = run(tmp_path / "tagged", settings_of(given, 'data.tags=["de"]'), steps=1)
    with pytest.raises(UserError, match="has another source tokenizer than"):
        load_all([given, tagged])
