"""The translation task as the training loop sees it: batches of two packed streams, their labels, validation."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import nn

from ...config import Recipe
from ...data.batches import Batches
from ...data.corpora import Corpora, Part
from ...data.mixing import Mixture, times
from ...data.parallel import SIDES, load_tokenizers, save_tokenizers
from ...data.placing import Alternating
from ...data.shards import Shards
from ...data.splits import Corpus, splits
from ...model.embeddings import TokenInput
from ...model.guided import Teacher
from ...model.heads import Head, Labels
from ...model.layout import Layout
from ...model.model import Model
from ...text.sentences import split_sentences
from ...text.tokenizer import Tokenizer
from ...train.validation import Validation
from ..beginning import came
from ..learning import Batch, twice
from .framing import Framing, frame_of
from .given import framing_of_start, load_teacher, plan_of_start, start_with
from .sizes import build_plan
from .validation import Heldout, Ids, spread

VALIDATION_TOKENS = 4096


def batch_of(
    tokenizers: Mapping[str, Tokenizer], source: tuple[Ids, Ids], target: tuple[Ids, Ids], device: torch.device
) -> Batch:
    """The batch of some pairs; either side is the ids of all rows end to end, and the rows' lengths."""
    reader, writer = (tokenizers[side] for side in SIDES)
    (source_ids, source_lengths), (target_ids, target_lengths) = source, target
    source_ends, target_ends = np.cumsum(source_lengths), np.cumsum(target_lengths)
    layouts = [Layout.packed(lengths + 1, device) for lengths in (source_lengths, target_lengths)]
    move = lambda ids: torch.from_numpy(ids).to(device)
    return Batch(
        tokens=layouts[1].tokens,
        inputs={
            "source": TokenInput(move(np.insert(source_ids, source_ends, reader.end)), layouts[0]),
            "target": TokenInput(move(np.insert(target_ids, target_ends - target_lengths, writer.start)), layouts[1]),
        },
        labels={"next_token": Labels(move(np.insert(target_ids, target_ends, writer.end)))},
    )


class Translation:
    """The task as the training loop sees it."""

    def __init__(self, recipe: Recipe, folder: Path, device: torch.device) -> None:
        self.recipe = recipe
        self.tokenizers = load_tokenizers(folder)
        self.came = came(recipe, folder)
        self.framing = framing_of_start(folder) if recipe.training.start is not None else Framing()
        found = splits(recipe.data)
        self.corpus, self.dev = self._corpora(folder, found.train), self._corpora(folder, found.dev)
        sizes, tags = [len(part.shards) for part in self.corpus.parts], [corpus.tag for corpus in found.train]
        weights = times(recipe.data, sizes, tags)
        drawn = Mixture(sizes, weights, recipe.seed).epoch if weights else None
        self.batches = Batches(self.corpus, recipe.training.batch_tokens, recipe.seed, drawn=drawn)
        dev = list(zip(found.dev, self.dev.parts, strict=True))
        self.languages = {
            tag: Corpora([part for corpus, part in dev if corpus.tag == tag])
            for tag in dict.fromkeys(corpus.tag for corpus in found.dev)
        }
        self.device = device
        training = recipe.training
        start = plan_of_start(folder) if training.start is not None else None
        self.model = Model(build_plan(recipe, self.tokenizers, start), recipe.seed).to(device)
        if start is not None:
            start_with(self.model, folder)
        self.teacher = load_teacher(folder, device) if training.teacher is not None else None
        self.heldout = Heldout(self.dev, self.tokenizers, recipe.decoding, training.validation_sentences)
        self.width = self.model.plan.stream("target").width

    def _corpora(self, folder: Path, corpora: list[Corpus]) -> Corpora:
        data, parts = self.recipe.data, []
        for number, one in enumerate(corpora):
            frame = frame_of(self.tokenizers, one.tag, tags=data.tags, task=data.prefix, framing=self.framing)
            around = {"source": tuple(frame.before), "target": frame.said}
            parts.append(Part(self._open(folder / one.name, number), around))
        return Corpora(parts)

    def _open(self, folder: Path, number: int) -> Shards | Alternating:
        shards, share = Shards.open(folder), self.recipe.data.placeholders
        return Alternating(shards, share, self.recipe.seed + number) if len(shards.streams) > len(SIDES) else shards

    def micro_batches(self, epoch: int) -> Sequence[Any]:
        return self.batches.epoch(epoch)

    def collate(self, micro_batch: Any, epoch: int) -> Batch:
        """The batch; with R-drop its rows twice, with a teacher what it says about them."""
        batch, training = self._batch(self.corpus, micro_batch, epoch), self.recipe.training
        labels = batch.labels["next_token"]
        if self.teacher is not None:
            labels.teacher = self._taught(self.teacher, batch.inputs)
        if training.r_drop:
            labels.r_drop = training.r_drop
            batch.inputs = {stream: twice(given) for stream, given in batch.inputs.items()}
        return batch

    def _taught(self, teacher: Model, inputs: dict[str, TokenInput]) -> Teacher:
        teacher.to(next(self.model.parameters()).dtype)  # as fast as the student where that computes in bf16
        head = teacher.heads["next_token"]
        assert isinstance(head, Head)
        with torch.no_grad():
            states = head.before_output(teacher.encode(inputs)[0]["target"])
        training = self.recipe.training
        return Teacher(states, head.output.weight, head.output.bias, training.distillation, training.temperature)

    def _batch(self, corpus: Corpora, examples: Any, epoch: int | None) -> Batch:
        source, target = (corpus.rows(side, examples, epoch) for side in SIDES)
        return batch_of(self.tokenizers, source, target, self.device)

    def validate(self, model: nn.Module) -> Validation:
        """Mean negative log-likelihood of the dev tokens in nats, the share of them ranked first; translations.

        With several languages also the first for each, as "loss.de".
        """
        assert isinstance(model, Model)
        sums = {tag: self._sums(model, corpus) for tag, corpus in self.languages.items()}
        nll, correct, count = map(sum, zip(*sums.values(), strict=True))
        scores = {"loss": nll / count, "accuracy": correct / count}
        if len(sums) > 1:
            scores |= {f"loss.{tag}": nll / count for tag, (nll, _, count) in sums.items()}
        if self.recipe.training.metric == "loss":
            return Validation(scores, self.heldout.samples(model))
        translated, samples = self.heldout.scores(model)
        return Validation(scores | translated, samples)

    def _seen(self) -> dict[str, float]:
        """What a translator is to know of its training texts (`translator.Seen`), the second from a sample of them."""
        sample = spread(len(self.corpus), 1000)
        ids, lengths = self.corpus.rows("source", sample, None)
        texts = [self.tokenizers["source"].decode(row) for row in np.split(ids, np.cumsum(lengths)[:-1])]
        return {
            "usual_tokens": int(np.percentile(self.corpus.lengths("source"), 99)),
            "several_sentences": sum(len(split_sentences(text)) > 1 for text in texts) / len(texts),
        }

    def _sums(self, model: Model, corpus: Corpora) -> tuple[float, int, int]:
        nll, correct, count = 0.0, 0, 0
        for examples in Batches(corpus, VALIDATION_TOKENS, self.recipe.seed).in_order():
            batch = self._batch(corpus, examples, None)
            sums = model(batch.inputs, batch.labels)["next_token"]
            nll, correct, count = nll + float(sums.nll), correct + int(sums.correct), count + sums.count
        return nll, correct, count

    def finish(self, run: Path, model: nn.Module) -> None:
        """RUN/model, whole or not at all: weights, tokenizers, config.json with what decoding needs to know."""
        assert isinstance(model, Model)
        extra = {
            "task": "translate",
            "tags": () if self.framing.names_languages else tuple(dict.fromkeys(self.recipe.data.tags)),
            **({"framing": msgspec.to_builtins(self.framing)} if self.framing != Framing() else {}),
            **self.came,
            "prefix": self.recipe.data.prefix,
            "decoding": msgspec.to_builtins(self.recipe.decoding),
            "seen": self._seen(),
            "tokenizers": {side: tokenizer.fingerprint for side, tokenizer in self.tokenizers.items()},
        }
        save_translator(run / "model", model, extra, self.tokenizers)


def save_translator(folder: Path, model: Model, extra: Mapping[str, Any], tokenizers: dict[str, Tokenizer]) -> None:
    """A model's folder, in the place of what was there, whole or not at all."""
    partial = folder.with_name(f".tmp-{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    model.save(partial, extra)
    save_tokenizers(partial, tokenizers)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
