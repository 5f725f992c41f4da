"""Readings of models of two streams, a text and a picture: captions that match, questions that are answered."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from ...config import Pictures
from ...data.gallery import PATCHES, Sight, look_at
from ...data.pictures import Pixels, Reference, read_picture
from ...errors import UserError
from ...inside.record import Answers, Guess, Line, Picture
from ...inside.scores import head_of, label_scores, likeness, odds
from ...model.embeddings import PatchInput, RegionInput
from ...model.model import Model
from ...model.plan import Head
from ...page.photo import png
from ..ask.asker import Asker
from ..ask.batching import HEAD as LABEL
from ..ask.batching import inputs_of
from ..ask.examples import Example, pictures_of
from ..ask.prepared import table_of
from ..match import Matcher
from ..match.matcher import aligned
from .lines import boxes_of, line_of, picture_line
from .reading import TOP, Asked, Reading, Row, Scored, Unit, blank_of, tokens

LARGEST = 512  # pixels of the longer edge of a picture in a record
BLANK = (192, 256)  # in the place of a picture that is but features


def pictured(name: str, sight: Sight, references: Sequence[Reference], given: PatchInput | RegionInput) -> Line:
    """The line of one picture, or of two side by side, that a model reads as `given`."""
    shown = [_pixels(one, sight) for one in references]
    height = min(len(one) for one in shown)
    pixels = np.concatenate([one[:height] for one in shown], axis=1)
    boxes = boxes_of(given.boxes.cpu().numpy())
    picture = Picture(png(pixels), pixels.shape[1], pixels.shape[0], boxes)
    whole = sight.encoder == PATCHES or sight.whole
    unit = "patch" if sight.encoder == PATCHES else "region"
    return picture_line(name, "picture", picture, whole, unit)


def _pixels(one: Reference, sight: Sight) -> Pixels:
    """A picture as boxes are laid over it: cut as the model's are, else as it is; grey where there are but features."""
    try:
        pixels = read_picture(one.found(), sight.fit if sight.encoder == PATCHES and sight.shortest else None)
    except UserError:
        if sight.encoder == PATCHES:
            raise
        return np.full((*BLANK, 3), 128, np.uint8)
    step = math.ceil(max(pixels.shape[:2]) / LARGEST)
    if step == 1:
        return pixels
    height, width = (size // step for size in pixels.shape[:2])
    parts = pixels[: height * step, : width * step].reshape(height, step, width, step, 3)
    return np.asarray(parts.mean((1, 3)).round(), np.uint8)


def matched(matcher: Matcher, asked: Asked) -> Reading:
    """A caption and a picture, and how well they fit."""
    text, path = asked.texts[0], str(asked.picture)
    model, (ids,) = matcher.model, matcher.rows([text])
    reference = Reference(path, "picture")
    given = matcher.look([reference], asked.features).input(np.array([0]), next(model.parameters()).device)
    lines = {
        "text": line_of("text", "caption", matcher.tokenizer, ids),
        "picture": pictured("picture", matcher.sight, [reference], given),
    }
    row = Row(
        {"text": tokens(ids, model), "picture": given}, lines, ("text", "picture"), blank=blank_of(matcher.tokenizer)
    )

    def read() -> Reading:
        side, shown = matcher.captions([text]), matcher.pictures([path], asked.features)
        answers, said = [], []
        if "likeness" in model.heads:
            cosine = matcher.match(side, shown, 1, looked=0)[0][0].score
            answers.append(Answers("likeness of caption and picture (cosine)", (Guess("alike", cosine),)))
            said.append(f"likeness {cosine:.3f}")
        if "alignment" in model.heads:
            only = np.array([0])
            with torch.no_grad():
                chance = float(aligned(model, side.encoded, shown.encoded, only, only).sigmoid()[0])
            guesses = (Guess("belong together", chance), Guess("do not", 1 - chance))
            answers.append(Answers("after co-attention", tuple(sorted(guesses, key=lambda one: -one.probability))))
            said.append(f"belong together: {chance:.1%}")
        name = "alignment" if "alignment" in model.heads else "likeness"
        head = head_of(model, name)
        score = odds(model, name) if name == "alignment" else likeness(model)
        unit: Unit = "nats" if name == "alignment" else "cosine"
        scored = Scored(score, read_at(model, head), head.before, unit, mean=head.reads == "mean")
        return Reading("match", model, text, ", ".join(said), (row,), read, scored, answers=tuple(answers))

    return read().noted(*_cut(matcher.tokenizer.encode(text), ids))


def asked_about(asker: Asker, asked: Asked) -> Reading:
    """A question about a picture and its answer."""
    question = asked.texts[0]
    references = (Reference(str(asked.picture), "picture"),)
    example = Example(references, question, (), "")
    seen = Pictures() if asked.features is None else Pictures(features=str(asked.features))
    pictures, numbers = pictures_of([example], seen)
    gallery = look_at(asker.sight, pictures, asked.features)
    table = table_of([example], numbers, asker.tokenizer, asker.answers, asker.longest, asker.task)
    model, device = asker.model, next(asker.model.parameters()).device
    inputs = inputs_of(table, gallery, np.array([0]), device)
    ids = table.rows("text", np.array([0]))[0].tolist()
    shown = inputs["picture"]
    assert isinstance(shown, (PatchInput, RegionInput))
    lines = {
        "text": line_of("text", "question", asker.tokenizer, ids),
        "picture": pictured("picture", asker.sight, pictures, shown),
    }
    row = Row(inputs, lines, ("text", "picture"), blank=blank_of(asker.tokenizer))

    def read() -> Reading:
        found = asker.ask_many([(str(asked.picture), question)], TOP, asked.features)[0]
        guesses = tuple(Guess(word, chance) for word, chance in found.best.items())
        place = asker.answers.words.index(found.answer)
        scored = Scored(label_scores(model, LABEL, [place]), read_at(model, head_of(model, LABEL)))
        return Reading(
            "ask", model, question, found.answer, (row,), read, scored, answers=(Answers("answers", guesses),)
        )

    return read().noted(*_cut(asker.tokenizer.encode(question), ids))


def read_at(model: Model, head: Head, count: int = 1) -> dict[str, list[int]]:
    """The token of each stream that a head of rows is read from, for each of its `count` scores; the first, where it is
    the mean of all (see `Scored.mean`)."""
    places = {}
    for stream in head.streams:
        pool = model.plan.stream(stream).pool
        last = head.reads == "pooled" and pool is not None and pool.reads == "last"
        places[stream] = [-1 if last else 0] * count
    return places


def _cut(ids: Sequence[int], read: Sequence[int]) -> list[str]:
    """A note where a text was cut."""
    return [f"The text has {len(ids)} tokens; the model reads {len(read)} at most."] if len(ids) > len(read) else []
