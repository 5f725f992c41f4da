"""A finished translator: a model with its tokenizers, and its way of decoding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch

from ...config import Decoding, check_decoding
from ...data.parallel import load_tokenizers
from ...decode.engine import decode
from ...decode.options import Hypothesis, Options
from ...errors import UserError
from ...model import hardware
from ...model.model import Model
from ...model.model import load as load_model
from ...text.tokenizer import Tokenizer


class Translator:
    """A finished model with its tokenizers. `tags` are the target languages to choose from (none: there is one).

    `choices` are the fast paths of this machine, as `load` probes for them. `usual` is the length in tokens that 99 of
    100 texts it was trained on do not exceed (None: not known).
    """

    def __init__(
        self,
        model: Model,
        tokenizers: Mapping[str, Tokenizer],
        tags: Sequence[str],
        decoding: Decoding,
        choices: hardware.Choices | None = None,
        usual: int | None = None,
    ) -> None:
        self.model, self.tokenizers, self.tags, self.decoding = model, dict(tokenizers), tuple(tags), decoding
        self.choices = choices or hardware.Choices()
        self.usual = min(usual or decoding.longest, decoding.longest)
        self.placeholders = min(len(tokenizer.placeholders) for tokenizer in self.tokenizers.values())

    def translate(
        self,
        texts: Iterable[str],
        tag: str | None = None,
        options: Options | None = None,
        *,
        protect: bool = True,
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
        protect: bool = True,
        terms: Terms | None = None,
        spans: Sequence[Sequence[tuple[int, int]]] | None = None,
        best: int = 1,
        split: Split = "auto",
        language: str = "en",
    ) -> list[Answer]:
        """The translation of each text, in order, with scores and what is wrong with it. `tag` is the target language.

        `protect` keeps tags, variables, addresses and numbers (`protecting`); the spans [start, end) of each text and
        `terms` are kept in any case. `best` asks for alternatives. Texts that are longer than nearly all the model was
        trained on ("auto"; or all, "always") are split into sentences, by the rules of `language`, and those that are
        longer than `decoding.longest` tokens into pieces; white space between sentences stays as it is.
        """
        texts = _checked(texts, options)
        if split not in ("auto", "always", "never"):
            raise UserError(f"split = {split!r}; known: auto, always, never")
        if spans is not None and len(spans) != len(texts):
            raise UserError(f"spans are given for {len(spans)} of {len(texts)} texts")
        options = dataclasses.replace(options or self.options(), best=best, logprobs=True)
        before = self._before(tag)
        passages = []
        for number, text in enumerate(texts):
            kept = _spans(text, protect, terms, () if spans is None else spans[number], number)
            passages.append(self._sentences(text, kept, protect, split, language))
        everything = [part for passage in passages for part in passage if isinstance(part, Sentence)]
        # Twice apart: a model without placeholders finds numbers changed only after it has been tried.
        for way in (Way.whole, Way.strict, Way.apart, Way.apart):
            asked = [sentence for sentence in everything if sentence.wants(way, self.placeholders)]
            self._try(asked, way, before, options)
        return [self._answer(passage, options) for passage in passages]

    def search(
        self, sources: list[list[int]], options: Options, wanted: Sequence[Wanted | None] | None = None
    ) -> list[list[Hypothesis]]:
        """The best hypotheses for each list of source ids (tag and end token included)."""
        choices = msgspec.structs.replace(self.choices, threads=torch.get_num_threads())  # the caller's to say
        with hardware.applied(choices):
            return decode(self.model, sources, options, self.choices, wanted)

    def options(self, **given: Any) -> Options:
        """The model's own way of decoding, with what is given put in its place (fields of `decode.Options`)."""
        own = self.decoding
        known = {
            "beam": own.beam, "length_penalty": own.length_penalty, "alpha": own.alpha, "max_ratio": own.max_ratio,
            "max_extra": own.max_extra,
        }  # fmt: skip
        return Options(**{**known, **given})

    def encode(self, text: str, tag: str | None = None) -> list[int]:
        """The source ids that the model reads: tag, text, end."""
        return [*self._before(tag), *self.tokenizers["source"].encode(text), Tokenizer.end]

    def _before(self, tag: str | None) -> list[int]:
        if tag is None and self.tags:
            raise UserError(f"this model has several target languages; choose one as tag: {', '.join(self.tags)}")
        if tag is not None and not self.tags:
            raise UserError(f"this model has one target language and takes no tag; leave {tag!r} out")
        return [] if tag is None else [self.tokenizers["source"].tag(tag)]

    def _sentences(
        self, text: str, spans: Sequence[Span], protect: bool, split: Split, language: str
    ) -> list[Sentence | str]:
        """The sentences of a text and the white space between them."""
        content = text.strip()
        if not content:
            return []
        start = text.index(content[0])
        bounds = [(start, start + len(content))]
        # A token is seldom less than a character, so a short text need not be counted.
        too_long = len(content) > self.usual and len(self.tokenizers["source"].encode(content)) > self.usual
        if split == "always" or (split == "auto" and too_long):
            bounds = split_sentences(text, spans, language)
        parts: list[Sentence | str] = []
        for number, (start, end) in enumerate(bounds):
            parts += [text[bounds[number - 1][1] : start]] if number else []
            own = [s._replace(start=s.start - start, end=s.end - start) for s in spans if start <= s.start < end]
            parts.append(Sentence(text[start:end], own, protect))
        return parts

    def _try(self, sentences: list[Sentence], way: Way, before: list[int], options: Options) -> None:
        """One way for all these sentences; those that are alike in what may be said are decoded together."""
        together: dict[tuple[bool, bool], list[Sentence]] = {}
        for sentence in sentences:
            key = (bool(sentence.spans) or way is not Way.whole, sentence.changed_numbers)
            together.setdefault(key, []).append(sentence)
        for (guarded, without_digits), alike in together.items():
            restricted = self.tokenizers["target"].placeholders if guarded else ()
            banned = (*options.banned, *(self._digits if without_digits else ()))
            own = dataclasses.replace(options, restricted=restricted, banned=banned)
            asked = [Asked(sentence, way, self, before, own) for sentence in alike]
            sources = [ids for one in asked for ids in one.sources]
            found = iter(
                self.search(
                    sources, own, [Wanted(once=once) for one in asked for once in one.once] if guarded else None
                )
            )
            for one in asked:
                one.finish([next(found) for _ in one.sources])


def find(path: str | Path) -> Path:
    """The folder of a model: itself, or that of the finished model in a run's folder."""
    folder = Path(path)
    if not folder.is_dir():
        raise UserError(f"{path}: no such folder; a translator is the folder of a run or of a model")
    if not (folder / "config.json").exists() and (folder / "run.json").exists():
        folder = folder / "model"
        if not folder.exists():
            raise UserError(
                f"{path}: the run is not finished, so it holds no model; continue it: heedful resume {path}"
            )
    return folder


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
        check_decoding(decoding, str(folder / "config.json"))
    except msgspec.ValidationError as error:
        raise UserError(f"{folder / 'config.json'}: {error}") from None
    return Translator(model, load_tokenizers(folder, fingerprints), tags, decoding, hardware.probe())
