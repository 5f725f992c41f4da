"""Drawn pictures of a square in a corner, with captions, and the settings of small runs on them."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

COLORS = {"red": (255, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
PLACES = {"left": (0, 0), "right": (0, 4), "low": (4, 0)}


def write_pairs(folder: Path, copies: int = 12) -> list[str]:
    """Pictures of a square in a corner, on grounds of their own, with captions; the settings of a small run."""
    rng, images, lines = np.random.default_rng(0), [], ["picture\tcaption\tgroup"]
    for (color, value), (place, (row, column)), _ in itertools.product(COLORS.items(), PLACES.items(), range(copies)):
        image = rng.integers(0, 90, (8, 8, 3), np.uint8)
        image[row : row + 4, column : column + 4] = value
        lines.append(f"a.npz#{len(images)}\ta {color} square {place}\t{color} {place}")
        images.append(image)
    np.savez(folder / "a.npz", images=np.stack(images))
    dev = [lines[0], *lines[1::copies]]
    (folder / "a.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "dev.tsv").write_text("\n".join(dev) + "\n", "utf-8")
    return [
        f'data.train=["{folder}/a.tsv"]', f'data.dev=["{folder}/dev.tsv"]', "tokenizer.size=330",
        "pictures.size=[8, 8]", "pictures.edge=4", "model.place=pre", "model.width=32", "model.layers=2",
        "model.picture_layers=2", "model.text_before=[1, 2]", "model.picture_before=[1, 2]", "model.picture_width=32",
        "model.co_width=32", "model.co_heads=2", "model.heads=2", "model.picture_heads=2", "model.feedforward=64",
        "model.picture_feedforward=64", "model.dropout=0.0", "model.attention_dropout=0.0", "training.processes=1",
        "training.threads=1", "training.batch_tokens=200", "training.warmup=5", "training.rate=3e-3",
        "training.precision=fp32", "training.validate_every=10", "training.save_every=5",
    ]  # fmt: skip
