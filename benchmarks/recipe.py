"""Train a recipe and write down what came out.

A translator is scored on a test set by sacreBLEU (cased, 13a) and chrF, signatures included; of another task the run's
own scores are taken.

python benchmarks/recipe.py recipes/sst2.toml
python benchmarks/recipe.py recipes/multi30k-en-de.toml multi30k/test_2016_flickr.en multi30k/test_2016_flickr.de
    [--data DIR] [--run RUN: where to train; a finished run there is only scored] [--name NAME: of the figures]
    [--set KEY=VALUE ...] [--moses de: also BLEU of Moses-tokenised, lower-cased text; needs sacremoses]
    [--tag de: of several target languages, this one]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from record import write

OTHER = ("time", "best")  # of a validation's line in the journal


def task_of(recipe: Path) -> str:
    """What the recipe is for."""
    return str(tomllib.loads(recipe.read_text("utf-8")).get("task", "translate"))


def trained(recipe: Path, run: Path, data: str, settings: list[str]) -> dict[str, Any]:
    """Train the recipe in `run`, unless it is done, and what the run's journal says of it."""
    spent = run / "cpu-seconds"
    if not (run / "model").exists():
        command = [sys.executable, "-m", "heedful.cli", "train", task_of(recipe), "--recipe", str(recipe)]
        sets = [word for setting in settings for word in ("--set", setting)]
        process = subprocess.Popen([*command, "--out", str(run), "--data", data, *sets])
        _, status, used = os.wait4(process.pid, 0)
        if code := os.waitstatus_to_exitcode(status):
            sys.exit(f"{run}: training ended with exit code {code}")
        spent.write_text(f"{used.ru_utime + used.ru_stime:.1f}")
    journal = [json.loads(line) for line in (run / "journal.jsonl").read_bytes().decode("utf-8").strip().split("\n")]
    steps = [line for line in journal if line["kind"] == "step"]
    chosen = json.loads((run / "run.json").read_bytes())
    return {
        "settings": settings,
        "processes": chosen["processes"],
        "precision": chosen["precision"],
        "seconds of training": round(steps[-1]["elapsed"], 1),
        "CPU seconds": float(spent.read_text()) if spent.exists() else None,  # from the raw files to the report
        "steps": steps[-1]["step"],
        "target tokens": sum(line["tokens"] for line in steps),
        "tokens a second, median": round(sorted(line["speed"] for line in steps)[len(steps) // 2]),
        "peak memory of a process, MB": round(max(line["memory"] for line in steps) / 1e6),
        "validations": [
            {name: round(one, 4) for name, one in line.items() if name not in OTHER and isinstance(one, (int, float))}
            for line in journal
            if line["kind"] == "validation"
        ],
    }


def scored(run: Path, source: Path, target: Path, moses: str = "", tag: str | None = None) -> dict[str, Any]:
    """Scores of the run's model on a test set, with signatures; `seconds` of translating with it loaded."""
    from heedful.measure.metrics import Options
    from heedful.tasks.translate.evaluating import evaluate_systems

    decoding = {} if tag is None else {"tag": tag}
    found: dict[str, Any] = evaluate_systems(
        [run], [], source, [target], decoding=decoding, measures=Options(moses=moses)
    ).figures
    scores = {name: round(one["score"], 2) for name, one in found["systems"][0]["scores"].items()}
    return {"scores": scores, "signatures": found["signatures"], "seconds of translating": found["seconds"]}


def brief(scores: Any) -> Any:
    """The scores without examples and long tables."""
    if isinstance(scores, dict):
        return {
            name: brief(one)
            for name, one in scores.items()
            if name not in ("worst", "mistakes", "table", "bins", "samples")
        }
    return [brief(one) for one in scores] if isinstance(scores, list) else scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("source", nargs="?")
    parser.add_argument("target", nargs="?")
    parser.add_argument("--data", default=os.environ.get("HEEDFUL_DATA", ""))
    parser.add_argument("--run", type=Path)
    parser.add_argument("--name")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--moses", default="")
    parser.add_argument("--tag")
    given = parser.parse_args()
    if not given.data:
        sys.exit("give --data DIR (or HEEDFUL_DATA): the folder with the data that the recipe names")
    if (task_of(given.recipe) == "translate") != (given.target is not None):
        sys.exit("a translator is scored on SOURCE and TARGET, another model as its recipe says")
    run = given.run or Path(tempfile.mkdtemp()) / "run"
    figures: dict[str, Any] = {"recipe": given.recipe.name}
    figures |= trained(given.recipe, run, given.data, given.settings)
    if given.target is None:
        figures["scores"] = brief(json.loads((run / "scores.json").read_bytes()))
    else:
        test = [Path(given.data, side) for side in (given.source, given.target)]
        figures |= {"test": given.source, **scored(run, *test, given.moses, given.tag)}
    print(json.dumps(figures, indent=1))
    print(write(f"recipe-{given.name or given.recipe.stem}", figures))


if __name__ == "__main__":
    main()
