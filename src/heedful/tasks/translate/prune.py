"""A translator without the attention heads that matter least to given pairs, and what that changed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...data.readers import Pair, read_parallel, resolve
from ...decode.scoring import score
from ...errors import UserError
from ...inside.importance import Batch
from ...measure.translation import Scorer
from ...model.files import read_config
from ...model.model import Model
from ...model.pruning import attentions
from ..finding import find
from ..pruning import JUDGES, By, cut, pruned_since, require_share, told_heads
from .partial import require_new
from .shown import one_line
from .task import batch_of, save_translator
from .translator import Translator, load
from .validation import Ids, spread

BATCH = 64  # pairs
TRANSLATED = 500  # pairs at most, spread over the text: for what the change is in BLEU, chrF2 and speed


@dataclass(frozen=True)
class Measured:
    """Of a model on the pairs: mean negative log-likelihood of a target token in nats, scores of greedy translations
    (sacreBLEU's defaults), and sentences translated a second."""

    heads: int
    parameters: int
    loss: float
    scores: Mapping[str, float]
    speed: float


class _Pair(NamedTuple):
    """A pair, and its ids as the model reads them: source with tag and end, target alone."""

    text: Pair
    source: list[int]
    target: list[int]


def prune(
    model: Path,
    source: Path,
    target: Path,
    share: float,
    out: Path,
    tag: str | None = None,
    root: Path | None = None,
    by: By = "gradient",
    rounds: int = 1,
) -> Iterator[str]:
    """Write the model without `share` of its heads to the folder `out`; yields lines that say what that changed.

    Heads are judged by what `source` and `target` (sentences, line by line) lose without them (see `inside.importance`,
    and there `ablation`). The new folder is a model like any other; training goes on from it with `training.start`.
    UserError where a file cannot be used, or nothing can go.
    """
    require_share(share)
    require_new(out)
    files = resolve(source, root), resolve(target, root)
    texts = [pair for pair in read_parallel(*files) if pair.source and pair.target]
    folder, translator = find(model), load(model)
    encode, longest = translator.tokenizers["target"].encode, translator.decoding.longest
    asked = [(text, translator.encode(text.source, tag), encode(text.target)) for text in texts]
    pairs = [_Pair(*one) for one in asked if max(map(len, one[1:])) <= longest]
    if not pairs:
        raise UserError(f"{source}: no pair of at most {longest} tokens a side to judge the heads by")
    before = _measured(translator, pairs, tag)
    whole, given = translator.model, list(_batches(translator, pairs))
    smaller, keep = cut(whole, lambda one: JUDGES[by](one, given), share, model, rounds)
    translator.model = translator.models = smaller
    _save(translator, folder, keep, out)
    yield from told_heads(whole, keep)
    yield from _told(before, _measured(translator, pairs, tag))
    yield f"written to {out}; to train it further: heedful train translate --from {out} ..."


def _batches(translator: Translator, pairs: Sequence[_Pair]) -> Iterator[Batch]:
    """Pairs of near lengths together."""
    rows = sorted(pairs, key=lambda pair: (len(pair.source), len(pair.target)))
    device = next(translator.model.parameters()).device
    for first in range(0, len(rows), BATCH):
        some = rows[first : first + BATCH]
        source, target = _flat([pair.source[:-1] for pair in some]), _flat([pair.target for pair in some])
        batch = batch_of(translator.tokenizers, source, target, device)
        yield batch.inputs, batch.labels


def _flat(rows: Sequence[Sequence[int]]) -> tuple[Ids, Ids]:
    return np.array([token for row in rows for token in row], np.int64), np.array([len(row) for row in rows], np.int64)


def _measured(translator: Translator, pairs: Sequence[_Pair], tag: str | None) -> Measured:
    scores = score(translator.model, [(pair.source, pair.target) for pair in pairs], translator.options())
    some = [pairs[number].text for number in spread(len(pairs), TRANSLATED)]
    began = time.monotonic()
    answers = translator.translate([pair.source for pair in some], tag, translator.options(beam=1))
    seconds = time.monotonic() - began
    values = Scorer([[pair.target for pair in some]])([one_line(answer) for answer in answers]).values
    return Measured(
        sum(attend.heads for _, attend in attentions(translator.model.plan)),
        sum(parameter.numel() for parameter in translator.model.parameters()),
        -sum(one.total for one in scores) / sum(len(one.logprobs) for one in scores),
        {name: values[name] for name in ("BLEU", "chrF2")},
        len(some) / seconds,
    )


def _told(before: Measured, after: Measured) -> Iterator[str]:
    yield f"heads {before.heads} -> {after.heads}, parameters {before.parameters:,} -> {after.parameters:,}"
    yield f"loss {before.loss:.3f} -> {after.loss:.3f}"
    for name, value in before.scores.items():
        yield f"{name} {value:.2f} -> {after.scores[name]:.2f} (greedy)"
    yield f"sentences a second {before.speed:.1f} -> {after.speed:.1f} (greedy)"


def _save(translator: Translator, folder: Path, keep: Mapping[str, Sequence[int]], out: Path) -> None:
    """The new model: all that the old one's config.json says of the task, and which heads stay."""
    extra = {name: value for name, value in read_config(folder)[1].items() if name != "weights"}
    pruned = pruned_since(extra, keep)
    assert isinstance(translator.model, Model)
    try:
        save_translator(out, translator.model, extra | {"pruned": pruned}, translator.tokenizers)
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror}") from None
