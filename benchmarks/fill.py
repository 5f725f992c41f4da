"""Whether masked pretraining on real text is as fast as its bare steps: the model of `training.py bert` on WikiText-2.

    python benchmarks/fill.py [--data DIR] [--steps 20]

"ready" trains on batches that lie ready, as the core's benchmark does; "fill" makes each of the same batches first, as
a run does: rows of the epoch, hidden words, packing. In turn, in one process on one thread; tokens that are read for
each second of CPU, medians over steps. The vocabulary is 8,000.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import systems
import torch
from record import write

from heedful.config import parse_recipe
from heedful.model import hardware
from heedful.tasks import fill
from heedful.tasks.learning import Batch, Learning

WARM = 3


def prepared(data: Path, folder: Path) -> Learning:
    """The task with text and a model of the benchmark's sizes."""
    sizes = {name: value for name, value in systems.BERT.items() if name != "vocab"}
    settings = [
        'data.train=["lm/wikitext2.train.txt"]', 'data.dev=["lm/wikitext2.valid.txt"]', "data.longest=128",
        "tokenizer.size=8000", "training.steps=1", "training.batch_tokens=1024", "model.pool=false",
        *(f"model.{name}={value}" for name, value in sizes.items()),
    ]  # fmt: skip
    recipe = fill.complete(parse_recipe({"task": "fill"}, settings), data)
    fill.prepare(recipe, folder)
    return fill.build(recipe, folder, torch.device("cpu"))


def steps_of(learning: Learning, precision: Any, count: int) -> dict[str, list[float]]:
    """Tokens a CPU second of every step, by what is done in it."""
    finish = systems.our_finish(learning.model.train(), precision)
    micro_batches = learning.micro_batches(0)[:count]
    ready = [learning.collate(one, 0) for one in micro_batches]

    def train(batch: Batch) -> int:
        finish(learning.model(batch.inputs, batch.labels)["masked_token"])
        return int(batch.inputs["text"].layout.tokens)

    speeds: dict[str, list[float]] = {"ready": [], "fill": []}
    for number, (one, batch) in enumerate(zip(micro_batches, ready, strict=True)):
        for name, step in (("ready", lambda: train(batch)), ("fill", lambda: train(learning.collate(one, 0)))):  # noqa: B023
            begin = time.process_time()
            tokens = step()
            if number >= WARM:
                speeds[name].append(tokens / (time.process_time() - begin))
    return speeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("HEEDFUL_DATA", ""))
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    if not given.data:
        sys.exit(
            "give --data DIR (or HEEDFUL_DATA): a folder with lm/wikitext2.train.txt and .valid.txt, WikiText-2's texts"
        )
    choices = msgspec.structs.replace(hardware.probe(), threads=1)
    hardware.apply(choices)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for precision in ("fp32", "bf16"):
            learning = prepared(Path(given.data), Path(folder))
            speeds = steps_of(learning, precision, given.steps + WARM)
            medians = {name: statistics.median(values) for name, values in speeds.items()}
            found[precision] = {name: round(value, 1) for name, value in medians.items()}
            found[precision]["ratio"] = round(medians["fill"] / medians["ready"], 3)
            print(precision, found[precision])
    print(write("fill", {"steps": given.steps, "systems": found}))


if __name__ == "__main__":
    main()
