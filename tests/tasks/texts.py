"""A toy language of verses for the tests of writing, and a small run on it."""

from __future__ import annotations

import random
from pathlib import Path

from heedful.config import Recipe, parse_recipe

NAMES = ["Anna", "Béla", "Carl", "Dóra"]
VERBS = ["sees", "hears", "calls", "meets"]


def verses(count: int, seed: int = 0) -> str:
    """Lines like "Anna sees Béla, Béla sees Anna." that a model learns quickly."""
    drawn = random.Random(seed)
    lines = []
    for _ in range(count):
        one, other, verb = drawn.choice(NAMES), drawn.choice(NAMES), drawn.choice(VERBS)
        lines.append(f"{one} {verb} {other}, {other} {verb} {one}.\n")
    return "".join(lines)


def recipe(folder: Path, *settings: str, kind: str = "bpe", steps: int = 40, count: int = 300) -> Recipe:
    """A small quick run on verses in `folder`."""
    file = folder / "verses.txt"
    file.write_text(verses(count), "utf-8")
    given = [
        f'data.train=["{file}"]', f"tokenizer.kind={kind}", "tokenizer.size=320", "model.width=32", "model.layers=2",
        "model.feedforward=64", "model.heads=2", "model.dropout=0.1", "data.longest=32", "training.processes=1",
        "training.threads=1", "training.precision=fp32", "training.batch_tokens=512", "training.warmup=5",
        "training.rate=5e-3", "training.validate_every=20", "training.save_every=10", f"training.steps={steps}",
    ]  # fmt: skip
    return parse_recipe({"task": "write"}, [*given, *settings])
