"""Readings of models that write: translators and captioners (a decoder over another stream), and language models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...config import Pictures
from ...data.gallery import found_all, look_at
from ...data.pictures import Reference
from ...decode.options import Hypothesis, Options
from ...decode.scoring import score
from ...errors import UserError
from ...inside.record import Said
from ...inside.scores import token_scores
from ...model.model import Model
from ...text.tokenizer import Tokenizer
from ..caption import Captioner
from ..translate import Translator
from ..translate.answers import Piece
from ..write import Writer, Written
from ..write.writer import Strand
from .lines import line_of, piece_of
from .passing import Begun
from .pictures import pictured
from .reading import Asked, Lensed, Reading, Row, Scored, blank_of, tokens, written_over

HEAD = "next_token"
MOST = 1024  # tokens of either side that are looked at: pictures of more say nothing


def translated(translator: Translator, asked: Asked) -> Reading:
    """A sentence and its translation, by the translator's own way of decoding."""
    (text,) = asked.texts
    bounds = translator.bounds(text)
    if not 1 <= asked.sentence <= len(bounds):
        raise UserError(f"sentence {asked.sentence}: the text has {len(bounds)}")
    notes = []
    if len(bounds) > 1:
        notes.append(
            f"The text has {len(bounds)} sentences, which are translated one by one; this is number {asked.sentence}. "
            "Another one: --sentence N."
        )
    start, end = bounds[asked.sentence - 1]
    begun = Begun(translator.model)
    with begun.watching():
        answer = translator.answer([text[start:end]], asked.tag, split="never")[0]
    pieces = [piece for piece in answer.pieces if len(piece.source)]
    if not pieces:
        raise UserError("nothing of this text is translated: there is no word in it")
    piece = max(pieces, key=lambda one: len(one.source))
    if asked.said is not None:
        options = translator.frame(asked.tag).decoding(translator.options())
        given = _given(translator.model, piece.source, asked.said, options)
        said = translator.tokenizers["target"].decode(given.ids)
        return _translation(translator, asked.tag, piece._replace(hypothesis=given), text[start:end], said)
    if len(pieces) > 1:
        notes.append(f"It was translated in {len(pieces)} parts; the longest is shown, and the answer is that of all.")
    notes += [f"Check the translation: {problem}." for problem in answer.problems]
    found = _translation(translator, asked.tag, piece, text[start:end], answer.text, begun)
    return found.noted(*notes)


def _translation(
    translator: Translator, tag: str | None, piece: Piece, text: str, answer: str, begun: Begun | None = None
) -> Reading:
    reader, writer = (translator.tokenizers[side] for side in ("source", "target"))
    options = translator.frame(tag).decoding(translator.options(logprobs=True))
    source = Row(
        {"source": tokens(piece.source, translator.model)},
        {"source": line_of("source", "source", reader, piece.source)},
        ("source",),
        blank=blank_of(reader),
        begun=begun,
    )

    def again() -> Reading:
        # Of placeholders and demands nothing is known here: the same ids are decoded once more.
        hypothesis = translator.search([piece.source], options)[0][0]
        said = piece._replace(hypothesis=hypothesis)
        return _translation(translator, tag, said, text, writer.decode(hypothesis.ids))

    assert options.start is not None
    label = "translation"
    found = _written(translator.model, source, writer, options.start, piece.hypothesis, label)
    return Reading("translate", translator.model, text, answer, again=again, **found)


def _given(model: Model, source: Sequence[int], said: Sequence[int], options: Options) -> Hypothesis:
    """An answer that is said, end included, as if it had been found."""
    end = options.end
    ids = [*said[:-1]] if said and said[-1] == end else [*said]
    finished = len(ids) < len(said)
    (found,) = score(model, [(source, ids)], options, finished)
    return Hypothesis(ids, found.score, finished, found.logprobs)


def captioned(captioner: Captioner, asked: Asked) -> Reading:
    """A picture and its caption, by the captioner's own way of decoding."""
    path = asked.picture
    assert path is not None
    found = found_all([Reference(str(path), "picture")], Pictures())
    gallery = look_at(captioner.sight, found)
    device = next(captioner.model.parameters()).device
    given = gallery.input(np.array([0]), device)
    shown = Row({"source": given}, {"source": pictured("source", captioner.sight, found, given)}, ("source",))

    def read() -> Reading:
        hypothesis = captioner.hypotheses(gallery, np.array([0]))[0]
        answer = captioner.tokenizer.decode(hypothesis.ids)
        written = _written(
            captioner.model, shown, captioner.tokenizer, captioner.tokenizer.start, hypothesis, "caption"
        )
        return Reading("caption", captioner.model, path.name, answer, again=read, **written)

    return read()


def _written(
    model: Model, source: Row, tokenizer: Tokenizer, start: int, hypothesis: Hypothesis, label: str
) -> dict[str, Any]:
    """What a decoder wrote over a source, as parts of a reading."""
    ids = hypothesis.ids[:MOST]
    ended = hypothesis.finished and len(ids) == len(hypothesis.ids)
    said = [*ids, tokenizer.end] if ended else ids
    return {
        "rows": (written_over(model, source, tokenizer, start, said, label),),
        "said": _said(tokenizer, said, hypothesis.logprobs or ()),
        "scored": Scored(token_scores(model, HEAD, range(len(said)), said), {"target": range(len(said))}),
        "lens": _lens(tokenizer),
        "written": tuple(said),
    }


def _said(tokenizer: Tokenizer, ids: Sequence[int], logprobs: Sequence[float]) -> tuple[Said, ...]:
    return tuple(Said(piece_of(tokenizer, token), logprob) for token, logprob in zip(ids, logprobs, strict=False))


def _lens(tokenizer: Tokenizer) -> Lensed:
    return Lensed(HEAD, lambda token: piece_of(tokenizer, token), "what each layer would write next")


def written(writer: Writer, asked: Asked) -> Reading:
    """A prompt, and what a language model writes after it: the likeliest token, again and again."""
    (prompt,) = asked.texts
    ids, _ = writer.read(prompt)
    strand, notes = Strand(ids), []
    before, begins = strand.window(writer.context, writer.tokenizer.opens)
    if len(before) < len(ids):
        notes.append(f"The prompt has {len(ids)} tokens; the model goes on from the last {len(before)}.")
    # What is written must be read in the window that the prompt is in.
    length = max(1, min(asked.length, writer.context - len(before) - begins))

    def read() -> Reading:
        found = writer.answer([prompt], length=length, temperature=0.0)[0][0]
        return _continued(writer, prompt, found, [*[writer.tokenizer.start] * begins, *before], read)

    return read().noted(*notes)


def _continued(writer: Writer, prompt: str, found: Written, before: list[int], again: Callable[[], Reading]) -> Reading:
    model, tokenizer = writer.model, writer.tokenizer
    said = [*found.ids, tokenizer.end] if found.finished else found.ids
    every = [*before, *said]
    read, follows = (every[:-1], every[1:]) if said else (every, every[1:])
    places = range(len(before) - 1, len(before) - 1 + len(said))
    asks = {"text": line_of("written", "what comes next", tokenizer, follows)} if said else {}
    row = Row(
        {"text": tokens(read, model)},
        {"text": line_of("text", "text", tokenizer, read)},
        ("text",),
        asks,
        blank_of(tokenizer),
    )
    scored = Scored(token_scores(model, HEAD, places, said), {"text": places}) if said else None
    return Reading(
        "write", model, prompt, found.text, (row,), again, scored, _said(tokenizer, said, found.logprobs),
        lens=_lens(tokenizer), written=tuple(said),
    )  # fmt: skip
