"""What the parts of a Transformer are for: learning curves of the demo's translator with one part changed at a time.

    python benchmarks/anatomy.py [--steps 1200] [--only NAME ...] [--curves docs/anatomy.svg]

1, 2, 4 and 8 heads of the same total width; without residuals, without norms, and each of these with a tenth of the
rate, lest the rate be what fails. Same phrases in the same order, same seed, same number of steps, one thread; judged
by the loss on phrases of the development split, the true translation given (nats per token). Heads are the plan's to
say; residuals and norms are taken out here, in the built model, which nothing else could run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
import tomllib
from functools import partial
from pathlib import Path
from typing import Any

import torch
from record import write
from torch import nn

from heedful.config import parse_recipe
from heedful.demo.run import PHRASES, write_data
from heedful.errors import UserError
from heedful.model import hardware
from heedful.model.block import Block
from heedful.page.render import Series, curve_svg
from heedful.page.style import COLOURS, PICTURE
from heedful.tasks import runs
from heedful.train import loop
from heedful.train.distributed import connect
from heedful.train.interrupts import Interrupts
from heedful.train.progress import Screen
from heedful.train.run import Run, choose

# name: heads, what is taken out, the rate
VARIANTS: dict[str, tuple[int, str, float]] = {
    "1 head": (1, "", 3e-3),
    "2 heads": (2, "", 3e-3),
    "4 heads": (4, "", 3e-3),
    "8 heads": (8, "", 3e-3),
    "no residuals": (4, "residuals", 3e-3),
    "no norms": (4, "norms", 3e-3),
    "no residuals, rate / 10": (4, "residuals", 3e-4),
    "no norms, rate / 10": (4, "norms", 3e-4),
    "nothing out, rate / 10": (4, "", 3e-4),
}
EVERY = 40  # steps between validations


def without_residuals(model: nn.Module) -> None:
    """Every layer hands on only what it made itself: f(norm(x)) in place of x + f(norm(x))."""

    def residual(block: Block, states: torch.Tensor, layer: Any, normal: nn.Module) -> torch.Tensor:
        return layer(normal(states))  # type: ignore[no-any-return]

    for block in model.modules():
        if isinstance(block, Block):
            assert block.pre
            assert not block.drop
            block._residual = partial(residual, block)  # type: ignore[method-assign]


def without_norms(model: nn.Module) -> None:
    """Identities in the place of all layer normalisations."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.LayerNorm):
                setattr(module, name, nn.Identity())


TAKEN = {"": lambda model: None, "residuals": without_residuals, "norms": without_norms}


def trained(folder: Path, phrases: Path, name: str, steps: int) -> dict[str, Any]:
    """The curve of one variant: (step, validation loss) pairs, and how many steps had to be skipped."""
    heads, out, rate = VARIANTS[name]
    tree = tomllib.loads((phrases / "recipe.toml").read_text("utf-8"))
    tree["model"]["heads"] = heads
    del tree["training"]["limit"]
    tree["training"] |= {
        "steps": steps, "rate": rate, "processes": 1, "threads": 1, "batch_tokens": 512,
        "validate_every": EVERY, "save_every": 10**6, "precision": "fp32",
    }  # fmt: skip
    began = time.process_time()
    task = runs.of("translate")
    whole = task.complete(parse_recipe(tree))
    run = Run.create(folder, whole, choose(whole.training, "cpu"))
    if (phrases / "prepared").exists():
        shutil.copytree(phrases / "prepared", run.data, dirs_exist_ok=True)
    task.prepare(whole, run.data)
    shutil.copytree(run.data, phrases / "prepared", dirs_exist_ok=True)
    built = task.build(whole, run.data, torch.device("cpu"))
    TAKEN[out](built.model)
    one = loop.Loop(built, run, connect("cpu", 1), Screen(silent=True), Interrupts())
    stopped = ""
    try:
        with run.lock:
            one.begin(0.0)
            one.train()
    except UserError as error:
        stopped = str(error).partition(": ")[2]
    lines = [json.loads(line) for line in run.journal.read_text().split("\n") if line]
    curve = [(line["step"], round(line["loss"], 4)) for line in lines if line["kind"] == "validation"]
    accuracy = next((line["accuracy"] for line in reversed(lines) if line["kind"] == "validation"), 0.0)
    return {
        "heads": heads, "without": out, "rate": rate, "seconds": round(time.process_time() - began, 1),
        "parameters": sum(parameter.numel() for parameter in built.model.parameters()),
        "skipped": sum(line["kind"] == "skipped" for line in lines), "stopped": stopped,
        "loss": curve[-1][1], "accuracy": round(accuracy, 4), "curve": curve,
    }  # fmt: skip


def drawn(rows: dict[str, dict[str, Any]]) -> str:
    """The curves as a picture, with its colours inside; of variants that differ in nothing but the rate, the first."""
    some = {name: row["curve"] for name, row in rows.items() if "rate" not in name}
    series = [Series(name, [(float(step), loss) for step, loss in curve]) for name, curve in some.items()]
    start, rest = curve_svg(series, x_label="steps", y_label="loss", scale="log", width=760, height=400).split(">", 1)
    start = start.replace('viewBox="0 0 760', 'viewBox="0 0 772')  # the last tick's number stands over the edge
    return f'{start} xmlns="http://www.w3.org/2000/svg"><style>{COLOURS}{PICTURE}</style>{rest}\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--only", nargs="*", choices=VARIANTS)
    parser.add_argument("--curves", type=Path, help="where the picture goes")
    given = parser.parse_args()
    torch.set_num_threads(1)
    hardware.apply(hardware.Choices())
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="anatomy-") as made:
        phrases = Path(made) / "phrases"
        write_data(phrases, 1, PHRASES, 1.0)
        for number, name in enumerate(given.only or VARIANTS):
            rows[name] = trained(Path(made) / str(number), phrases, name, given.steps)
            told = {key: value for key, value in rows[name].items() if key != "curve"}
            print(f"{name:26}", told, flush=True)
    if given.curves:
        given.curves.write_text(drawn(rows))
    print(write("anatomy", {"steps": given.steps, "dev phrases": "development split", "rows": rows}))


if __name__ == "__main__":
    main()
