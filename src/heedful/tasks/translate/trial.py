"""One batch of a recipe tried in earnest, and what follows from it for memory, disk and time."""

from __future__ import annotations

import math
import os
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import torch
from msgspec import Struct

from ...config import Cleaning, Recipe, seconds
from ...data.selection import Chosen, read_accounts
from ...data.splits import Splits
from ...model import hardware
from ...model.shapes import count
from ...train.distributed import World, choose_device
from ...train.optimizer import Optimizer
from ...train.run import choose
from ...train.schedule import rate
from ...train.state import draw_seed
from ...train.tensors import tensor_bytes
from . import prepare
from .task import Batch, Translation

SAMPLE = 50_000  # pairs; of more, so many are taken evenly
DEV_SAMPLE = 1_000
TIMED = 5.0  # seconds of batches, or ...
MOST_TIMED = 20  # ... so many


class Trial(Struct, kw_only=True):
    """What the trial gave. Sizes are in bytes, times in seconds; `epochs` is what the recipe's limit allows.

    `largest_*` are of the micro-batch with most tokens in the sample. `memory` is one process's, `all_memory` that of
    all `processes`; `checkpoints` are the most that are kept at a time. `exact`: the sample is all there is.
    """

    parameters: int
    vocabulary: int
    device: str
    precision: str
    processes: int
    threads: int
    sampled: int
    exact: bool
    too_long: int
    source_tokens: float
    target_tokens: float
    largest_rows: int
    largest_source_tokens: int
    largest_target_tokens: int
    loss: float
    memory: int
    all_memory: int
    speed: float
    micro_batches: int
    steps_an_epoch: int
    epoch_seconds: float
    shards: int
    checkpoint: int
    checkpoints: int
    disk: int
    steps: float | None
    epochs: float | None
    assumptions: list[str]


def try_out(recipe: Recipe, found: Splits, chosen: dict[str, Chosen], folder: Path) -> Trial:
    """Train on a few batches in `folder`, a new one that may be removed afterwards. UserError as in training."""
    total = sum(chosen[corpus.name].kept for corpus in found.train)
    every = max(1, -(-total // SAMPLE))
    sample = _sample(recipe, found, chosen, folder, every)
    prepare(sample, folder / "data")
    device = choose_device(recipe.training.device)
    made = choose(recipe.training, device.type, msgspec.to_builtins(hardware.probe()))
    kernels = msgspec.structs.replace(msgspec.convert(made.kernels, hardware.Choices), threads=made.threads)
    with hardware.applied(kernels):
        task = Translation(sample, folder / "data", device)
        measured = _measure(task, recipe, made.precision)
    accounts = [account for account in read_accounts(folder / "data") if account.name.startswith("train")]
    pairs = sum(account.kept for account in accounts)
    micro_batches = task.micro_batches(0)
    batches = max(1, round(len(micro_batches) * total / max(1, sum(account.read for account in accounts))))
    steps = math.ceil(batches / (recipe.training.accumulate * made.processes))
    epoch = batches / made.processes * measured.seconds
    training = recipe.training
    by_time = seconds(training.limit) / (epoch / steps) if training.limit else math.inf
    allowed = min(by_time, training.steps or math.inf)
    shards = sum(file.stat().st_size for file in (folder / "data").rglob("train-*/*")) * every
    kept = training.keep + 2 + (training.average if training.average > 1 else 0)
    lengths = {stream: task.corpus.lengths(stream).sum() / pairs for stream in ("source", "target")}
    source, target = (measured.largest.inputs[stream].layout for stream in ("source", "target"))
    return Trial(
        parameters=sum(map(count, task.model.plan.shapes().values())),
        vocabulary=task.tokenizers["target"].vocab_size,
        device=device.type,
        precision=made.precision,
        processes=made.processes,
        threads=made.threads,
        sampled=sum(account.read for account in accounts),
        exact=every == 1,
        too_long=sum(one.count for account in accounts for one in account.rules if one.rule == "long") * every,
        source_tokens=float(lengths["source"]),
        target_tokens=float(lengths["target"]),
        largest_rows=target.rows,
        largest_source_tokens=source.tokens,
        largest_target_tokens=target.tokens,
        loss=measured.loss,
        memory=measured.memory,
        all_memory=measured.memory * made.processes,
        speed=measured.speed * made.processes,
        micro_batches=batches,
        steps_an_epoch=steps,
        epoch_seconds=epoch,
        shards=shards,
        checkpoint=measured.checkpoint,
        checkpoints=kept,
        disk=shards + (kept + 1) * measured.checkpoint,
        steps=None if math.isinf(allowed) else allowed,
        epochs=None if math.isinf(allowed) else allowed / steps,
        assumptions=_assumptions(made.processes, every, kept),
    )


def _sample(recipe: Recipe, found: Splits, chosen: dict[str, Chosen], folder: Path, every: int) -> Recipe:
    """The recipe with files of its own, which hold one pair in `every` that are kept."""
    encode = msgspec.json.Encoder().encode
    files: dict[str, list[str]] = {"train": [], "dev": []}
    for which, corpora in (("train", found.train), ("dev", found.dev)):
        for corpus in corpora:
            limits = (0, None, every) if which == "train" else (DEV_SAMPLE,)
            pairs = islice(chosen[corpus.name].pairs(), *limits)
            path = folder / f"{corpus.name}.jsonl"
            with path.open("wb") as file:
                file.writelines(encode({"source": one.source, "target": one.target}) + b"\n" for one in pairs)
            files[which].append(str(path))
    data = msgspec.structs.replace(
        recipe.data, source=(), target=(), pairs=tuple(files["train"]), columns=None,
        dev_source=(), dev_target=(), dev_pairs=tuple(files["dev"]), test_source=(), test_target=(), test_pairs=(),
        dev_tags=tuple(corpus.tag for corpus in found.dev if corpus.tag is not None),
    )  # fmt: skip
    return msgspec.structs.replace(recipe, data=data, cleaning=Cleaning(duplicates=False, leaks=False))


class _Measured(NamedTuple):
    largest: Batch
    loss: float
    memory: int
    seconds: float  # of a micro-batch
    speed: float
    checkpoint: int


def _measure(task: Translation, recipe: Recipe, precision: Literal["fp32", "bf16"]) -> _Measured:
    """The largest micro-batch for its memory, then others for their time (and memory: kernels keep room by shape)."""
    task.model.train()
    optimizer = Optimizer(task.model, recipe.training, precision)
    batches = task.micro_batches(0)
    tokens = task.corpus.lengths("source", 0) + task.corpus.lengths("target", 0)
    _reset_peak()
    largest = task.collate(max(batches, key=lambda examples: tokens[examples].sum()), 0)
    loss = _step(task, optimizer, recipe, largest, 1)
    spent, seen, timed = 0.0, 0, 0
    for examples in islice(batches, MOST_TIMED):
        began = time.monotonic()
        batch = task.collate(examples, 0)
        _step(task, optimizer, recipe, batch, timed + 2)
        spent, seen, timed = spent + time.monotonic() - began, seen + batch.tokens, timed + 1
        if spent > TIMED:
            break
    tensors = list(optimizer.tensors().values()) + ([optimizer.weights] if recipe.training.ema else [])
    checkpoint = sum(map(tensor_bytes, tensors))
    return _Measured(largest, loss, _peak(), spent / timed, seen / spent, checkpoint)


def _step(task: Translation, optimizer: Optimizer, recipe: Recipe, batch: Batch, step: int) -> float:
    """Forward, backward and update as the training loop does them; the loss for each target token."""
    torch.manual_seed(draw_seed(recipe.seed, step, 0))
    heads = task.model(batch.inputs, batch.labels, recipe.training.label_smoothing)
    total = torch.stack([head.loss for head in heads.values()]).sum()
    total.backward()  # type: ignore[no-untyped-call]
    norm = optimizer.total(World(0, 1, task.device)) / batch.tokens
    optimizer.update(rate(recipe.training, task.width, step, recipe.training.steps, 0.0), batch.tokens, norm)
    return float(total.detach()) / batch.tokens


def _assumptions(processes: int, every: int, kept: int) -> list[str]:
    found = [
        "time: batches of this trial on this machine as busy as it is now; validation and saving come on top",
        f"disk: up to {kept} checkpoints at a time, one being written, and the data",
        "memory: the largest batch of the sample, then some others, with gradients and the optimizer's moments",
    ]
    if processes > 1:
        found.append(f"{processes} processes: each on cores of its own, as fast as one alone, waiting left out")
    if every > 1:
        found.append(f"sizes: scaled up from one pair in {every}; the vocabulary was learnt on these")
    return found


def _reset_peak() -> None:
    """Let the system forget the most memory this process has used, where it can."""
    try:
        Path("/proc/self/clear_refs").write_text("5", "ascii")
    except OSError:
        return


def _peak() -> int:
    """Bytes of memory this process has used at most, since `_reset_peak` where the system can do that."""
    try:
        status = Path("/proc/self/status").read_text("ascii", "replace")
        return 1024 * next(int(line.split()[1]) for line in status.split("\n") if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    if os.name != "posix":
        return 0
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else 1024 * used
