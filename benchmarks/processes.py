"""Training speed of two processes against one: whole runs of the command in turn on a machine left alone (wall clock).

    python benchmarks/processes.py [--steps 40] [--rounds 3] [--data DIR]

Each process takes one thread and micro-batches of 2,048 real target tokens (3 + 3 layers, width 256).
The figure is the median tokens a second that the journals record, first ten steps left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from record import write


def speed(processes: int, steps: int, data: str) -> float:
    """Median tokens a second of one run."""
    with tempfile.TemporaryDirectory() as folder:
        settings = [
            'data.source=["multi30k/train.de"]', 'data.target=["multi30k/train.en"]',
            'data.dev_source=["multi30k/val.de"]', 'data.dev_target=["multi30k/val.en"]',
            "model.preset=transformer-small", "tokenizer.size=8000", "training.threads=1",
            "training.validate_every=100000", "training.save_every=100000",
        ]  # fmt: skip
        words = [word for setting in settings for word in ("--set", setting)]
        command = [sys.executable, "-m", "heedful.cli", "train", "translate", "--out", f"{folder}/run", "--data", data]
        command += ["--steps", str(steps), "--processes", str(processes), *words]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        lines = [
            json.loads(line) for line in Path(folder, "run", "journal.jsonl").read_text("utf-8").strip().split("\n")
        ]
    return statistics.median(line["speed"] for line in lines if line["kind"] == "step" and line["step"] > 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("HEEDFUL_DATA", ""))
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if not arguments.data:
        sys.exit(
            "give --data DIR (or HEEDFUL_DATA): a folder with multi30k/, the raw files of multi30k/dataset, task 1"
        )
    rounds = [[speed(count, arguments.steps, arguments.data) for count in (1, 2)] for _ in range(arguments.rounds)]
    one, two = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(second / first for first, second in rounds)
    print(f"one process {one:.0f} tokens/s, two {two:.0f}, ratio {ratio:.2f}")
    print(write("processes", {"rounds": rounds, "one": one, "two": two, "ratio": round(ratio, 3)}))


if __name__ == "__main__":
    main()
