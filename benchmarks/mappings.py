"""Hugging Face models as heedful models with the same weights: MarianMTModel and GPT2LMHeadModel."""

from __future__ import annotations

from typing import Any

from heedful.convert.agreement import Outline
from heedful.convert.layout import layout
from heedful.convert.settings import Settings
from heedful.model.model import Model


def marian(theirs: Any) -> Model:
    """A MarianMTModel."""
    return _read(theirs, "marian")


def gpt2(theirs: Any) -> Model:
    """A GPT2LMHeadModel."""
    return _read(theirs, "gpt2")


def _read(theirs: Any, name: str) -> Model:
    """By the layout's table, without files; to be evaluated, and without dropout where it is trained."""
    config, tensors = Settings(theirs.config.to_dict(), name), Outline({}, theirs.state_dict())
    reading = layout(name).reading(config, tensors)
    shapes, pairs = reading.plan.shapes(), reading.rules.check(reading.plan, tensors, name).values()
    model = Model(reading.plan.with_dropout(0.0, 0.0), seed=None)
    model.load_tensors({ours: part for pair in pairs for ours, part in pair.taken(tensors[pair.theirs], shapes)})
    return model.eval()
