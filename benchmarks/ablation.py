"""What each training feature gains and costs: one recipe, one change at a time, the same number of steps.

python benchmarks/ablation.py recipes/multi30k-en-de-one-core.toml multi30k/val.en multi30k/val.de --runs FOLDER
    [--steps 2000] [--jobs 2: runs side by side] [--data DIR] [--only NAME ...]

Scores are of the dev set, by beam search; times are CPU seconds of the training, from the raw files to the report, and
seconds of translating the dev set. A run that is finished in FOLDER is only scored, so an interrupted table goes on.
Distillation learns from the plain run, and from its translations; pruning takes heads from the plain run, judged by the
first 2,000 pairs of the training text.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

from recipe import scored, trained
from record import write

# name: settings besides the recipe's. {plain} is the run without changes, {taught} its translations of the source.
CHANGES: dict[str, list[str]] = {
    "plain": [],
    "R-drop 5": ["training.r_drop=5"],
    "word distillation": ["training.teacher={plain}"],
    "sequence distillation": ['data.pairs=["{taught}"]', "data.source=[]", "data.target=[]"],
    "average of the last 5 validations": ["training.average=5", "training.validate_every=100"],
    "running average 0.999": ["training.ema=0.999"],
    "subword sampling 0.05": ["tokenizer.sampling=0.05"],
    "no label smoothing": ["training.label_smoothing=0"],
    "half as wide": ["model.width=64", "model.feedforward=128"],
    "half as wide, word distillation": ["model.width=64", "model.feedforward=128", "training.teacher={plain}"],
    "a quarter of the heads pruned": ["0.25"],  # the share; nothing is trained
    "half of the heads pruned": ["0.5"],
}
JUDGED = 2000  # training pairs that tell how much a head matters


class Table:
    """The runs of a table in a folder, and its rows."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given, self.data, self.runs = given, Path(given.data), given.runs
        self.rows: dict[str, dict[str, Any]] = {}
        self.scoring = Lock()  # in this process, so one at a time
        self.runs.mkdir(parents=True, exist_ok=True)

    def row(self, name: str) -> None:
        run = self.runs / name.replace(" ", "-").replace(",", "")
        seconds = self._pruned(run, CHANGES[name][0]) if "pruned" in name else self._trained(run, CHANGES[name])
        with self.scoring:
            found = scored(run, self.data / self.given.source, self.data / self.given.target)
        translating = round(next(iter(found["seconds of translating"].values())), 1)
        row = {"settings": CHANGES[name], "CPU seconds of training": seconds, "seconds of translating": translating}
        self.rows[name] = row | found["scores"]
        print(f"{name:36} {seconds or 0:7.0f} s {translating:6.1f} s", found["scores"], flush=True)

    def _trained(self, run: Path, settings: list[str]) -> float:
        named = {"{plain}": str(self.runs / "plain"), "{taught}": str(self.runs / "taught.tsv")}
        for name, path in named.items():
            settings = [setting.replace(name, path) for setting in settings]
        told = trained(self.given.recipe, run, self.given.data, [f"training.steps={self.given.steps}", *settings])
        return float(told["CPU seconds"] or 0.0)

    def _pruned(self, out: Path, share: str) -> None:
        if out.exists():
            return
        files = []
        for side in (self.given.source, self.given.target):
            lines = self._training(side).read_text(encoding="utf-8").split("\n")[:JUDGED]
            files.append(self.runs / f"judged-{out.name}{Path(side).suffix}")
            files[-1].write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        self._heedful(
            "prune", "-m", self.runs / "plain", "--source", files[0], "--target", files[1], "--share", share, "-o", out
        )

    def taught(self) -> None:
        """The training source translated by the plain run."""
        out, source = self.runs / "taught.tsv", self._training(self.given.source)
        if not out.exists():
            self._heedful("corpus", "distill", source, "-m", self.runs / "plain", "-o", out)

    def _training(self, dev: str) -> Path:
        """The training text beside a file of the dev set."""
        file = self.data / dev
        return file.with_name(f"train{file.suffix}")

    def _heedful(self, *arguments: str | Path) -> None:
        subprocess.run([sys.executable, "-m", "heedful.cli", *map(str, arguments)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--data", default=os.environ.get("HEEDFUL_DATA", ""))
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=CHANGES)
    given = parser.parse_args()
    if not given.data:
        sys.exit(
            "give --data DIR (or HEEDFUL_DATA): a folder with multi30k/, the raw files of multi30k/dataset, task 1"
        )
    table, names = Table(given), given.only or [*CHANGES]
    if "plain" in names:
        table.row("plain")
    if any("{taught}" in "".join(CHANGES[name]) for name in names):
        table.taught()
    with ThreadPoolExecutor(given.jobs) as pool:
        list(pool.map(table.row, [name for name in names if name != "plain"]))
    rows = {name: table.rows[name] for name in names}
    print(json.dumps(rows, indent=1))
    figures = {"recipe": given.recipe.name, "steps": given.steps, "side by side": given.jobs, "dev": given.source}
    print(write("ablation", {**figures, "rows": rows}))


if __name__ == "__main__":
    main()
