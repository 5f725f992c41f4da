"""A toy language, whose words are turned round in translation, and small runs on it."""

from __future__ import annotations

import random
from pathlib import Path

from heedful.config import parse_recipe
from heedful.tasks.runs import train

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]


def write_corpus(folder: Path, count: int = 200, seed: int = 0) -> list[str]:
    """a.src and a.tgt in `folder`; returns the settings of a small quick run on them."""
    drawn = random.Random(seed)
    lines = [[drawn.choice(WORDS) for _ in range(drawn.randint(1, 5))] for _ in range(count)]
    for name, turn in (("src", 1), ("tgt", -1)):
        (folder / f"a.{name}").write_text("".join(" ".join(line[::turn]) + "\n" for line in lines), "utf-8")
    return [
        f'data.source=["{folder}/a.src"]', f'data.target=["{folder}/a.tgt"]', "tokenizer.size=400",
        "model.preset=transformer-tiny", "model.width=32", "model.feedforward=64", "training.processes=1",
        "training.threads=1", "training.batch_tokens=256", "training.warmup=10", "training.rate=3e-3",
        "training.validate_every=10", "training.save_every=5", "tokenizer.sampling=0.1", "cleaning.duplicates=false",
        "cleaning.leaks=false",
    ]  # fmt: skip


def run(folder: Path, settings: list[str], steps: int = 20) -> Path:
    out = folder / "run"
    assert train(parse_recipe({}, [*settings, f"training.steps={steps}"]), out) == 0
    return out
