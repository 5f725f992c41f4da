"""What each training feature costs: processor time of a step, and of a validation, next to plain training.

    python benchmarks/features.py [--preset transformer-mini] [--steps 40]

One thread; the steps of all settings take turns, so that a busy moment of the machine hits all alike. The text is
generated; the teacher is a model of the same sizes. R-drop's step makes two passes over the same tokens.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from record import write

from heedful.config import parse_recipe
from heedful.model import hardware
from heedful.tasks import runs
from heedful.tasks.translate import complete
from heedful.train import loop
from heedful.train.distributed import connect
from heedful.train.interrupts import Interrupts
from heedful.train.progress import Screen
from heedful.train.run import Run, choose

FEATURES: dict[str, dict[str, Any]] = {
    "plain": {},
    "ema": {"ema": 0.999},
    "distillation": {"teacher": "{teacher}"},
    "distillation, temperature 2": {"teacher": "{teacher}", "temperature": 2.0},
    "r-drop": {"r_drop": 5.0},
    "all": {"ema": 0.999, "teacher": "{teacher}", "r_drop": 5.0},
}


def corpus(folder: Path) -> dict[str, Any]:
    """Some thousand sentences of three thousand made-up words, and their words in reverse."""
    draw = random.Random(0)
    words = ["".join(draw.choice("aeiou") + draw.choice("bdfgklmnprstvz") for _ in range(draw.randint(1, 4)))
             for _ in range(3000)]  # fmt: skip
    lines = [[draw.choice(words) for _ in range(draw.randint(6, 16))] for _ in range(4000)]
    for name, turn in (("a", 1), ("b", -1)):
        (folder / name).write_bytes("".join(" ".join(line[::turn]) + "\n" for line in lines).encode())
    return {"source": [str(folder / "a")], "target": [str(folder / "b")], "hold_out": 500}


def begun(folder: Path, tree: dict[str, Any], training: dict[str, Any]) -> loop.Loop:
    """A run ready for its first step."""
    recipe = complete(parse_recipe({**tree, "training": {**tree["training"], **training}}))
    run = Run.create(folder, recipe, choose(recipe.training, "cpu"))
    runs.of("translate").prepare(recipe, run.data)
    task = runs.of("translate").build(recipe, run.data, torch.device("cpu"))
    made = loop.Loop(task, run, connect("cpu", 1), Screen(silent=True), Interrupts())
    made.begin(0.0)
    task.model.train()
    return made


def seconds(work: Any) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="transformer-mini")
    parser.add_argument("--vocab", type=int, default=4000)
    parser.add_argument("--batch-tokens", type=int, default=768)
    parser.add_argument("--steps", type=int, default=40)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    hardware.apply(hardware.Choices())
    with tempfile.TemporaryDirectory(prefix="features-") as made:
        folder = Path(made)
        training = {"steps": 10**6, "batch_tokens": arguments.batch_tokens, "processes": 1, "threads": 1}
        tree = {"data": corpus(folder), "tokenizer": {"size": arguments.vocab}, "model": {"preset": arguments.preset},
                "training": training}  # fmt: skip
        teacher = folder / "teacher"
        plain = begun(teacher, tree, {})
        plain.task.finish(teacher, plain.task.model)
        loops = {
            name: begun(folder / name, tree, {key: str(teacher) if key == "teacher" else value
                                              for key, value in settings.items()})
            for name, settings in FEATURES.items()
        }  # fmt: skip
        steps: dict[str, list[float]] = {name: [] for name in loops}
        for _ in range(arguments.steps):
            for name, one in loops.items():
                steps[name].append(seconds(one._step))
        chrf = begun(folder / "chrf", tree, {"metric": "chrf"})  # untrained, it decodes to the longest length
        looks = {"validation by loss": seconds(lambda: loops["plain"]._look(loops["plain"]._lasting)),
                 "validation by chrf, at most": seconds(lambda: chrf._look(chrf._lasting))}  # fmt: skip
    medians = {name: statistics.median(spent) for name, spent in steps.items()}
    for name, median in medians.items():
        print(f"{name:28} {median * 1000:7.1f} ms a step   {median / medians['plain']:.3f} x plain")
    for name, spent in looks.items():
        print(f"{name:28} {spent:7.2f} s")
    figures = {"preset": arguments.preset, "vocab": arguments.vocab, "batch_tokens": arguments.batch_tokens,
               "seconds_a_step": medians, "seconds_a_validation": looks, "dev_pairs": 500}  # fmt: skip
    print(write("features", figures))


if __name__ == "__main__":
    main()
