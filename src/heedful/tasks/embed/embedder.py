"""Vectors of texts, alike for texts that mean the same; and search with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from msgspec import Struct, ValidationError, convert

from ...errors import UserError
from ...measure.retrieval import Vectors
from ...model.model import Model
from ...model.plan import Tokens
from ...text.tokenizer import Tokenizer
from ..finding import find, load_for
from .task import HEAD, vectors_of, width_of

QUERIES = 256  # compared with all texts at a time


class Settings(Struct, frozen=True):
    """What config.json says of how the model was trained; other keys are not for us."""

    longest: int
    fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hit:
    """A text that was found: its number, from 0, and the cosine of its vector and the query's."""

    number: int
    score: float


class Embedder:
    """Makes a vector of a text; of a long one from its first `longest` tokens."""

    def __init__(self, model: Model, tokenizer: Tokenizer, settings: Settings) -> None:
        self.model, self.tokenizer, self.settings = model.eval(), tokenizer, settings
        self.width = width_of(model.plan)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of length 1, float32 [texts, width]: their products are cosines."""
        rows = [ids[: self.settings.longest - 2] for ids in self.tokenizer.encode_many(list(texts))]
        lengths = np.array([len(ids) for ids in rows], np.int64)
        ids = np.array([token for row in rows for token in row], np.int64)
        return vectors_of(self.model, self.tokenizer, ids, lengths)

    def search(self, queries: Sequence[str], texts: Sequence[str] | Vectors, best: int = 10) -> list[list[Hit]]:
        """For each query the `best` of the texts (or of their vectors, made before), the most alike first."""
        vectors = texts if isinstance(texts, np.ndarray) else self.embed(texts)
        if vectors.ndim != 2 or vectors.shape[1] != self.width:
            raise UserError(f"vectors of shape {vectors.shape}; this model makes vectors of {self.width} numbers")
        asked, best, found = self.embed(queries), min(best, len(vectors)), []
        for first in range(0, len(asked), QUERIES):
            alike = asked[first : first + QUERIES] @ vectors.T
            order = np.argsort(-alike, axis=1, kind="stable")[:, :best]  # of equal ones the first
            for row, some in zip(alike, order, strict=True):
                found.append([Hit(int(number), float(row[number])) for number in some])
        return found


def load(path: str | Path) -> Embedder:
    """The model in a folder of a run or a model; UserError if config.json is not ours."""
    model, extra, tokenizer = load_for(path, "embed")
    try:
        settings = convert(extra, Settings)
    except ValidationError as error:
        raise UserError(f"{find(path)}: config.json: {error}; copy the model again") from None
    embedding = model.plan.streams[0].embedding
    most = embedding.capacity if isinstance(embedding, Tokens) and embedding.positions == "learned" else 10**6
    if not 3 <= settings.longest <= most or [head.name for head in model.plan.heads] != [HEAD]:
        raise UserError(f"{find(path)}: config.json: not a model for embed, or edited; copy the model again")
    return Embedder(model, tokenizer, settings)
