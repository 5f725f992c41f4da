"""Half of a translator's heads removed, then a short training: what is lost, and what is gained.

    python benchmarks/pruned.py RUN multi30k/test_2016_flickr.en multi30k/test_2016_flickr.de --runs FOLDER
        [--recipe recipes/multi30k-en-de-one-core.toml] [--share 0.5] [--by ablation] [--rounds 6] [--judged 600]
        [--steps 6000] [--rate 3e-3] [--ema 0.999] [--seeds 1] [--no-control] [--teacher] [--data DIR]

RUN is a finished run of the recipe. Heads are judged by the first 600 pairs of its training text, by the loss without
each, and chosen by `heedful prune`, which judges anew after every sixth of those that go; the test set is looked at by
nothing but the scores. Then the smaller model trains on as `heedful train translate --from`, with the recipe's data and
rate (and with the whole model as its teacher: --teacher). So does the whole model, as long and in the same way: what
more training gives must not be taken for what pruning costs. Scores are sacreBLEU's (cased, 13a), with the recipe's
beam. Times are processor time of translating 200 sentences of the test set, both models loaded, in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

from recipe import scored
from record import write

TIMED, TURNS = 200, 7


class Table:
    """The models of a comparison in a folder; what is finished there is only scored."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given, self.data, self.runs = given, Path(given.data), given.runs
        self.data_of = tomllib.loads(given.recipe.read_text("utf-8"))["data"]
        self.runs.mkdir(parents=True, exist_ok=True)

    def pruned(self) -> Path:
        """The model without some of its heads."""
        out = self.runs / f"pruned-{self.given.share}-{self.given.by}-{self.given.rounds}"
        if not out.exists():
            judged = []
            for side in ("source", "target"):
                lines = (self.data / self.data_of[side][0]).read_text("utf-8").split("\n")[: self.given.judged]
                judged.append(self.runs / f"judged.{side}")
                judged[-1].write_text("".join(f"{line}\n" for line in lines), "utf-8")
            source, target = judged
            how = ["--share", self.given.share, "--by", self.given.by, "--rounds", self.given.rounds]
            self._heedful("prune", "-m", self.given.run, "--source", source, "--target", target, *how, "-o", out)
        return out

    def trained_on(self, start: Path, name: str, seed: int) -> tuple[Path, float]:
        """A model trained on from another, and the CPU seconds that it took."""
        run = self.runs / f"{name}-{'taught-' * self.given.teacher}{self.given.steps}-{self.given.rate}-{seed}"
        spent = run / "cpu-seconds"
        if not spent.exists():
            recipe = self.runs / "tuning.toml"
            recipe.write_text(self._recipe(), "utf-8")
            began = os.times()
            words = ["--recipe", recipe, "--from", start, "--data", self.data, "--seed", seed, "--out", run]
            self._heedful("train", "translate", *words, *self._settings())
            ended = os.times()
            spent.write_text(f"{ended.children_user + ended.children_system - began[2] - began[3]:.1f}")
        return run, float(spent.read_text())

    def _recipe(self) -> str:
        """The recipe without what a model to start from brings along or this script says."""
        kept, section = [], ""
        for line in self.given.recipe.read_text("utf-8").split("\n"):
            section = line if line.startswith("[") else section
            own = line.split("=")[0].strip()
            if section in ("[tokenizer]", "[model]") and own not in ("[model]", "dropout"):
                continue
            if own not in ("limit", "steps", "rate", "warmup", "schedule", "save_every", "validate_every"):
                kept.append(line)
        return "\n".join(kept)

    def _settings(self) -> list[str]:
        chosen = {
            "steps": self.given.steps, "rate": self.given.rate, "schedule": '"cosine"', "warmup": 50,
            "validate_every": max(1, self.given.steps // 4), "save_every": 10**6, "ema": self.given.ema,
        }  # fmt: skip
        if self.given.teacher:
            chosen |= {"teacher": f'"{self.given.run}"', "distillation": 0.5}
        return [word for name, value in chosen.items() for word in ("--set", f"training.{name}={value}")]

    def row(self, folder: Path, seconds: float = 0.0) -> dict[str, Any]:
        """Scores of a model, and its sizes."""
        from heedful.tasks.finding import find

        found = scored(folder, self.data / self.given.source, self.data / self.given.target)
        model = find(folder) / "model.safetensors"
        return found["scores"] | {
            "MB": round(model.stat().st_size / 1e6, 2),
            "heads": heads_of(folder),
            "CPU seconds of training": seconds,
        }

    @staticmethod
    def _heedful(*arguments: object) -> None:
        subprocess.run([sys.executable, "-m", "heedful.cli", *map(str, arguments)], check=True)


def heads_of(folder: Path) -> int:
    from heedful.model.pruning import attentions
    from heedful.tasks.translate import load

    return sum(attend.heads for _, attend in attentions(load(folder).model.plan))


def speeds(whole: Path, smaller: Path, source: Path, beams: tuple[int, ...] = (1, 5)) -> dict[str, Any]:
    """Processor time of both on the same sentences, in turn: by beam the median of the ratios, smaller : whole."""
    import torch

    from heedful.tasks.translate import load

    torch.set_num_threads(1)
    models = [load(whole), load(smaller)]
    lines = source.read_text("utf-8").split("\n")[:TIMED]
    found = {}
    for beam in beams:
        spent: list[list[float]] = [[], []]
        for _ in range(TURNS):
            for model, own in zip(models, spent, strict=True):
                began = time.process_time()
                model.translate(lines, options=model.options(beam=beam))
                own.append(time.process_time() - began)
        ratios = [small / full for full, small in zip(*spent, strict=True)]
        found[f"beam {beam}"] = {
            "CPU seconds": [round(statistics.median(own), 3) for own in spent],
            "ratio": round(statistics.median(ratios), 3),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--recipe", type=Path, default=Path("recipes/multi30k-en-de-one-core.toml"))
    parser.add_argument("--data", default=os.environ.get("HEEDFUL_DATA", ""))
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--judged", type=int, default=600, help="so many pairs of the training text judge the heads")
    parser.add_argument("--by", choices=("gradient", "ablation"), default="ablation")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--ema", type=float, default=0.999)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1])
    parser.add_argument("--name", default="pruned")
    parser.add_argument("--teacher", action="store_true", help="the whole model is the teacher")
    parser.add_argument("--no-control", action="store_true", help="the whole model is not trained on as well")
    given = parser.parse_args()
    table = Table(given)
    small = last = table.pruned()
    rows = {"whole": table.row(given.run), "pruned": table.row(small)}
    for seed in given.seeds:
        for name, start in (("pruned", small), ("whole", given.run))[: 1 if given.no_control else 2]:
            run, seconds = table.trained_on(start, name, seed)
            last = run if name == "pruned" else last
            rows[f"{name}, trained on, seed {seed}"] = table.row(run, seconds)
            print(json.dumps(rows, indent=1), flush=True)
    figures = {
        "share": given.share, "by": given.by, "rounds": given.rounds, "judged by": given.judged,
        "steps": given.steps, "rate": given.rate, "teacher": given.teacher,
        "ema": given.ema, "test": given.source, "rows": rows,
        "translating, pruned : whole": speeds(given.run, last, table.data / given.source),
    }  # fmt: skip
    print(json.dumps(figures["translating, pruned : whole"]))
    print(write(given.name, figures))


if __name__ == "__main__":
    main()
