"""Readings of encoders of texts: hidden words, labels, tags, answers in a text, vectors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ...data.labelled import Example
from ...data.spelled import Spelled, Words
from ...data.windows import contexts_of, windows_of
from ...errors import UserError
from ...inside.record import Answers, Guess, Reals, Said
from ...inside.scores import Score, head_of, label_scores, span_scores, token_scores
from ...model.embeddings import TokenInput
from ...model.layout import Layout
from ...model.model import Model
from ...text.cutting import cut
from ...text.tokenizer import Tokenizer
from ..answer.answerer import Answerer, given
from ..classify import Classifier, preparing
from ..classify.training import input_of
from ..embed.embedder import Embedder
from ..embed.task import HEAD as VECTOR
from ..embed.task import rows_of
from ..fill import Filler
from ..fill import Guess as FillGuess
from ..tag import Tagger
from ..tag import preparing as tags
from ..tag.training import HEAD as TAG
from ..tag.training import input_of as tag_input
from .lines import line_of, piece_of
from .pictures import read_at
from .reading import TOP, Asked, Lensed, Reading, Row, Scored, blank_of, tokens

MASKED, LABEL, SPAN = "masked_token", "label", "span"
ONLY = np.array([0])  # the one example there is
MOST_LABELS = 20
DIRECTIONS = 16  # in which a change of a single vector is felt


def filled(filler: Filler, asked: Asked) -> Reading:
    """A text with [MASK], and what may stand there."""
    (text,) = asked.texts
    hidden = filler.hidden(text)
    if hidden not in text:
        raise UserError(f"there is no {hidden} in the text; write it where a word is to be filled in")
    prompt, tokenizer, model = filler.read(text, hidden), filler.tokenizer, filler.model
    rows = filler.rows(prompt)
    ids, places = rows[0]
    shown = len(places)
    row = _row(tokens(ids, model), tokenizer)

    def read() -> Reading:
        found = filler.fill(text, TOP)
        answers = tuple(
            Answers(f"mask {number}" if shown > 1 else "the mask", _guesses(few))
            for number, few in enumerate(found.masks[:shown], 1)
        )
        said = tuple(
            Said(few[0].text, math.log(max(few[0].probability, 1e-30)), _guesses(few)) for few in found.masks[:shown]
        )
        wanted = [few[0].token for few in found.masks[:shown]]
        scored = Scored(token_scores(model, MASKED, places, wanted), {"text": places})
        lens = Lensed(MASKED, lambda token: piece_of(tokenizer, token), "what each layer would fill in", tuple(places))
        return Reading(
            "fill", model, text, found.text, (row,), read, scored, said, answers, lens, windows=len(rows) > 1
        )

    notes = [f"The text has {len(prompt.ids)} tokens; those around the first mask are shown."] if len(rows) > 1 else []
    return read().noted(*notes)


def _row(given: TokenInput, tokenizer: Tokenizer, name: str = "text", label: str = "text") -> Row:
    line = line_of(name, label, tokenizer, given.ids.tolist())
    return Row({"text": given}, {"text": line}, ("text",), blank=blank_of(tokenizer))


def _guesses(few: Sequence[FillGuess]) -> tuple[Guess, ...]:
    return tuple(Guess(one.text, one.probability) for one in few)


def classified(classifier: Classifier, asked: Asked) -> Reading:
    """A text, or a pair of texts, and its label."""
    texts, model, tokenizer = asked.texts, classifier.model, classifier.tokenizer
    words = Words(tokenizer)
    table, cut_short = preparing.table_of([Example(texts, "", "")], words, classifier.longest)
    device = next(model.parameters()).device
    given = input_of(model, Spelled(table, words.spellings(), tokenizer, classifier.longest), ONLY, None, device)
    row = Row(
        {"text": given},
        {"text": line_of("text", "text", tokenizer, given.ids.tolist())},
        ("text",),
        blank=blank_of(tokenizer),
    )

    def read() -> Reading:
        (found,) = classifier.classify([texts[0]] if len(texts) == 1 else [(texts[0], texts[1])])
        guesses = [Guess(label, chance) for label, chance in found.chances.items()][:MOST_LABELS]
        places = [classifier.labels.index(guess.text) for guess in guesses[:1]]
        if found.labels:
            places = [classifier.labels.index(label) for label in found.labels]
        head = head_of(model, LABEL)
        score = label_scores(model, LABEL, places) if places else _values(model, LABEL)
        at = read_at(model, head, len(places) or 1)
        scored = Scored(score, at, unit="nats" if places else "value", mean=head.reads == "mean")
        answers = (Answers("labels", tuple(guesses)),) if guesses else ()
        answer = found.label or "none of the labels"
        return Reading("classify", model, " | ".join(texts), answer, (row,), read, scored, answers=answers)

    notes = [f"The text is longer than the {classifier.longest} tokens that the model reads; its end was cut."]
    return read().noted(*notes[: bool(cut_short)])


def tagged(tagger: Tagger, asked: Asked) -> Reading:
    """A text, and a label for each of its words."""
    (text,) = asked.texts
    model, tokenizer = tagger.model, tagger.tokenizer
    named = [text[start:end] for start, end in cut(text)]
    words = Words(tokenizer)
    table, windows = tags.table_of([named], words, tagger.longest)
    spelled = Spelled(table, words.spellings(), tokenizer, tagger.longest)
    given_, places = tag_input(spelled, ONLY, None, next(model.parameters()).device)
    firsts = places.tolist()
    row = _row(given_, tokenizer)

    def read() -> Reading:
        (found,) = tagger.tag([text])
        seen = found.words[: len(firsts)]
        said = tuple(Said(f"{one.text}/{one.label}", math.log(max(one.score, 1e-30))) for one in seen)
        labels = [tagger.labels.index(one.label) for one in seen]
        scored = Scored(token_scores(model, TAG, firsts, labels), {"text": firsts})
        label, before = "the label each layer would give", tuple(f"{one.text}/" for one in seen)
        lens = Lensed(TAG, lambda number: tagger.labels[number], label, tuple(firsts), before)
        answer = " ".join(f"{one.text}/{one.label}" for one in found.words)
        return Reading("tag", model, text, answer, (row,), read, scored, said, lens=lens, windows=bool(windows))

    notes = [f"The text is longer than the {tagger.longest} tokens read at once; its first part is shown."]
    return read().noted(*notes[: bool(windows)])


def answered(answerer: Answerer, asked: Asked) -> Reading:
    """A question, and its answer in a text."""
    question, context = asked.texts
    model, tokenizer = answerer.model, answerer.tokenizer
    read_context = contexts_of(tokenizer, [context])[context]
    windows = list(windows_of(tokenizer, tokenizer.encode(question), read_context, answerer.reading))
    if not windows:
        raise UserError("the context is empty; give the text that the answer is in")
    answer = answerer.answer(question, context, TOP)
    first = answer.best[0] if answer.best else None
    # The window that the best candidate was found in, as it is told by its characters.
    spans = [(int(read_context.starts[one.first]), int(read_context.ends[one.end - 1])) for one in windows]
    number = spans.index(first.window) if first is not None else 0
    window = windows[number]
    device = next(model.parameters()).device
    size = np.array([len(window.ids)], np.int64)
    row = _row(given(model, window.ids, size, np.array([window.head]), device), tokenizer, label="question and text")

    def read() -> Reading:
        found = answerer.answer(question, context, TOP)
        guesses = tuple(Guess(one.text, one.probability) for one in found.best)
        scored, places = None, (0, 0)
        if found.start is not None and found.end is not None:
            begin = int(np.searchsorted(read_context.ends, found.start, side="right"))
            last = int(np.searchsorted(read_context.starts, found.end, side="left")) - 1
            places = (begin - window.first + window.head, last - window.first + window.head)
        if 0 <= places[0] <= places[1] < len(window.ids):
            scored = Scored(span_scores(model, SPAN, *places), {"text": list(places)})
        said = found.text or "no answer in this text"
        return Reading(
            "answer",
            model,
            f"{question} | {context}",
            said,
            (row,),
            read,
            scored,
            answers=(Answers("answers", guesses),),
            windows=len(windows) > 1,
        )

    notes = [f"The text is read in {len(windows)} windows; number {number + 1} is shown, where the best answer is."]
    return read().noted(*notes[: len(windows) > 1])


def embedded(embedder: Embedder, asked: Asked) -> Reading:
    """A text, or two and how alike they are."""
    model, tokenizer, texts = embedder.model, embedder.tokenizer, asked.texts
    device = next(model.parameters()).device
    names = (("text", "text"),) if len(texts) == 1 else (("text", "first text"), ("second", "second text"))
    rows, notes = [], []
    for text, (name, label) in zip(texts, names, strict=True):
        whole = tokenizer.encode(text)
        ids = np.array(whole[: embedder.settings.longest - 2], np.int64)
        given_ = rows_of(tokenizer, ids, np.array([len(ids)]), device)
        rows.append(_row(given_, tokenizer, name, label))
        if len(ids) < len(whole):
            notes.append(f"The {label} has {len(whole)} tokens; the first {len(ids)} are read.")
    head = head_of(model, VECTOR)

    def read() -> Reading:
        vectors = embedder.embed(texts)
        alike = float(vectors[0] @ vectors[-1])
        answers = (Answers("likeness (cosine)", (Guess("alike", alike),)),) if len(texts) > 1 else ()
        said = f"likeness {alike:.3f}" if len(texts) > 1 else f"a vector of {embedder.width} numbers"
        # Of a single text: how like its vector still is to what it was.
        other = None if len(texts) > 1 else vectors
        alike_by = _Cosine(other)
        scored = Scored(
            _vectors(model), read_at(model, head), unit="cosine", combine=alike_by, total=alike_by.total,
            mean=head.reads == "mean",
        )  # fmt: skip
        return Reading("embed", model, " | ".join(texts), said, tuple(rows), read, scored, answers=answers)

    return read().noted(*notes)


def _vectors(model: Model) -> Score:
    """The vectors [rows, width] that the head of likeness makes."""

    def score(states: Mapping[str, torch.Tensor], layouts: Mapping[str, Layout]) -> torch.Tensor:
        return torch.nn.functional.normalize(model.logits(VECTOR, states, layouts).float(), dim=-1)

    return score


def _values(model: Model, head: str) -> Score:
    """What a head of rows says, as it is: numbers."""
    return lambda states, layouts: model.logits(head, states, layouts).float()


class _Cosine:
    """The cosines [n, 1] of two texts' vectors, or of one's and of what it was."""

    def __init__(self, other: Reals | None) -> None:
        self.other = other

    def __call__(self, rows: Sequence[Reals]) -> Reals:
        other = rows[1] if self.other is None else self.other
        return np.asarray((rows[0] * other).sum(1, keepdims=True), np.float32)

    def total(self, rows: Sequence[torch.Tensor]) -> torch.Tensor:
        """The cosine of two. Of one, its vector in some directions drawn by chance: where it is what it was, its cosine
        has no slope."""
        if self.other is None:
            return (rows[0] * rows[1]).sum(1)
        (vector,) = rows[0]
        drawn = torch.randn(DIRECTIONS, len(vector), generator=torch.Generator().manual_seed(0))
        return torch.mv(drawn.to(vector), vector) / math.sqrt(DIRECTIONS)
