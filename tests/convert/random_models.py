"""Models with random weights that decode to something: answers of many lengths, all different, none near a tie."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch

from heedful.model.embeddings import TokenInput
from heedful.model.layout import Layout
from heedful.model.model import Model
from heedful.model.plan import Plan
from heedful.model.presets import plan as plan_of
from heedful.text.tokenizer import Tokenizer, train_tokenizer

SMALL: dict[str, Any] = {
    "width": 24, "layers": 2, "heads": 4, "feedforward": 20, "capacity": 60, "dropout": 0.0, "attention_dropout": 0.0
}  # fmt: skip
LINES = [
    "The quick brown fox jumps over the lazy dog, again and again.", "Der schnelle braune Fuchs springt über den Hund.",
    "Une fille naïve mange 12 crêpes à l'ombre.", "A girl in a red dress reads 3 books, and then she sleeps.",
    "Ein Mädchen im roten Kleid liest drei Bücher.", "Two men are talking to each other in front of the house.",
    "Zwei Männer reden vor dem Haus miteinander.", "Where is the station? It is 500 metres from here!",
]  # fmt: skip


def tokenizer_of(kind: Any = "bpe", size: int = 420, **options: Any) -> Tokenizer:
    return train_tokenizer(LINES * 3, kind, size, **options)


def plan(family: str, vocab: int, **options: Any) -> Plan:
    """A source of its own embedding: the end token's row, which `_ending` makes large, would draw all attention."""
    tied = {"tie": "target"} if family == "encoder-decoder" else {}
    return plan_of(family, vocab=vocab, **{**SMALL, **tied, **options})


def model_of(plan: Plan, ending: float = 0.6) -> Model:
    """Norms of both signs, so that a decoder with tied embeddings does not say its last token again."""
    model, generator = Model(plan, seed=None), torch.Generator().manual_seed(5)
    tensors = {}
    for name, shape in plan.shapes().items():
        drawn = torch.randn(shape, generator=generator)
        if name.endswith("norm.weight"):
            tensors[name] = drawn.sign() + 0.2 * drawn
        elif name.endswith(("bias", "buckets")):
            tensors[name] = 0.3 * drawn
        elif "tokens" in name or "positions" in name or name.startswith("heads"):
            tensors[name] = 0.5 * drawn
        else:
            tensors[name] = (6 if "source.output" in name else 2) * shape[-1] ** -0.5 * drawn
    model.load_tensors(tensors)
    _ending(model.eval(), ending, generator)
    return model


def _ending(model: Model, ending: float, generator: torch.Generator) -> None:
    """Make the end token likely where states are like most: its logit is about `ending` of the largest there."""
    ids = lambda vocab: torch.randint(4, vocab, (512,), generator=generator)
    given = {one.name: TokenInput(ids(one.embedding.vocab), Layout([8] * 64)) for one in model.plan.streams}
    with torch.no_grad():
        states, _ = model.encode(given)
        usual = states[model.plan.streams[-1].name].mean(0)
        likely = ending * model.logits("next_token", states, {}).max(-1).values.mean()
        rows = model.heads["next_token"].output.weight
        rows[2] = usual / usual.square().sum() * likely + 0.5 * torch.randn(rows.shape[1], generator=generator)


def save(folder: Path, model: Model, source: Tokenizer, target: Tokenizer | None = None, **extra: Any) -> Path:
    """A model's folder as a task leaves it; with one tokenizer for both sides if there is no `target`."""
    if len(model.plan.streams) == 1:
        named: dict[str, Any] = {"task": "write", "tokenizer": source.fingerprint}
    else:
        fingerprints = {"source": source.fingerprint, "target": (target or source).fingerprint}
        named = {"task": "translate", "tokenizers": fingerprints}
    model.save(folder, {**named, **extra})
    if target is None:
        source.save(folder / "tokenizer.json")
    else:
        source.save(folder / "tokenizer.source.json")
        target.save(folder / "tokenizer.target.json")
    return folder


def rows(count: int, vocab: int, seed: int = 3, longest: int = 14) -> list[list[int]]:
    """Sequences of ids of text, bytes included."""
    drawn = random.Random(seed)
    return [[drawn.randrange(4, vocab) for _ in range(drawn.randint(1, longest))] for _ in range(count)]
