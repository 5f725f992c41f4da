"""Running averages, the best validation, patience, and which weights a run is finished with."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import standin
import torch
from standin import StandIn, begin, finished, step_loop
from test_distributed import two_ranks
from test_loop import STOPS, Stop, Stopping, same_run

from heedful.config import parse_recipe
from heedful.errors import UserError
from heedful.train import checkpoint
from heedful.train.distributed import connect
from heedful.train.ema import Ema
from heedful.train.journal import exact, read
from heedful.train.loop import train
from heedful.train.optimizer import Optimizer
from heedful.train.validation import Sample, Standings, Validation, better, described


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Scripted(StandIn):
    """Validations that score as told, by step; the last of them again when there are no more."""

    def __init__(self, scores: list[float], metric: str = "chrf") -> None:
        super().__init__()
        self.scores, self.metric = scores, metric

    def validate(self, model: torch.nn.Module) -> Validation:
        true = super().validate(model).scores
        score = self.scores.pop(0) if len(self.scores) > 1 else self.scores[0]
        return Validation({**true, self.metric: score}, (Sample("a", "b", "c"),))


def lines(run: Path, kind: str) -> list[dict[str, object]]:
    return [line for line in read(run / "journal.jsonl") if line["kind"] == kind]


# -- the running average ---------------------------------------------------------------------------------------------


def test_an_average_is_the_one_computed_by_hand() -> None:
    draw = torch.Generator().manual_seed(1)
    weights = {"a": torch.randn(3, 4, generator=draw), "b": torch.randn(5, generator=draw)}
    average, by_hand = Ema(weights, 0.5), {name: weight.double() for name, weight in weights.items()}
    for update in range(1, 30):
        for weight in weights.values():
            weight += torch.randn(weight.shape, generator=draw)
        average.update(weights, update)
        decay = min(0.5, (1 + update) / (10 + update))
        by_hand = {name: decay * mean + (1 - decay) * weights[name].double() for name, mean in by_hand.items()}
    for name, mean in by_hand.items():
        torch.testing.assert_close(average.weights[name].double(), mean, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_validated_and_finished_is_the_average(tmp_path: Path, precision: str) -> None:
    task = step_loop(tmp_path / "run", steps=20, ema=0.9, precision=precision, final="last")
    found = checkpoint.newest(tmp_path / "run")
    assert found
    average, last = found.tensors("ema"), found.tensors("model")
    for name, tensor in finished(tmp_path / "run").items():
        assert torch.equal(tensor, average[name])
        assert not torch.equal(tensor, last[name])
    task.model.eval()
    with torch.no_grad():
        scores = task.validate(task.model).scores
    assert lines(tmp_path / "run", "validation")[-1]["loss"] == pytest.approx(scores["loss"], rel=1e-6)
    step_loop(tmp_path / "plain", steps=20, precision=precision, final="last")
    steps = [exact(lines(tmp_path / name, "step")) for name in ("run", "plain")]
    assert steps[0] == steps[1]  # training itself knows nothing of it
    plain = checkpoint.newest(tmp_path / "plain")
    assert plain
    assert set(plain.tensors("model")) == set(last)
    assert not (plain.folder / "ema.safetensors").exists()


def test_a_model_shown_other_weights_is_as_before_afterwards() -> None:
    """Also where the model computes in bf16 and has tables, and where those are replaced meanwhile."""
    for precision in ("fp32", "bf16"):
        task = StandIn()
        task.model.register_buffer("table", torch.arange(3.0))
        optimizer = Optimizer(task.model, standin.recipe().training, precision)  # type: ignore[arg-type]
        before = {name: (tensor, tensor.clone()) for name, tensor in task.model.state_dict(keep_vars=True).items()}
        other = {name: torch.full_like(weight, 0.5) for name, weight in optimizer.weights.items()}
        with optimizer.showing(other):
            assert all(bool((p == 0.5).all()) and p.dtype == torch.float32 for p in task.model.parameters())
            assert task.model.table.dtype == torch.float32
            task.model.table = torch.arange(9.0)
        after = task.model.state_dict(keep_vars=True)
        assert set(after) == set(before)
        for name, (tensor, content) in before.items():
            assert after[name] is tensor
            assert torch.equal(tensor, content)


def test_a_checkpoint_without_an_average(tmp_path: Path) -> None:
    run = begin(tmp_path / "run", steps=5, ema=0.9)
    tensors = Optimizer(StandIn().model, standin.recipe().training).tensors()
    checkpoint.publish(run.folder, 5, tensors, {"step": 5, "updates": 5})
    with pytest.raises(UserError, match=r"ema\.safetensors: is not in this checkpoint"):
        step_loop(run.folder)


# -- the best, and patience ------------------------------------------------------------------------------------------


def test_which_scores_are_better() -> None:
    assert better("loss", 1.0, 2.0)
    assert better("chrf", 2.0, 1.0)
    assert better("bleu", 2.0, None)
    assert not better("loss", 1.0, 1.0)
    assert not better("chrf", float("nan"), 1.0)
    assert described({"loss": 1.23456, "bleu": None}) == "loss 1.235  bleu nan"


def test_standings() -> None:
    standings, nan = Standings(), float("nan")
    taken = [standings.take(step, {"chrf": score}, "chrf", 2) for step, score in enumerate([nan, 1.0, 3.0, 3.0, nan])]
    assert taken == [False, True, True, False, False]
    assert (standings.best_step, standings.stale, standings.recent) == (2, 2, [3, 4])
    assert standings.last
    assert standings.last.scores == {"chrf": None}


def test_the_best_follows_the_metric(tmp_path: Path) -> None:
    step_loop(tmp_path / "run", Scripted([1.0, 3.0, 2.0, 2.5]), steps=40, metric="chrf", keep=1)
    assert [line["best"] for line in lines(tmp_path / "run", "validation")] == [10, 20, 20, 20]
    assert lines(tmp_path / "run", "validation")[0]["samples"] == [{"source": "a", "reference": "b", "output": "c"}]
    best = checkpoint.load(tmp_path / "run", 20).tensors("model")  # kept for the end
    assert all(torch.equal(best[name], tensor) for name, tensor in finished(tmp_path / "run").items())
    (end,) = lines(tmp_path / "run", "finished")
    assert (end["weights"], end["chrf"], end["over"]) == ([20], 3.0, "steps")
    assert (end["best"]["step"], end["best"]["scores"]["chrf"]) == (20, 3.0)  # type: ignore[index]
    assert (end["last"]["step"], end["last"]["scores"]["chrf"]) == (40, 2.5)  # type: ignore[index]


@pytest.mark.parametrize(("patience", "steps", "end"), [(1, 20, "patience"), (2, 50, "patience"), (3, 80, "steps")])
def test_patience_ends_a_run_when_it_should(tmp_path: Path, patience: int, steps: int, end: str) -> None:
    """Also under a schedule that would go on: it just stops."""
    scores = [5.0, 4.0, 6.0, 5.0, 4.0, 6.5, 6.0, 6.0]
    options = {"metric": "bleu", "patience": patience, "schedule": "cosine"}
    step_loop(tmp_path / "run", Scripted(scores, "bleu"), steps=80, **options)
    assert len(lines(tmp_path / "run", "step")) == steps
    assert lines(tmp_path / "run", "finished")[0]["over"] == end
    again = train(StandIn(), begin(tmp_path / "run"), connect("cpu", 1), silent=True)
    assert again.step == steps  # it stays ended


def test_a_metric_that_the_task_has_not(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training\.metric = 'bleu', but this task is scored by: loss, accuracy"):
        step_loop(tmp_path / "run", steps=10, metric="bleu")


# -- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ema", [0.0, 0.8])
@pytest.mark.parametrize(
    ("options", "weights"),
    [({}, [10]), ({"final": "best"}, [10]), ({"final": "last"}, [40]), ({"average": 3}, [20, 30, 40]),
     ({"average": 2, "final": "average"}, [30, 40])],
)  # fmt: skip
def test_what_becomes_the_model(
    tmp_path: Path, options: dict[str, object], weights: list[int], ema: float, capfd: pytest.CaptureFixture[str]
) -> None:
    run = begin(tmp_path / "run", steps=40, metric="chrf", ema=ema, keep=1, **options)
    train(Scripted([3.0, 1.0, 2.0, 2.5]), run, connect("cpu", 1))
    (end,) = lines(run.folder, "finished")
    assert end["weights"] == weights
    parts = [checkpoint.load(run.folder, step).tensors("ema" if ema else "model") for step in weights]
    for name, tensor in finished(run.folder).items():
        torch.testing.assert_close(tensor, sum(part[name] for part in parts) / len(parts))
    shown = capfd.readouterr().err
    assert f"finished: weights of step {', '.join(map(str, weights))}: loss" in shown
    assert "best: step 10: loss" in shown
    assert "last: step 40: loss" in shown
    before = finished(run.folder)  # killed after the last save, the run finishes again to the same bits
    step_loop(run.folder, Scripted([2.5]))
    assert all(torch.equal(tensor, before[name]) for name, tensor in finished(run.folder).items())


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"final": "average"}, r"needs training\.average: of how many, 2 or more"),
        ({"final": "last", "average": 3}, r"training\.final = 'last', but training\.average = 3; leave one"),
        ({"final": "first"}, r"training\.final: "),
        ({"ema": 1.0}, r"training\.ema = 1\.0 is outside 0\.0 to 0\.999999"),
        ({"ema": -0.1}, r"training\.ema"),
        ({"patience": -1}, r"training\.patience"),
        ({"metric": "ter"}, r"training\.metric"),
        ({"validation_sentences": 0}, r"training\.validation_sentences"),
        ({"r_drop": float("nan")}, r"training\.r_drop"),
        ({"distillation": 1.5}, r"training\.distillation"),
        ({"temperature": 0.0}, r"training\.temperature"),
    ],
)
def test_settings_that_make_no_sense(training: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as told:
        parse_recipe({"training": training})
    assert "\n" not in str(told.value)


# -- stopped and resumed ---------------------------------------------------------------------------------------------

EVERYTHING = {"steps": 25, "ema": 0.9, "patience": 2, "average": 2, "schedule": "cosine"}


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resumed_is_uninterrupted(tmp_path: Path, stop: str, precision: str) -> None:
    options = {**EVERYTHING, "precision": precision}
    step_loop(tmp_path / "whole", **options)
    with pytest.raises(Stop):
        step_loop(tmp_path / "stopped", Stopping(at=STOPS[stop]), **options)
    step_loop(tmp_path / "stopped")
    same_run(tmp_path / "whole", tmp_path / "stopped")
    averages = [checkpoint.newest(tmp_path / run) for run in ("whole", "stopped")]
    files = [(found.folder / "ema.safetensors").read_bytes() for found in averages if found]
    assert files[0] == files[1]


def test_patience_is_counted_through_a_stop(tmp_path: Path) -> None:
    scores = [5.0, 6.0, 4.0, 5.0, 3.0, 9.0]
    options = {"steps": 80, "metric": "bleu", "patience": 3}
    step_loop(tmp_path / "whole", Scripted([*scores], "bleu"), **options)
    assert len(lines(tmp_path / "whole", "step")) == 50
    for number in range(1, 5):
        run = begin(tmp_path / f"stopped-{number}", **options)

        class Signalled(Scripted):
            stop = 10 * number + 3
            taken = 0

            def collate(self, micro_batch: tuple[int, object], epoch: int) -> standin.Batch:
                self.taken += epoch != -1 % 1000
                if self.taken == self.stop:
                    os.kill(os.getpid(), signal.SIGTERM)
                return super().collate(micro_batch, epoch)  # type: ignore[arg-type]

        outcome = train(Signalled([*scores], "bleu"), run, connect("cpu", 1), silent=True)
        assert (outcome.step, outcome.exit_code) == (10 * number + 3, 143)
        step_loop(run.folder, Scripted(scores[number:], "bleu"))
        same_run(tmp_path / "whole", run.folder)


@pytest.mark.parametrize("step", [10, 15, 20])
def test_a_signal_at_a_validation_or_a_save_changes_nothing(tmp_path: Path, step: int) -> None:
    """The validation that it put off is made up for, and the checkpoint is one that the recipe would have saved."""
    step_loop(tmp_path / "whole", **EVERYTHING)

    class Signalled(StandIn):
        taken = 0

        def collate(self, micro_batch: tuple[int, object], epoch: int) -> standin.Batch:
            self.taken += epoch != -1 % 1000
            if self.taken == step and epoch != -1 % 1000:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().collate(micro_batch, epoch)  # type: ignore[arg-type]

    outcome = train(Signalled(), begin(tmp_path / "run", **EVERYTHING), connect("cpu", 1), silent=True)
    assert (outcome.step, outcome.exit_code) == (step, 143)
    found = checkpoint.load(tmp_path / "run", step)
    assert (found.state["due"], found.state["scheduled"]) == (step % 10 == 0, step)
    step_loop(tmp_path / "run")
    same_run(tmp_path / "whole", tmp_path / "run")


def test_going_back_takes_the_average_along(tmp_path: Path) -> None:
    poisoned = {(1, 4), (1, 5), (1, 6), (2, 0), (2, 1)}  # steps 12 to 16
    step_loop(tmp_path / "run", StandIn(poisoned=poisoned), steps=17, ema=0.9, keep=99, save_every=1)
    ten, last = (checkpoint.load(tmp_path / "run", step) for step in (11, 17))
    average, weights = Ema(ten.tensors("ema"), 0.9), last.tensors("model")
    average.update(weights, 12)
    assert all(torch.equal(average.weights[name], tensor) for name, tensor in last.tensors("ema").items())


def test_two_processes_are_one_that_accumulates(tmp_path: Path) -> None:
    """With the average on; both end when the leader has lost its patience."""
    options = {"steps": 60, "ema": 0.5, "patience": 2, "rate": 5.0, "warmup": 60}  # too fast in the end
    assert two_ranks(tmp_path / "two", **options) == [0, 0]
    step_loop(tmp_path / "one", accumulate=2, **options)
    for run in ("two", "one"):
        assert lines(tmp_path / run, "finished")[0]["over"] == "patience"
    ours, theirs = (exact(read(tmp_path / name / "journal.jsonl")) for name in ("two", "one"))
    assert [line["step"] for line in ours] == [line["step"] for line in theirs]
    for name, tensor in finished(tmp_path / "two").items():
        torch.testing.assert_close(tensor, finished(tmp_path / "one")[name], rtol=1e-4, atol=1e-4)
