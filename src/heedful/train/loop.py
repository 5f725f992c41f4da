"""The one training loop, for every task.

A step sums the gradients of `accumulate` micro-batches on every rank, divides once by the number of target tokens in
all of them, clips, and updates. Rank r of P takes micro-batches r, r + P, ... of the step: P processes do what one
process does with P times the accumulation. Nothing random lives longer than a micro-batch and nothing that the weights
depend on reads a clock, so a run killed anywhere goes on from its newest checkpoint to the same bits.
"""

from __future__ import annotations

import math
import time
from contextlib import nullcontext

import msgspec
import torch
from msgspec import Struct

from ..config import TASKS, seconds
from ..errors import UserError
from . import checkpoint
from .averaging import average
from .distributed import World
from .ema import Ema
from .interrupts import Interrupts
from .journal import Journal
from .optimizer import Optimizer
from .progress import Moment, Screen, memory
from .run import Run
from .schedule import ENDING, Pace, rate
from .state import Cursor, State, Taken, draw_seed
from .task import Task
from .tensors import tensor_bytes
from .validation import Validation, described

STREAK = 5  # steps skipped in a row that send a run back to its newest checkpoint
ROLLBACKS = 3  # times that this may happen without a new checkpoint in between


class Outcome(Struct, frozen=True):
    """How training ended: `exit_code` is 0, or 128 + the signal that stopped it."""

    step: int
    exit_code: int


class Votes(Struct, array_like=True):
    """What the ranks add up before an update, so that all of them decide the same."""

    loss: float = 0.0
    nll: float = 0.0
    correct: float = 0.0
    count: float = 0.0
    tokens: float = 0.0
    signals: float = 0.0  # numbers of the signals received, added up over ...
    signalled: float = 0.0  # ... so many ranks
    save: float = 0.0  # from here on only the leader votes: whether it is time to save
    elapsed: float = 0.0  # the run's seconds
    end: float = 0.0  # the second after which no step should begin, to leave time for what follows the last one


def train(task: Task, run: Run, world: World, *, spent: float = 0.0, silent: bool = False) -> Outcome:
    """Train from where the run stands (its beginning, or its newest checkpoint) to its end or the first signal.

    `spent` seconds (of preparing the data) count towards a new run's time limit. Holds the run's lock. UserError for
    what the user can mend: no end set, too little space, damaged checkpoints, losses that stay infinite.
    """
    held = run.lock if world.leader else nullcontext()
    with held, Screen(silent or not world.leader) as screen, Interrupts(world.leader) as interrupts:
        loop = Loop(task, run, world, screen, interrupts)
        loop.begin(spent)
        loop.train()
        if not loop.signal and world.leader:
            loop.finish()
        world.barrier()
        return Outcome(loop.state.step, 128 + loop.signal if loop.signal else 0)


class Loop:
    """One run in training: `begin`, then `train`, then `finish` on the leader."""

    def __init__(self, task: Task, run: Run, world: World, screen: Screen, interrupts: Interrupts) -> None:
        self.task, self.run, self.world, self.screen, self.interrupts = task, run, world, screen, interrupts
        self.training = run.recipe.training
        self.limit = seconds(self.training.limit) if self.training.limit else None
        if self.limit is None and self.training.steps is None:
            raise UserError("training has no end: set training.steps or training.limit (--for 20m)")
        self.paced = self.limit is not None and self.training.steps is None and self.training.schedule in ENDING
        self.optimizer = Optimizer(task.model, self.training, run.choices.precision)
        self.ema = Ema(self.optimizer.weights, self.training.ema) if self.training.ema else None
        self.state = State()
        self.cursor = Cursor(task.micro_batches)
        self.journal = Journal(run.journal) if world.leader else None
        self.signal = 0
        self._clock = time.monotonic()  # monotonic time at which the run's elapsed time was 0
        self._saved = time.monotonic()
        self._seconds = {"step": 0.0, "validation": 0.0, "save": 0.0}  # how long the last one took

    # -- beginning ---------------------------------------------------------------------------------------------------

    def begin(self, spent: float) -> None:
        """Take over the newest checkpoint, if there is one; UserError where two more would not fit on the disk."""
        leader = self.world.leader
        if leader:
            checkpoint.require_space(self.run.folder, sum(map(tensor_bytes, self._tensors().values())))
        else:
            self.world.barrier()  # the leader sweeps before the others look
        found = checkpoint.newest(self.run.folder, self.screen.note if leader else lambda line: None, sweep=leader)
        if leader:
            self.world.barrier()
        if found is None:
            # The leader's clock, like every other: a pace of its own would give each rank other rates.
            (spent,) = self.world.agree([spent if self.world.leader else 0.0])
            self.state.elapsed = spent
            self.state.pace = Pace(marks=((0, spent),))
        else:
            self._restore(found)
            self.state = _state_of(found)
            self.cursor = Cursor(self.task.micro_batches, self.state.epoch, self.state.position)
            self.screen.note(f"resuming {self.run.folder} from step {self.state.step}")
        self._clock = time.monotonic() - self.state.elapsed
        if self.journal is not None:
            self.journal.cut(self.state.step if found else -1, validated=not self.state.due)
        self._record("resume" if found else "start", time=time.time())

    def _restore(self, found: checkpoint.Checkpoint) -> None:
        self.optimizer.restore(found.tensors("model"), found.tensors("optimizer"), found.state["updates"])
        if self.ema is not None:
            self.ema.restore(found.tensors("ema"))

    def _tensors(self) -> dict[str, dict[str, torch.Tensor]]:
        """What a checkpoint holds, by file."""
        return self.optimizer.tensors() | ({} if self.ema is None else {"ema": self.ema.weights})

    # -- the steps ---------------------------------------------------------------------------------------------------

    def train(self) -> None:
        """Step until the steps, the time or the patience are used up, or a signal came."""
        training, state = self.training, self.state
        self.task.model.train()
        if state.due:
            self._validate()
        while not (state.over or (training.steps is not None and state.step >= training.steps)):
            votes = self._step()
            if self.limit is not None and votes.elapsed >= votes.end:
                state.over = "time"
            ended = state.over is not None or state.step == training.steps
            # While steps are being skipped there is nothing new to validate, and an older state to go back to.
            new = ended or not state.streak
            state.due = new and (ended or state.step % training.validate_every == 0)
            scheduled = state.due or (new and state.step % training.save_every == 0)
            if votes.signalled and not ended:
                self.signal = self.interrupts.received or int(votes.signals // votes.signalled)
                return self._save(votes, scheduled)
            if state.due:
                self._validate()
            if scheduled or (new and votes.save):
                self._save(votes, scheduled)

    def _step(self) -> Votes:
        """One update; or, if a loss or a gradient is not finite, a step that only counts."""
        began = time.monotonic()
        training, state = self.training, self.state
        taken = self.cursor.take(training.accumulate * self.world.size)
        state.step, state.epoch, state.position = state.step + 1, self.cursor.epoch, self.cursor.position
        votes = self._agreed(self._gradients(taken))
        state.elapsed = votes.elapsed
        loss, norm = votes.loss / votes.tokens, self.optimizer.total(self.world) / votes.tokens
        now = rate(training, self.task.width, state.step, training.steps, state.pace.at(state.step))
        line = {"epoch": taken[0].epoch, "position": taken[0].position, "loss": loss, "norm": norm, "rate": now}
        if math.isfinite(loss) and math.isfinite(norm):
            self.optimizer.update(now, votes.tokens, norm)
            if self.ema is not None:
                self.ema.update(self.optimizer.weights, self.optimizer.updates)
            state.updates, state.streak = self.optimizer.updates, 0
            self._seconds["step"] = time.monotonic() - began
            self._tell(votes, line)
        else:
            self.optimizer.drop()
            self._skip(taken, line)
        return votes

    def _gradients(self, taken: list[Taken]) -> Votes:
        """Forward and backward of this rank's micro-batches; the sums of their losses."""
        mine, sums = Votes(), []
        for index in range(self.world.rank, len(taken), self.world.size):
            epoch, _, micro_batch = taken[index]
            batch = self.task.collate(micro_batch, epoch)
            torch.manual_seed(draw_seed(self.run.recipe.seed, self.state.step, index))
            heads = self.task.model(batch.inputs, batch.labels, self.training.label_smoothing)
            total = torch.stack([head.loss for head in heads.values()]).sum()
            total.backward()  # type: ignore[no-untyped-call]
            for head in heads.values():
                sums.append(torch.stack([head.loss.detach().float(), head.nll.float(), head.correct.float()]))
                mine.count += head.count
            mine.tokens += batch.tokens
        mine.loss, mine.nll, mine.correct = torch.stack(sums).cpu().double().sum(0).tolist()
        return mine

    def _agreed(self, mine: Votes) -> Votes:
        """The votes of all ranks."""
        mine.signals, mine.signalled = float(self.interrupts.received), float(bool(self.interrupts.received))
        if self.world.leader:
            mine.elapsed = time.monotonic() - self._clock
            if self.limit is not None:
                mine.end = self.limit - sum(self._seconds.values())
                if self.training.average > 1:
                    mine.end -= self._seconds["validation"]  # of the average, which is new
            mine.save = float(
                time.monotonic() - self._saved >= self.training.save_seconds or self._wants_pace(mine.elapsed)
            )
        return Votes(*self.world.agree(msgspec.to_builtins(mine)))

    def _wants_pace(self, elapsed: float) -> bool:
        """Whether a schedule that ends with the time limit must now learn how fast steps are (see `Pace`)."""
        if not self.paced:
            return False
        assert self.limit is not None
        return self.state.pace.old(elapsed, self.limit)

    # -- mishaps -----------------------------------------------------------------------------------------------------

    def _skip(self, taken: list[Taken], line: dict[str, float]) -> None:
        state = self.state
        state.skipped, state.streak = state.skipped + 1, state.streak + 1
        self._record("skipped", **line, batches=[[t.epoch, t.position] for t in taken])
        self.screen.note(
            f"warning: step {state.step} skipped: loss {line['loss']:.4g}, gradient norm {line['norm']:.4g}; "
            f"{state.skipped} so far"
        )
        if state.streak == STREAK:
            self._roll_back()

    def _roll_back(self) -> None:
        """Weights and moments of the last checkpoint. Steps and data go on from here: what led astray is behind.

        One that was saved for a clock or a signal does not count: a run without that signal would not have it.
        """
        state = self.state
        found = None if state.scheduled is None else self._good(state.scheduled)
        found = found or checkpoint.newest(self.run.folder, self.screen.note, sweep=False)
        remedy = "lower training.rate, lengthen training.warmup or lower training.clip"
        if found is None or state.rollbacks == ROLLBACKS:
            why = "no checkpoint to go back to" if found is None else f"going back {ROLLBACKS} times did not help"
            raise UserError(
                f"{self.run.folder}: step {state.step}: {STREAK} losses or gradients in a row were not finite and "
                f"{why}; {remedy}"
            )
        self._restore(found)
        state.updates, state.streak, state.rollbacks = self.optimizer.updates, 0, state.rollbacks + 1
        self._record("rollback", to=found.step)
        self.screen.note(f"warning: {STREAK} steps skipped in a row: back to the weights of step {found.step}")

    # -- validating and saving ---------------------------------------------------------------------------------------

    def _validate(self) -> None:
        """On the leader: scores in the journal, and whether they are the best so far. All ranks agree on the end."""
        state, training = self.state, self.training
        state.due = False
        if self.world.leader:
            began, found = time.monotonic(), self._look(self._lasting)
            best = state.standings.take(state.step, found.scores, training.metric, training.average)
            self._seconds["validation"] = time.monotonic() - began
            told = {"samples": found.samples, "time": self._seconds["validation"]}
            self._record("validation", **found.scores, best=state.standings.best_step, **told)
            self.screen.note(f"step {state.step}  validation: {described(found.scores)}" + "  (best)" * best)
        if training.patience and state.over is None:
            lost = self.world.leader and state.standings.stale >= training.patience
            state.over = "patience" if any(self.world.agree([float(lost)])) else None

    @property
    def _lasting(self) -> dict[str, torch.Tensor]:
        """The weights as they would be finished now: their running average, if there is one."""
        return self.optimizer.weights if self.ema is None else self.ema.weights

    def _look(self, weights: dict[str, torch.Tensor]) -> Validation:
        """A validation of some weights, in fp32."""
        self.task.model.eval()
        with torch.no_grad(), self.optimizer.showing(weights):
            found = self.task.validate(self.task.model)
        self.task.model.train()
        if self.training.metric not in found.scores:
            known = ", ".join(found.scores)
            raise UserError(f"training.metric = {self.training.metric!r}, but this task is scored by: {known}")
        return found

    def _save(self, votes: Votes, scheduled: bool) -> None:
        """Publish a checkpoint; where the disk refuses, say so and go on."""
        began, state, run = time.monotonic(), self.state, self.run
        if self.paced:
            state.pace = state.pace.redrawn(state.step, votes.elapsed, votes.end)
        if scheduled:
            state.scheduled, state.rollbacks = state.step, 0
        self._saved = began
        if self.journal is None:
            return
        tensors = self._tensors()
        try:
            self.journal.sync()
            checkpoint.publish(run.folder, state.step, tensors, msgspec.to_builtins(state))
        except OSError as error:
            needed = sum(map(tensor_bytes, tensors.values()))
            self.screen.note(checkpoint.explain(run.folder, state.step, error, needed))
            self._record("not saved", error=str(error))
            return
        wanted = (state.standings.best_step, state.scheduled, *state.standings.recent)
        protected = {step for step in wanted if step is not None}
        checkpoint.prune(run.folder, self.training.keep, protect=protected)
        self._seconds["save"] = time.monotonic() - began
        self._record("saved", time=self._seconds["save"])

    # -- ending ------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """On the leader: the weights that `training.final` names become the model; the best and the last are told."""
        state, best, last = self.state, self.state.standings.best, self.state.standings.last
        steps, weights = self._final()
        self.optimizer.set_weights(weights)
        known = next((one.scores for one in (best, last) if one is not None and [one.step] == steps), None)
        scores = self._look(self.optimizer.weights).scores if known is None else known
        self.optimizer.release()
        self.task.model.eval()
        self.task.finish(self.run.folder, self.task.model)
        self._record("finished", **scores, weights=steps, best=best, last=last, over=state.over or "steps")
        self.screen.note(f"finished: weights of step {', '.join(map(str, steps))}: {described(scores)}")
        if best is not None and last is not None and best != last:
            self.screen.note(f"best: step {best.step}: {described(best.scores)}")
            self.screen.note(f"last: step {last.step}: {described(last.scores)}")

    def _final(self) -> tuple[list[int], dict[str, torch.Tensor]]:
        """The weights that become the model, and the steps they are from."""
        training, best = self.training, self.state.standings.best_step
        stem = "model" if self.ema is None else "ema"
        if training.average > 1:
            found = [good for good in map(self._good, self.state.standings.recent) if good]
            if found:
                return [one.step for one in found], average(found, stem)
        elif training.final != "last" and best not in (None, self.state.step):
            assert best is not None
            if good := self._good(best):
                return [best], good.tensors(stem)
        return [self.state.step], self._lasting

    def _good(self, step: int) -> checkpoint.Checkpoint | None:
        try:
            return checkpoint.load(self.run.folder, step)
        except checkpoint.Damaged as damage:
            self.screen.note(f"warning: {damage}; going on without it")
            return None

    # -- telling -----------------------------------------------------------------------------------------------------

    def _record(self, kind: str, **values: object) -> None:
        if self.journal is not None:
            self.journal.append({"kind": kind, "step": self.state.step, **values})

    def _tell(self, votes: Votes, line: dict[str, float]) -> None:
        if not self.world.leader:
            return
        state, steps, seconds_a_step = self.state, self.training.steps, self._seconds["step"]
        speed, used = votes.tokens / seconds_a_step, memory()
        self._record(
            "step",
            **line,
            nll=votes.nll / votes.count,
            accuracy=votes.correct / votes.count,
            tokens=int(votes.tokens),
            elapsed=state.elapsed,
            speed=speed,
            memory=used,
        )
        left = [] if self.limit is None else [self.limit - state.elapsed]
        left += [] if steps is None else [(steps - state.step) * seconds_a_step]
        counted = TASKS[self.run.recipe.task].counted
        self.screen.step(Moment(state.step, steps, line["loss"], line["rate"], speed, min(left), used, counted))


def _state_of(found: checkpoint.Checkpoint) -> State:
    try:
        return msgspec.convert(found.state, State)
    except msgspec.ValidationError as error:
        path = found.folder / "state.json"
        raise UserError(f"{path}: {error}; it was written by another version of heedful: continue with that") from None
