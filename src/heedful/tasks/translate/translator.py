"""A finished translator: a model with its tokenizers, and its way of decoding."""

from __future__ import annotations

import dataclasses
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch

from ...config import Decoding, check_decoding
from ...data.parallel import load_tokenizers
from ...decode.engine import as_one, decode
from ...decode.options import Hypothesis, Options
from ...decode.wanted import Wanted
from ...errors import UserError
from ...model import hardware
from ...model.model import Model
from ...model.model import load as load_model
from ...text.foreign import Foreign
from ...text.pipeline import BYTES, without_surrogates
from ...text.sentences import split_sentences
from ...text.spans import Span, tidy
from ...text.spans import find as find_spans
from ...text.terms import Terms
from ...text.tokenizer import Tokenizer
from ..finding import find, require_tokenizer
from .answers import Alternative, Answer, Draft, Piece, best_joined, distinct
from .demands import Demands, least_risky, spellings
from .exchange import Exchange, Languages
from .framing import Frame, Framing, frame_of
from .protecting import Sentence, Way

Split = Literal["auto", "always", "never"]


FEW = 0.1  # a model that saw no more texts of several sentences is at a loss with them


class Seen(msgspec.Struct, frozen=True):
    """The texts a model was trained on: how many tokens 99 of 100 have at most (None: not known), and the share of them
    that hold several sentences."""

    usual_tokens: int | None = None
    several_sentences: float = 0.0


class Translator:
    """A finished model with its tokenizers. `tags` are the target languages to choose from (none: there is one).

    `choices` are the fast paths of this machine, as `load` probes for them. `others` are models of the same words that
    decode together with `model`. `task` is put before every source, as in training (the recipe's data.prefix);
    `framing` is that of a model from another library.
    """

    def __init__(
        self,
        model: Model,
        tokenizers: Mapping[str, Tokenizer],
        tags: Sequence[str],
        decoding: Decoding,
        choices: hardware.Choices | None = None,
        seen: Seen | None = None,
        others: Sequence[Model] = (),
        task: str = "",
        framing: Framing | None = None,
    ) -> None:
        self.model, self.tokenizers, self.tags, self.decoding = model, dict(tokenizers), tuple(tags), decoding
        self.choices = choices or hardware.Choices()
        self.seen, self.task, self.framing = seen or Seen(), task, framing or Framing()
        self.models: Model | list[Model] = [model, *others] if others else model

    def translate(
        self,
        texts: Iterable[str],
        tag: str | None = None,
        options: Options | None = None,
        *,
        protect: bool | None = None,
        terms: Terms | None = None,
        split: Split = "auto",
    ) -> list[str]:
        """The text of `answer` for each text, in order; an empty text stays empty."""
        return [one.text for one in self.answer(texts, tag, options, protect=protect, terms=terms, split=split)]

    def answer(
        self,
        texts: Iterable[str],
        tag: str | None = None,
        options: Options | None = None,
        *,
        protect: bool | None = None,
        terms: Terms | None = None,
        spans: Sequence[Sequence[tuple[int, int]]] | None = None,
        best: int | None = None,
        split: Split = "auto",
        language: str = "en",
        prefix: str = "",
        require: Sequence[str] = (),
        ban: Sequence[str] = (),
        mbr: int = 0,
    ) -> list[Answer]:
        """The translation of each text, in order, with scores and what is wrong with it. `tag` is the target language.

        `protect` keeps tags, variables, addresses and numbers (None: as the recipe says; see `protecting`); `spans`
        [start, end) of each text, and `terms`, are kept in any case. `best` (or `options.best`) asks for alternatives.

        Texts are split into sentences, by the rules of `language`, if the model was trained on single sentences or the
        text is longer than what it was trained on ("auto"; or "always", or "never"), and sentences of more than
        `decoding.longest` tokens into pieces. Lines of a text are translated apart, unless "never". White space between
        sentences stays as it is; around an answer is none.

        Every translation begins with `prefix`, holds all phrases of `require` and none of `ban`; texts are then not
        split. With `mbr`, of so many answers (samples, if `options` ask for sampling) the one most like all is given.
        """
        texts = _checked(texts, options)
        protect = self.decoding.protect if protect is None else protect
        if split not in ("auto", "always", "never"):
            raise UserError(f"split = {split!r}; known: auto, always, never")
        if spans is not None and len(spans) != len(texts):
            raise UserError(f"spans are given for {len(spans)} of {len(texts)} texts")
        demands = Demands(prefix.strip(), [phrase.strip() for phrase in require], [phrase.strip() for phrase in ban])
        demand = demands.wanted(self.tokenizers["target"])
        split = "never" if demand else split
        options = self._options(options, max(best or 0, mbr), demands, demand)
        frame = self.frame(tag)
        options = frame.decoding(options)
        passages = []
        for number, text in enumerate(texts):
            kept = _spans(text, protect, terms, () if spans is None else spans[number], number)
            passages.append(self._sentences(text, kept, protect, split, language))
        everything = [part for passage in passages for part in passage if isinstance(part, Sentence)]
        # Twice apart: that numbers are changed may show only then.
        for way in (Way.whole, Way.strict, Way.apart, Way.apart):
            asked = [sentence for sentence in everything if sentence.wants(way, len(self._placeholders))]
            self._try(asked, way, frame, options, demand)
        shown = best or (1 if mbr else options.best)
        return [self._answer(passage, options, demands, bool(mbr), shown) for passage in passages]

    def _options(self, options: Options | None, best: int, demands: Demands, demand: Wanted | None) -> Options:
        options = options or self.options()
        best = best or options.best
        target = self.tokenizers["target"]
        banned = [ids for phrase in demands.ban for ids in spellings(target, phrase)]
        return dataclasses.replace(
            options,
            beam=options.beam if options.sampling else max(options.beam, best),
            best=best,
            logprobs=True,
            banned_phrases=(*options.banned_phrases, *banned),
            max_extra=options.max_extra + (demand.size if demand else 0),  # a short text has room for it, too
        )

    def search(
        self, sources: list[list[int]], options: Options, wanted: Sequence[Wanted | None] | None = None
    ) -> list[list[Hypothesis]]:
        """The best hypotheses for each list of source ids (tag and end token included)."""
        choices = msgspec.structs.replace(self.choices, threads=torch.get_num_threads())  # the caller's to say
        with hardware.applied(choices):
            return decode(self.models, sources, options, self.choices, wanted)

    def options(self, **given: Any) -> Options:
        """The model's own way of decoding, with what is given put in its place (fields of `decode.Options`)."""
        own, target = self.decoding, self.tokenizers["target"]
        known = {
            "beam": own.beam, "length_penalty": own.length_penalty, "alpha": own.alpha, "max_ratio": own.max_ratio,
            "max_extra": own.max_extra, "start": target.start, "end": target.end, "banned": self._never,
        }  # fmt: skip
        return Options(**{**known, **given})

    def encode(self, text: str, tag: str | None = None) -> list[int]:
        """The source ids that the model reads: tag, task, text, end."""
        return self.frame(tag).around(self.tokenizers["source"].encode(text))

    def frame(self, tag: str | None) -> Frame:
        """What stands around a source, and what its answer begins with; UserError for a wrong tag."""
        return frame_of(self.tokenizers, tag, tags=self.tags, task=self.task, framing=self.framing)

    @property
    def tagged(self) -> bool:
        """Whether a tag has to be chosen."""
        return bool(self.tags) or self.framing.names_languages

    def _sentences(
        self, text: str, spans: Sequence[Span], protect: bool, split: Split, language: str
    ) -> list[Sentence | str]:
        """The sentences of a text and the white space between them."""
        bounds = self.bounds(text, spans, split, language)
        parts: list[Sentence | str] = []
        for number, (start, end) in enumerate(bounds):
            parts += [text[bounds[number - 1][1] : start]] if number else []
            parts.append(Sentence(text[start:end], _within(spans, start, end), protect))
        return parts

    def bounds(
        self, text: str, spans: Sequence[Span] = (), split: Split = "auto", language: str = "en"
    ) -> list[tuple[int, int]]:
        """Where what is translated alone begins and ends: sentences, or the whole text but the white space around."""
        content = text.strip()
        whole = [(start, start + len(content)) for start in [text.find(content[:1])] if content]
        if split == "never":
            return whole
        if "\n" in content and len(lines := _lines(text, spans)) > 1:  # no model has seen a line end
            return [
                (start + first, start + last)
                for start, end in lines
                for first, last in self.bounds(text[start:end], _within(spans, start, end), split, language)
            ]
        bounds = split_sentences(text, spans, language)
        if split == "always" or len(bounds) < 2 or self.seen.several_sentences < FEW:
            return bounds
        usual = min(self.seen.usual_tokens or self.decoding.longest, self.decoding.longest)
        return bounds if len(self.tokenizers["source"].encode(content)) > usual else whole

    def _try(self, sentences: list[Sentence], way: Way, frame: Frame, options: Options, demand: Wanted | None) -> None:
        """One way for all these sentences; those that are alike in what may be said are decoded together."""
        together: dict[tuple[bool, bool], list[Sentence]] = {}
        for sentence in sentences:
            key = (bool(sentence.spans) or way is not Way.whole, sentence.changed_numbers)
            together.setdefault(key, []).append(sentence)
        source, target = (self.tokenizers[side] for side in ("source", "target"))
        for (guarded, without_digits), alike in together.items():
            own = dataclasses.replace(
                options,
                restricted=(*options.restricted, *(target.placeholders if guarded else ())),
                banned=(*options.banned, *(self._digits if without_digits and demand is None else ())),
            )
            longest = as_one(self.models, own, self.choices).longest
            languages = Languages(source, target, self._placeholders, frame, self.decoding.longest, longest)
            exchanges = [Exchange(sentence, way, languages) for sentence in alike]
            if demand is not None:
                for exchange in exchanges:
                    exchange.demand(demand)
            asked = [one for exchange in exchanges for one in exchange.asked]
            wanted = [one for _, one in asked] if guarded or demand else None
            found = iter(self.search([ids for ids, _ in asked], own, wanted))
            for exchange in exchanges:
                exchange.finish([next(found) for _ in exchange.asked], own)

    @cached_property
    def _placeholders(self) -> dict[int, int]:
        """The target's placeholders by the source's."""
        return dict(zip(*(self.tokenizers[side].placeholders for side in ("source", "target")), strict=False))

    @cached_property
    def _never(self) -> tuple[int, ...]:
        """What a model of another library never says: what stands for nothing in a text, or is no entry at all."""
        target = self.tokenizers["target"]
        if not isinstance(target, Foreign):
            return ()
        shown = enumerate(target.pieces(range(target.vocab_size)))
        unnamed = {number for number, piece in shown if piece == f"<{number}>" and piece not in target.ids}
        return tuple(sorted({target.pad, target.unknown, *unnamed} - {target.end}))

    @cached_property
    def _digits(self) -> tuple[int, ...]:
        """The target tokens that say a digit."""
        entries = self.tokenizers["target"].ids.items()
        spelt = {BYTES[byte] for byte in b"0123456789"}
        says = lambda piece: piece in spelt or (piece not in BYTES and any(map(str.isdecimal, piece)))
        return tuple(token for piece, token in entries if not piece.startswith(" ") and says(piece))

    def _answer(
        self, passage: Sequence[Sentence | str], options: Options, demands: Demands, mbr: bool, best: int
    ) -> Answer:
        parts = [[Draft(part)] if isinstance(part, str) else part.drafts or [] for part in passage]
        drafts = [demands.judged(draft) for draft in (best_joined(parts, options) if parts else [Draft("")])]
        drafts = least_risky(drafts, drawn=options.sampling is not None) if mbr else drafts
        first, *others = distinct(drafts)[:best]
        return Answer(
            first.text,
            first.score(options),
            first.logprob,
            [Alternative(draft.text, draft.score(options), draft.logprob, draft.problems) for draft in others],
            first.problems,
            [Piece(source, hypothesis, self.tokenizers["target"]) for source, hypothesis in first.said],
        )


def _within(spans: Sequence[Span], start: int, end: int) -> list[Span]:
    """The spans that begin in a part of a text, as spans of that part."""
    first, last = (bisect_left(spans, place, key=lambda span: span.start) for place in (start, end))
    inside = spans[first:last]
    return [span._replace(start=span.start - start, end=span.end - start) for span in inside]


def _lines(text: str, spans: Sequence[Span]) -> list[tuple[int, int]]:
    """Where the lines of a text begin and end; a span may go on over a line end."""
    ends = []
    for place in (match.start() for match in re.finditer("\n", text)):
        before = bisect_right(spans, place, key=lambda span: span.start) - 1
        if before < 0 or spans[before].end <= place:
            ends.append(place)
    return list(zip([0, *(place + 1 for place in ends)], [*ends, len(text)], strict=True))


def _checked(texts: Iterable[str], options: Options | None) -> list[str]:
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        raise UserError("translate takes a list of texts: translate([text])")
    texts = list(texts)
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise UserError(f"translate: text {number} is {text!r}, of type {type(text).__name__}, not a text")
    if not isinstance(options, Options | None):
        raise UserError("translate: options come from model.options(...), for example model.options(beam=1)")
    return [without_surrogates(text) for text in texts]


def _spans(text: str, protect: bool, terms: Terms | None, given: Sequence[tuple[int, int]], number: int) -> list[Span]:
    """What stays of a text: what the caller gave, then what is found, then terms."""
    own, place = [], 0
    for start, end in given:
        if not place <= start <= end <= len(text):
            raise UserError(f"text {number}: the span {start} to {end} is not in it, or not behind the one before")
        place = end
        if content := text[start:end].strip():  # white space around it is kept as all around spans is
            start = text.index(content[0], start)
            own.append(Span(start, start + len(content), "given", content))
    spans = tidy(find_spans(text), own) if protect else own
    return tidy(terms.find(text), spans) if terms else spans


def load(path: str | Path) -> Translator:
    """The translator in a model folder, or the finished model in a run's folder."""
    folder = find(path)
    model, extra = load_model(folder)
    if extra.get("task") != "translate":
        raise UserError(f"{folder}: a model for the task {extra.get('task')!r}, not for translation")
    try:
        decoding = msgspec.convert(extra.get("decoding", {}), Decoding)
        tags = msgspec.convert(extra.get("tags", ()), tuple[str, ...])
        fingerprints = msgspec.convert(extra.get("tokenizers", {}), dict[str, str])
        seen = msgspec.convert(extra.get("seen", {}), Seen)
        prefix = msgspec.convert(extra.get("prefix", ""), str)
        framing = msgspec.convert(extra.get("framing", {}), Framing)
        check_decoding(decoding, str(folder / "config.json"))
    except msgspec.ValidationError as error:
        raise UserError(f"{folder / 'config.json'}: {error}") from None
    require_tokenizer(folder, extra)
    tokenizers = load_tokenizers(folder, fingerprints)
    return Translator(model, tokenizers, tags, decoding, hardware.probe(), seen, task=prefix, framing=framing)
