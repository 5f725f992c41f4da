"""Validation by translating: greedy translations of held-out sentences, scored, and a few of them to look at."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile

import numpy as np
import numpy.typing as npt

from ...config import Decoding
from ...data.corpora import Corpora
from ...decode.engine import decode
from ...decode.options import Options
from ...decode.wanted import Wanted
from ...model.model import Model
from ...text.placeholders import legible
from ...text.tokenizer import Tokenizer
from ...train.validation import Sample

Ids = npt.NDArray[np.int64]

SHOWN = 5  # sentences, the same at every validation
AT_A_TIME = 128  # sentences decoded together: a third less time than with 32


class Heldout:
    """Sentences of the dev set, spread evenly over it, with their references as the tokenizer gives them back.

    References are thus normalised as outputs are (lower-cased if the tokenizer does so, with placeholders for what is
    protected): the scores compare validations of one run, and are not those of `heedful evaluate`.
    """

    def __init__(self, dev: Corpora, tokenizers: Mapping[str, Tokenizer], decoding: Decoding, sentences: int) -> None:
        chosen = spread(len(dev), sentences)
        self.target = tokenizers["target"]
        sources, targets = (_rows(*dev.rows(side, chosen)) for side in ("source", "target"))
        self.inputs = [[*ids, tokenizers["source"].end] for ids in sources]
        self.sources = [legible(tokenizers["source"], ids) for ids in sources]
        # What every answer begins with, the language that it is in, is not for the model to find out.
        said = [tuple(takewhile(lambda token: not self.target.is_text(token), ids)) for ids in targets]
        self.wanted = [Wanted(prefix=ids) for ids in said] if any(said) else None
        self.references = [legible(self.target, ids[len(own) :]) for ids, own in zip(targets, said, strict=True)]
        # A model that has learnt nothing yet never stops by itself: no answer is much longer than any reference.
        longest = 2 * max(map(len, targets)) + 10
        self.options = Options(
            max_ratio=decoding.max_ratio, max_extra=decoding.max_extra, max_length=longest, batch=AT_A_TIME,
            start=self.target.start, end=self.target.end,
        )  # fmt: skip
        self.shown = spread(len(chosen), SHOWN).tolist()

    def scores(self, model: Model) -> tuple[dict[str, float], tuple[Sample, ...]]:
        """chrF2 and BLEU (sacreBLEU's own defaults) of all the sentences, and the samples."""
        from sacrebleu.metrics import BLEU, CHRF

        outputs = self._translate(model, range(len(self.inputs)))
        metrics = {"chrf": CHRF(), "bleu": BLEU(force=True)}  # force: outputs may look tokenised, without a warning
        scores = {name: float(by.corpus_score(outputs, [self.references]).score) for name, by in metrics.items()}
        return scores, self._samples([outputs[number] for number in self.shown])

    def samples(self, model: Model) -> tuple[Sample, ...]:
        """The samples alone."""
        return self._samples(self._translate(model, self.shown))

    def _translate(self, model: Model, numbers: range | list[int]) -> list[str]:
        wanted = None if self.wanted is None else [self.wanted[number] for number in numbers]
        found = decode(model, [self.inputs[number] for number in numbers], self.options, wanted=wanted)
        return [
            legible(self.target, [*filter(self.target.is_text, best.ids)] if wanted else best.ids) for best, *_ in found
        ]

    def _samples(self, outputs: list[str]) -> tuple[Sample, ...]:
        shown = zip(self.shown, outputs, strict=True)
        return tuple(Sample(self.sources[number], self.references[number], output) for number, output in shown)


def _rows(ids: Ids, lengths: Ids) -> list[list[int]]:
    return [row.tolist() for row in np.split(ids, np.cumsum(lengths)[:-1])]


def spread(total: int, most: int) -> Ids:
    """Numbers of at most `most` of `total` things, evenly spread over them, in order."""
    return np.arange(total) if total <= most else np.linspace(0, total - 1, most).round().astype(np.int64)
