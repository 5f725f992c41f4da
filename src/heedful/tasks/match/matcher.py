"""A finished model that matches: captions against pictures, pictures against captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from ...config import Pictures
from ...data.gallery import NETWORKS, PATCHES, Gallery, Sight, found_all, look_at, sight_from
from ...data.pictures import SUFFIXES, Reference, load_array
from ...data.readers import read_lines
from ...errors import UserError
from ...inside.probing import Capture
from ...model.embeddings import Input, TokenInput
from ...model.heads import Head
from ...model.layout import Layout
from ...model.model import Model
from ...text.ragged import spans
from ...text.tokenizer import Tokenizer
from ..beginning import task_token
from ..finding import load_for

Ids = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float32]
CHUNK = 256  # rows that are encoded, or pairs that meet, at a time
LOOKED = 0  # of the likeliest, so many are looked at again by co-attention; measured, it did not help (docs/decisions)


class Match(NamedTuple):
    """Which candidate, and how well it fits: the log-odds that it belongs together, or a cosine where the model was
    not trained to align or the candidate was not among those looked at (`looked` is False)."""

    number: int
    name: str
    score: float
    looked: bool


@dataclass
class Encoded:
    """Some rows of one stream as they are before the streams meet, and their vectors of length 1 (None: no head)."""

    stream: str
    states: Tensor
    lengths: Ids
    vectors: Tensor | None

    def __len__(self) -> int:
        return len(self.lengths)

    def rows(self, numbers: Ids) -> tuple[Tensor, Layout]:
        """The states of some rows, which may repeat, end to end."""
        begins = np.cumsum(self.lengths) - self.lengths
        places = torch.from_numpy(spans(begins[numbers], self.lengths[numbers])).to(self.states.device)
        return self.states.index_select(0, places), Layout.packed(self.lengths[numbers], self.states.device)


class Side(NamedTuple):
    """What is compared: names or captions, encoded."""

    names: list[str]
    encoded: Encoded


def encode(model: Model, stream: str, inputs: Sequence[Input]) -> Encoded:
    """Batches of one stream's inputs, through the steps before the streams meet."""
    states, lengths, vectors = [], [], []
    head = likeness_of(model)
    for given in inputs:
        layout = given.layout
        begun = {stream: model.embedded(stream, given)}
        now = model.run(begun, {stream: layout}, last=model.plan.apart)
        states.append(now[stream])
        lengths.append(layout.lengths)
        if head is not None:
            read = model.row_vectors(head.plan.reads, stream, now, {stream: layout})
            vectors.append(functional.normalize(head(read), dim=-1))
    return Encoded(stream, torch.cat(states), np.concatenate(lengths), torch.cat(vectors) if vectors else None)


def likeness_of(model: Model) -> Head | None:
    """The head whose vectors are compared."""
    head = dict(model.heads.items()).get("likeness")
    assert head is None or isinstance(head, Head)
    return head


def aligned(model: Model, texts: Encoded, pictures: Encoded, text: Ids, picture: Ids) -> Tensor:
    """Log-odds [pairs] that caption `text[i]` and picture `picture[i]` belong together, after co-attention."""
    found = []
    for first in range(0, len(text), CHUNK):
        some = slice(first, first + CHUNK)
        (words, word_layout), (patches, patch_layout) = texts.rows(text[some]), pictures.rows(picture[some])
        layouts = {"text": word_layout, "picture": patch_layout}
        states = model.run({"text": words, "picture": patches}, layouts, first=model.plan.apart)
        logits = model.logits("alignment", states, layouts)
        found.append(logits[:, 0] - logits[:, 1])
    return torch.cat(found) if found else torch.zeros(0)


def ranked(
    model: Model, queries: Encoded, candidates: Encoded, looked: int = LOOKED
) -> tuple[Reals, npt.NDArray[np.bool_]]:
    """Scores [queries, candidates], and which of them were looked at by co-attention: these come before all others.

    Their scores are log-odds + cosine x sharpness, those of the others cosines.
    """
    likeness = torch.zeros(len(queries), len(candidates))
    if queries.vectors is not None and candidates.vectors is not None:
        likeness = queries.vectors @ candidates.vectors.T
    else:
        looked = len(candidates)
    scores = likeness.cpu().numpy()
    seen = np.zeros(scores.shape, np.bool_)
    few = min(looked, len(candidates)) if "alignment" in model.heads else 0
    if few:
        best = likeness.topk(few, dim=1).indices.cpu().numpy()
        mine = np.repeat(np.arange(len(queries)), few)
        sides = {queries.stream: (queries, mine), candidates.stream: (candidates, best.reshape(-1))}
        (texts, text), (pictures, picture) = sides["text"], sides["picture"]
        odds = aligned(model, texts, pictures, text, picture).cpu().numpy().reshape(best.shape)
        head = likeness_of(model)
        sharpness = head.plan.sharpness if head is not None else 0.0
        np.put_along_axis(seen, best, True, 1)
        np.put_along_axis(scores, best, odds + sharpness * np.take_along_axis(scores, best, 1), 1)
    return scores, seen


def ordered(scores: Reals, seen: npt.NDArray[np.bool_]) -> Ids:
    """The candidates of each query, best first [queries, candidates]."""
    return np.lexsort((-scores, ~seen), axis=-1)


class Matcher:
    """Ranks pictures for a caption, and captions for a picture.

    `longest` tokens of a caption are read. `fields` are the columns that training read; `features` is the file of the
    pictures' features that it read, if it did; `task` is the number of its task, where the model reads one (see
    `beginning.task_token`).
    """

    def __init__(
        self,
        model: Model,
        tokenizer: Tokenizer,
        sight: Sight,
        longest: int,
        fields: Sequence[str] = (),
        features: Path | None = None,
        task: int | None = None,
    ) -> None:
        self.model, self.tokenizer, self.sight, self.longest = model.eval(), tokenizer, sight, longest
        self.fields, self.features, self.task = fields, features, task

    @torch.no_grad()
    def captions(self, texts: Sequence[str]) -> Side:
        """Captions encoded, to be compared with many pictures."""
        for number, text in enumerate(texts, 1):
            if not text.strip():
                raise UserError(f"text {number} is empty; there is nothing to look for")
        rows = self.rows(texts)
        chunks = [rows[first : first + CHUNK] for first in range(0, len(rows), CHUNK)]
        inputs = [
            TokenInput(
                torch.tensor([token for row in chunk for token in row]),
                Layout.packed(np.array([len(row) for row in chunk])),
            )
            for chunk in chunks
        ]
        return Side(list(texts), encode(self.model, "text", inputs))

    def rows(self, texts: Sequence[str]) -> list[list[int]]:
        """Captions as the ids that the model reads: between start and end, cut to `longest`."""
        begin = [self.tokenizer.start] if self.task is None else [self.tokenizer.start, self.task]
        ids = [row[: self.longest - 1 - len(begin)] for row in self.tokenizer.encode_many(texts)]
        return [[*begin, *row, self.tokenizer.end] for row in ids]

    def pictures(self, names: Sequence[str], features: Path | None = None) -> Side:
        """Pictures read and encoded, to be compared with many captions; `features`: the file that has theirs."""
        return self.gallery(self.look([Reference(name, "picture") for name in names], features), names)

    def look(self, references: Sequence[Reference], features: Path | None = None) -> Gallery:
        """Pictures as the model sees them, in the order given."""
        file = features or self.features
        found = list(references) if file is not None else found_all(references, Pictures())
        return look_at(self.sight, found, file)

    @torch.no_grad()
    def gallery(self, gallery: Gallery, names: Sequence[str]) -> Side:
        """Pictures of a gallery encoded."""
        numbers = np.arange(len(gallery))
        inputs = [gallery.input(numbers[first : first + CHUNK]) for first in range(0, len(numbers), CHUNK)]
        return Side(list(names), encode(self.model, "picture", inputs))

    @torch.no_grad()
    def match(self, queries: Side, candidates: Side, best: int = 5, looked: int = LOOKED) -> list[list[Match]]:
        """For each query (a caption or a picture, the other than the candidates) its best candidates, best first.

        The `looked` likeliest are looked at by co-attention (0: none; all, for a model without likeness).
        """
        scores, seen = ranked(self.model, queries.encoded, candidates.encoded, looked)
        return [
            [Match(int(n), candidates.names[n], float(scores[row, n]), bool(seen[row, n])) for n in order[:best]]
            for row, order in enumerate(ordered(scores, seen))
        ]

    @torch.no_grad()
    def attention(self, caption: str, picture: str, features: Path | None = None) -> dict[str, Tensor]:
        """Where a caption and a picture look at each other: weights [heads, queries, keys] by address.

        "text.N.picture.weights" are of tokens (the first is the start, the last the end) to the picture's rows (the
        first is the whole), "picture.N.text.weights" of these to tokens; N is the block, counted within its stream.
        """
        text, shown = self.captions([caption]).encoded, self.pictures([picture], features).encoded
        states, layouts = {"text": text.states, "picture": shown.states}, {}
        for one in (text, shown):
            layouts[one.stream] = Layout.packed(one.lengths)
        seen = Capture("text.*.picture.weights", "picture.*.text.weights")
        self.model.run(states, layouts, first=self.model.plan.apart, probe=seen)
        return {address: seen.row(address, 0, layouts).float() for address in seen.seen}


def load(path: str | Path) -> Matcher:
    """The matcher in a folder of a run or a model."""
    model, extra, tokenizer = load_for(path, "match")
    sight, features = sight_from(extra.get("pictures"), path), extra.get("features")
    own = Path(features) if isinstance(features, str) and sight.encoder not in (PATCHES, *NETWORKS) else None
    longest, fields = int(extra.get("longest", 64)), tuple(extra.get("fields", ()))
    return Matcher(model, tokenizer, sight, longest, fields, own, task_token(model.plan, extra))


def pictures_in(path: Path, own: bool = False) -> list[str]:
    """The pictures of a folder, in order; of a .npz or .npy all; else a file of names, one a line.

    `own`: the names are those of a file of features, so none is looked for.
    """
    if path.is_dir():
        found = sorted(str(file) for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    elif path.suffix in (".npz", ".npy"):
        found = [f"{path}#{number}" for number in range(len(load_array(path, None, "--pictures")))]
    elif path.suffix.lower() in SUFFIXES:
        found = [str(path)]
    else:
        names = [Reference(line, f"{path}:{number}") for number, line in enumerate(read_lines(path), 1) if line.strip()]
        found = [one.name if own else one.found().name for one in names]
    if not found:
        raise UserError(f"{path}: no pictures are in it; known are {', '.join(SUFFIXES)}")
    return found


def lines_in(path: Path) -> list[str]:
    """The lines of a file that are not empty; UserError where there are none."""
    found = [line for line in read_lines(path) if line.strip()]
    if not found:
        raise UserError(f"{path}: no texts are in it; write one a line")
    return found
