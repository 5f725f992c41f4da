"""A tiny model of every task with random weights, large enough that what it attends to varies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from heedful.config import Decoding, Masking
from heedful.data.gallery import Sight
from heedful.data.windows import Reading
from heedful.model.families import decoder, encoder, encoder_decoder, masked_token, pooled_label, two_streams
from heedful.model.model import Model
from heedful.model.plan import Head, Norm, Plan
from heedful.page.photo import png
from heedful.tasks.answer.answerer import Answerer
from heedful.tasks.ask.asker import Asker
from heedful.tasks.ask.examples import Answers
from heedful.tasks.caption import Captioner
from heedful.tasks.classify import Classifier
from heedful.tasks.classify.preparing import Kept
from heedful.tasks.embed.embedder import Embedder
from heedful.tasks.embed.embedder import Settings as EmbedSettings
from heedful.tasks.fill import Filler
from heedful.tasks.fill.filler import Settings as FillSettings
from heedful.tasks.match import Matcher
from heedful.tasks.tag import Tagger
from heedful.tasks.tag.preparing import Kept as Tags
from heedful.tasks.translate import Translator
from heedful.tasks.write import Writer
from heedful.text.pipeline import MASK
from heedful.text.tokenizer import Tokenizer, train_tokenizer

TEXT = "the red fox sees a small green bird near the old river , and the bird sings to the fox ."
WORDS = TEXT.split()
LINES = [TEXT, "a fox and a bird .", "the river is old .", "where is the fox ?"] * 5
SIZES: dict[str, Any] = {"width": 16, "layers": 2, "heads": 4, "feedforward": 24}
SIGHT = Sight(size=(8, 8), edge=4)


@cache
def tokenizer(prose: bool = False) -> Tokenizer:
    return train_tokenizer(LINES, "bpe", 330, tags=(MASK,), prose=prose)


def model(plan: Plan, seed: int = 1) -> Model:
    """Weights so large that layers and heads differ."""
    made = Model(plan, seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.35)
    return made


def translator() -> Translator:
    own = tokenizer()
    made = model(encoder_decoder(vocab=own.vocab_size, key_heads=2, **SIZES))
    return Translator(made, {"source": own, "target": own}, (), Decoding(beam=3, max_extra=6, max_ratio=0.5))


def writer() -> Writer:
    own = tokenizer(prose=True)
    return Writer(model(decoder(vocab=own.vocab_size, capacity=32, **SIZES)), own, 32)


def filler() -> Filler:
    own = tokenizer()
    return Filler(
        model(_encoder(masked_token("text", own.vocab_size, Norm(), "gelu"))), own, FillSettings(32, Masking())
    )


def classifier(kind: Any = "one", pairs: bool | None = False) -> Classifier:
    labels = [] if kind == "number" else ["bad", "good", "so-so"]
    made = model(_encoder(pooled_label("label", ("text",), len(labels) or 1)))
    return Classifier(made, tokenizer(), Kept(kind=kind, pairs=pairs, labels=labels), 32)


def tagger() -> Tagger:
    kept = Tags(labels=["O", "B-X", "I-X"], entities=True)
    head = Head(name="label", streams=("text",), outputs=3, bias=True)
    made = model(encoder(vocab=tokenizer().vocab_size, capacity=32, segments=5, **SIZES).with_heads(head))
    return Tagger(made, tokenizer(), kept, 32)


def answerer() -> Answerer:
    head = Head(name="span", streams=("text",), outputs=2, bias=True, objective="span")
    return Answerer(model(_encoder(head)), tokenizer(), Reading(32, 4, 12, 6))


def embedder() -> Embedder:
    head = Head(name="embedding", streams=("text",), outputs=0, reads="mean", objective="contrast")
    return Embedder(model(_encoder(head)), tokenizer(), EmbedSettings(32))


def captioner() -> Captioner:
    own = tokenizer()
    plan = encoder_decoder(vocab=own.vocab_size, place="pre", edge=4, channels=3, **SIZES)
    return Captioner(model(plan), own, SIGHT, Decoding(beam=2, max_extra=8))


def matcher() -> Matcher:
    return Matcher(model(_two()), tokenizer(), SIGHT, 32)


def asker() -> Asker:
    plan = _two().with_heads(pooled_label("label", ("text", "picture"), 3))
    return Asker(model(plan), tokenizer(), Answers(["red", "green", "two"], False), SIGHT, 32)


def picture(folder: Path) -> Path:
    """A picture of 12 x 16 pixels."""
    path = folder / "a picture.png"
    path.write_bytes(png(np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)))
    return path


def _encoder(head: Head) -> Plan:
    return encoder(vocab=tokenizer().vocab_size, capacity=32, **SIZES).with_heads(head)


def _two() -> Plan:
    return two_streams(
        vocab=tokenizer().vocab_size, capacity=32, picture_width=12, picture_layers=2, picture_heads=2,
        picture_feedforward=16, text_before=(1, 2), picture_before=(1, 2), co_width=16, co_heads=2, edge=4, channels=3,
        **SIZES,
    )  # fmt: skip


SENTENCE = "the red fox sees a small bird ."
# By task: the model, the texts it takes, and whether it takes a picture.
TASKS: dict[str, tuple[Any, Sequence[str], bool]] = {
    "translate": (translator, [SENTENCE], False),
    "write": (writer, ["the red fox"], False),
    "fill": (filler, ["the red [MASK] sees a [MASK] ."], False),
    "classify": (classifier, [SENTENCE], False),
    "tag": (tagger, [SENTENCE], False),
    "answer": (answerer, ["where is the fox ?", "a fox and a bird . the river is old ."], False),
    "embed": (embedder, [SENTENCE, "a fox and a bird ."], False),
    "caption": (captioner, [], True),
    "match": (matcher, ["a red fox"], True),
    "ask": (asker, ["where is the fox ?"], True),
}
_made: dict[str, Any] = {}


def of(task: str) -> Any:
    """The model of a task, made once; not to be changed."""
    if task not in _made:
        _made[task] = TASKS[task][0]()
    return _made[task]
