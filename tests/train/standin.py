"""A task of a millisecond a step, with dropout and data that differ from epoch to epoch: what the loop is tested on.

Also a command, `python standin.py RUN key=value ...`, that trains it in a run folder as `heedful train` would.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import cross_entropy

from heedful.config import Recipe, Training, parse_recipe
from heedful.errors import UserError
from heedful.train.distributed import connect, inside_group, launch
from heedful.train.loop import train
from heedful.train.run import Run, choose
from heedful.train.validation import Validation

VOCAB, WIDTH, EXAMPLES, ROWS = 40, 16, 56, 8


@dataclass
class Sums:
    loss: torch.Tensor
    nll: torch.Tensor
    correct: torch.Tensor
    count: int


class Model(nn.Module):
    """Predicts a token from the one before it."""

    def __init__(self, seed: int, dropout: float = 0.2) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embedding = nn.Embedding(VOCAB, WIDTH)
        self.hidden = nn.Linear(WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.output = nn.Linear(WIDTH, VOCAB, bias=False)
        self.output.weight = self.embedding.weight
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, inputs: dict[str, torch.Tensor], labels: dict[str, torch.Tensor], smoothing: float
    ) -> dict[str, Sums]:
        states = self.dropout(self.embedding(inputs["text"]))
        states = self.norm(states + self.dropout(torch.relu(self.hidden(states))))
        logits = self.output(states).float() * inputs["scale"]
        ids = labels["next_token"]
        loss = cross_entropy(logits, ids, reduction="sum", label_smoothing=smoothing)
        nll = cross_entropy(logits.detach(), ids, reduction="sum")
        return {"next_token": Sums(loss, nll, (logits.argmax(1) == ids).sum(), len(ids))}


@dataclass
class Batch:
    tokens: int
    inputs: dict[str, torch.Tensor]
    labels: dict[str, torch.Tensor]


@dataclass
class StandIn:
    """`poisoned` micro-batches, as (epoch, position), give losses that are not finite; `pause` slows every one."""

    seed: int = 1
    dropout: float = 0.2
    poisoned: set[tuple[int, int]] = field(default_factory=set)
    pause: float = 0.0
    width: int = WIDTH

    def __post_init__(self) -> None:
        self.model = Model(self.seed, self.dropout)
        draw = np.random.default_rng([self.seed, 0])
        lengths = draw.integers(3, 9, size=EXAMPLES)
        self.examples = [(draw.integers(VOCAB) + 7 * np.arange(length)) % VOCAB for length in lengths]
        self.finished_model: Path | None = None

    def micro_batches(self, epoch: int) -> list[tuple[int, np.ndarray]]:
        order = np.random.default_rng([self.seed, epoch, 1]).permutation(EXAMPLES)
        return list(enumerate(order[i : i + ROWS] for i in range(0, EXAMPLES, ROWS)))

    def collate(self, micro_batch: tuple[int, np.ndarray], epoch: int) -> Batch:
        position, examples = micro_batch
        if self.pause:
            time.sleep(self.pause)
        noise = np.random.default_rng([self.seed, epoch, position, 2])
        rows = [np.where(noise.random(len(self.examples[i])) < 0.1, 0, self.examples[i]) for i in examples]
        inputs = torch.from_numpy(np.concatenate([row[:-1] for row in rows]))
        labels = torch.from_numpy(np.concatenate([row[1:] for row in rows]))
        scale = torch.tensor(float("nan") if (epoch, position) in self.poisoned else 1.0)
        return Batch(len(labels), {"text": inputs, "scale": scale}, {"next_token": labels})

    def validate(self, model: nn.Module) -> Validation:
        batch = self.collate((0, np.arange(EXAMPLES)), -1 % 1000)
        sums = model(batch.inputs, batch.labels, 0.0)["next_token"]
        return Validation({"loss": float(sums.nll) / sums.count, "accuracy": float(sums.correct) / sums.count})

    def finish(self, run: Path, model: nn.Module) -> None:
        (run / "model").mkdir(exist_ok=True)
        self.finished_model = run / "model" / "model.safetensors"
        save_file({name: p.detach().contiguous() for name, p in model.named_parameters()}, self.finished_model)


def recipe(**training: object) -> Recipe:
    """A recipe that saves often; keys of [training] override."""
    values = {"steps": 40, "warmup": 10, "rate": 0.02, "validate_every": 10, "save_every": 5, "processes": 1}
    values |= {"threads": 1, **training}
    return parse_recipe({"training": values})


def begin(folder: Path, **training: object) -> Run:
    """A new run of the stand-in, or the one that is there already."""
    if (folder / "run.json").exists():
        return Run.open(folder)
    made = recipe(**training)
    return Run.create(folder, made, choose(made.training, "cpu"))


# Processes are forked from a server that has imported what is slow to import (it cannot find this file itself).
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["torch", "torch.distributed", "numpy.random", "safetensors.torch", "heedful.train.loop"])


def step_loop(folder: Path, task: StandIn | None = None, **training: object) -> StandIn:
    """Train in this process to the end, or on from where the folder stands."""
    task = task or StandIn()
    train(task, begin(folder, **training), connect("cpu", 1), silent=True)
    return task


def finished(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def command(folder: Path, pause: float, training: dict[str, object]) -> int:
    """What the command line does: start ranks if asked, prepare on the leader, train; the exit code."""
    processes = recipe(**training).training.processes
    assert isinstance(processes, int)
    if processes > 1 and not inside_group():
        return launch(processes, 1)
    world = connect("cpu", 1)
    run = begin(folder, **training) if world.leader else None
    world.barrier()
    outcome = train(StandIn(pause=pause), run or begin(folder), world)
    world.leave()
    return outcome.exit_code


def child(folder: Path, pause: float, training: dict[str, object]) -> None:
    """`command` in a forked process, which hears signals also where the tests themselves run in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        code = command(folder, pause, training)
    except UserError:
        code = 2
    os._exit(code)


def parse(arguments: list[str]) -> dict[str, object]:
    """key=value pairs typed as the fields of Training are."""
    tree = {}
    for argument in arguments:
        key, _, text = argument.partition("=")
        assert key in Training.__struct_fields__, key
        try:
            tree[key] = int(text)
        except ValueError:
            try:
                tree[key] = float(text)
            except ValueError:
                tree[key] = text
    return tree


if __name__ == "__main__":
    options = parse([a for a in sys.argv[2:] if not a.startswith("pause=")])
    pauses = [float(a.partition("=")[2]) for a in sys.argv[2:] if a.startswith("pause=")]
    try:
        sys.exit(command(Path(sys.argv[1]), pauses[0] if pauses else 0.0, options))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
