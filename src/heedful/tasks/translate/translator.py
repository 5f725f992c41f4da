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

    `choices` are the fast paths of this machine, as `load` probes for them.
    """

    def __init__(
        self,
        model: Model,
        tokenizers: Mapping[str, Tokenizer],
        tags: Sequence[str],
        decoding: Decoding,
        choices: hardware.Choices | None = None,
    ) -> None:
        self.model, self.tokenizers, self.tags, self.decoding = model, dict(tokenizers), tuple(tags), decoding
        self.choices = choices or hardware.Choices()

    def translate(self, texts: Iterable[str], tag: str | None = None, options: Options | None = None) -> list[str]:
        """One translation for each text, in order; an empty text stays empty. `tag` is the target language.

        Texts of more tokens than the model was trained on are translated in pieces, joined by a space.
        """
        if isinstance(texts, str) or not isinstance(texts, Iterable):
            raise UserError("translate takes a list of texts: translate([text])")
        texts = list(texts)
        for number, text in enumerate(texts):
            if not isinstance(text, str):
                raise UserError(f"translate: text {number} is {text!r}, of type {type(text).__name__}, not a text")
        if not isinstance(options, Options | None):
            raise UserError("translate: options come from model.options(...), for example model.options(beam=1)")
        pieces = [self._pieces(text, tag) for text in texts]
        found = self.search([piece for parts in pieces for piece in parts], options or self.options())
        answers = iter([self.tokenizers["target"].decode(best.ids) for best, *_ in found])
        return [" ".join(next(answers) for _ in parts) for parts in pieces]

    def search(self, sources: list[list[int]], options: Options) -> list[list[Hypothesis]]:
        """The best hypotheses for each list of source ids (tag and end token included)."""
        choices = msgspec.structs.replace(self.choices, threads=torch.get_num_threads())  # the caller's to say
        with hardware.applied(choices):
            return decode(self.model, sources, options, self.choices)

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
        if tag is None and self.tags:
            raise UserError(f"this model has several target languages; choose one as tag: {', '.join(self.tags)}")
        if tag is not None and not self.tags:
            raise UserError(f"this model has one target language and takes no tag; leave {tag!r} out")
        before = [] if tag is None else [self.tokenizers["source"].tag(tag)]
        return [*before, *self.tokenizers["source"].encode(text), Tokenizer.end]

    def _pieces(self, text: str, tag: str | None) -> list[list[int]]:
        if not text.strip():
            return []
        ids = self.encode(text, tag)
        before, content, most = ids[: int(tag is not None)], ids[int(tag is not None) : -1], self.decoding.longest
        return [[*before, *content[first : first + most], Tokenizer.end] for first in range(0, len(content), most)]


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
