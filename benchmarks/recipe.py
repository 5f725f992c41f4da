"""Train a recipe, translate a test set, score it with sacreBLEU (cased, 13a) and chrF; signatures included.

python benchmarks/recipe.py recipes/multi30k-en-de.toml multi30k/test_2016_flickr.en multi30k/test_2016_flickr.de
    [--data DIR] [--run RUN: where to train; a finished run there is only scored]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from record import write
from sacrebleu.metrics import BLEU, CHRF


def lines(path: Path) -> list[str]:
    return path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--data", default=os.environ.get("HEEDFUL_DATA", ""))
    parser.add_argument("--run", type=Path)
    arguments = parser.parse_args()
    if not arguments.data:
        sys.exit(
            "give --data DIR (or HEEDFUL_DATA): a folder with multi30k/, the raw files of multi30k/dataset, task 1"
        )
    run = arguments.run or Path(tempfile.mkdtemp()) / "run"
    command = [sys.executable, "-m", "heedful.cli"]
    if not (run / "model").exists():
        train = ["train", "translate", "--recipe", str(arguments.recipe), "--out", str(run), "--data", arguments.data]
        subprocess.run([*command, *train], check=True)
    source, target = Path(arguments.data, arguments.source), Path(arguments.data, arguments.target)
    began = time.monotonic()
    answered = subprocess.run([*command, "translate", "-m", str(run), str(source)], check=True, capture_output=True)
    spent = time.monotonic() - began
    answers, references = answered.stdout.decode("utf-8").removesuffix("\n").split("\n"), lines(target)
    journal = [json.loads(line) for line in (run / "journal.jsonl").read_bytes().decode("utf-8").strip().split("\n")]
    steps = [line for line in journal if line["kind"] == "step"]
    figures: dict[str, Any] = {
        "recipe": arguments.recipe.name,
        "test": arguments.source,
        "seconds of training": round(steps[-1]["elapsed"], 1),
        "steps": steps[-1]["step"],
        "target tokens": sum(line["tokens"] for line in steps),
        "validation loss": journal[-1].get("loss"),
        "seconds of translating, loading included": round(spent, 1),
    }
    for metric in (BLEU(), CHRF()):
        score = metric.corpus_score(answers, [references])
        figures[score.name] = round(score.score, 2)
        figures[f"{score.name} signature"] = str(metric.get_signature())
    print(json.dumps(figures, indent=1))
    print(write(f"recipe-{arguments.recipe.stem}", figures))


if __name__ == "__main__":
    main()
