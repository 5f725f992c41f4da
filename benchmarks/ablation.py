"""What each training feature gains and costs: one recipe, one change at a time, the same number of steps.

python benchmarks/ablation.py recipes/multi30k-en-de.toml multi30k/val.en multi30k/val.de --steps 3000 --runs FOLDER
    [--data DIR] [--only NAME ...]

Scores are of the dev set, by beam search; time is that of the steps, in seconds. A run that is finished in FOLDER is
only scored, so an interrupted table goes on. Distillation learns from the plain run, and from its translations.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from recipe import scored, trained
from record import write

# name: settings besides the recipe's. {plain} is the run without changes, {taught} its translations of the source.
CHANGES: dict[str, list[str]] = {
    "plain": [],
    "average of the last 5": ["training.average=5"],
    "running average 0.999": ["training.ema=0.999"],
    "no label smoothing": ["training.label_smoothing=0"],
    "subword sampling 0.05": ["tokenizer.sampling=0.05"],
    "subword sampling 0.1": ["tokenizer.sampling=0.1"],
    "R-drop 5": ["training.r_drop=5"],
    "word distillation": ["training.teacher={plain}"],
    "sequence distillation": ['data.pairs=["{taught}"]', "data.source=[]", "data.target=[]"],
    "no placeholders": ["data.placeholders=0"],
    "half as wide": ["model.width=64", "model.feedforward=128"],
    "half as wide, word distillation": ["model.width=64", "model.feedforward=128", "training.teacher={plain}"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--data", default=os.environ.get("HEEDFUL_DATA", ""))
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=CHANGES)
    given = parser.parse_args()
    if not given.data:
        sys.exit(
            "give --data DIR (or HEEDFUL_DATA): a folder with multi30k/, the raw files of multi30k/dataset, task 1"
        )
    plain, taught = given.runs / "plain", given.runs / "taught.tsv"
    rows: dict[str, Any] = {}
    for name in given.only or CHANGES:
        if "{taught}" in "".join(CHANGES[name]) and not taught.exists():
            train = Path(given.data, given.source).with_name("train.en")
            command = [sys.executable, "-m", "heedful.cli", "corpus", "distill", str(train), "-m", str(plain)]
            subprocess.run([*command, "-o", str(taught)], check=True)
        settings = [one.replace("{plain}", str(plain)).replace("{taught}", str(taught)) for one in CHANGES[name]]
        run = given.runs / name.replace(" ", "-").replace(",", "")
        told = trained(given.recipe, run, given.data, [f"training.steps={given.steps}", *settings])
        found = scored(run, Path(given.data, given.source), Path(given.data, given.target), "")
        rows[name] = {"settings": CHANGES[name], "seconds": told["seconds of training"], **found["scores"]}
        row = rows[name]
        print(f"{name:34} {row['seconds']:8.0f} s  {row['BLEU']:6.2f} BLEU  {row['chrF2']:6.2f} chrF2")
    print(json.dumps(rows, indent=1))
    print(write("ablation", {"recipe": given.recipe.name, "steps": given.steps, "dev": given.source, "rows": rows}))


if __name__ == "__main__":
    main()
