"""Tiny models for decoding tests: ours of every kind, and Hugging Face's with ours that hold the same weights."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path
from typing import Any

import torch

from heedful.model.model import Model
from heedful.model.presets import plan

START, END = 1, 2


def mappings() -> Any:
    """benchmarks/mappings.py, which is no package."""
    path = Path(__file__).parents[2] / "benchmarks" / "mappings.py"
    spec = importlib.util.spec_from_file_location("mappings", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def translator(seed: int = 0, spread: float = 4.0, **options: Any) -> Model:
    """A tiny encoder-decoder whose answers vary: its weights are larger than a beginner's."""
    given = {"vocab": 23, "width": 24, "layers": 2, "heads": 4, "feedforward": 20, "dropout": 0.0, **options}
    return _spread(Model(plan("encoder-decoder", **given), seed), spread)


def continuer(seed: int = 0, spread: float = 4.0, **options: Any) -> Model:
    """The same for a decoder."""
    given = {"vocab": 23, "width": 24, "layers": 2, "heads": 4, "feedforward": 20, "capacity": 64, **options}
    return _spread(Model(plan("decoder", **{"dropout": 0.0, "attention_dropout": 0.0, **given}), seed), spread)


def _spread(model: Model, spread: float) -> Model:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name and parameter.dim() > 1:
                parameter.mul_(spread)
            elif name.endswith("bias"):
                parameter.normal_(0, 0.3)
    return model.eval()


def sources(count: int, seed: int = 0, vocab: int = 23, longest: int = 12) -> list[list[int]]:
    """Random rows of ids above the special ones."""
    draw = random.Random(seed)
    return [[draw.randrange(4, vocab) for _ in range(draw.randrange(1, longest + 1))] for _ in range(count)]
