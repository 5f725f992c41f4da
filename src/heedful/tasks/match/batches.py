"""What matching is trained on: pairs that belong together, pairs that do not, and pairs with something hidden."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...config import Recipe
from ...data.batches import Batches
from ...data.captioned import Ids, Part, Sharing, covered, with_task
from ...data.gallery import Gallery
from ...data.masking import Masking
from ...model.embeddings import PatchInput, RegionInput, TokenInput
from ...model.heads import Labels
from ...model.layout import Layout
from ...text.draws import below, draws
from ...text.tokenizer import Tokenizer
from ..learning import Batch

PLAIN = 10_000  # an epoch that training does not reach: its draws are those of validation


class Pairs:
    """The micro-batches of some pairs. The rows of one are, for n examples: the n pairs themselves, `negatives` times
    n pairs that do not belong together, and the n pairs with tokens and regions hidden; parts without weight are left
    out. Nothing hidden is scored on pairs that do not belong together (ViLBERT's objective 1). `task` is the number
    that stands second in every caption, if one does.
    """

    def __init__(
        self, recipe: Recipe, part: Part, gallery: Gallery, tokenizer: Tokenizer, device: torch.device,
        task: int | None = None,
    ) -> None:  # fmt: skip
        self.recipe, self.part, self.gallery, self.tokenizer, self.device = recipe, part, gallery, tokenizer, device
        self.task = task
        self.batches = Batches(part, recipe.training.batch_tokens, recipe.seed)
        weights = recipe.matching
        self.sharing = Sharing(part) if weights.alignment and weights.hard else None
        hidden, self.masking = recipe.masking, None
        if weights.text * hidden.share > 0:
            self.masking = Masking(tokenizer, hidden.share, hidden.whole_words, recipe.seed)
        self.masks = self.masking is not None or weights.regions * hidden.regions > 0

    def epoch(self, epoch: int) -> Sequence[Any]:
        return self.batches.epoch(epoch)

    def batch(self, examples: Any, epoch: int, learning: bool = True) -> Batch:
        """The batch of some examples; `learning` moves pictures as the recipe says."""
        count, weights = len(examples), self.recipe.matching
        captions, pictures = [examples], [examples]
        if weights.alignment:
            for turn in range(weights.negatives):
                other = self._others(examples, epoch, turn)
                swap = below(draws(self.recipe.seed, epoch, 17, turn, examples), 2) == 1
                captions.append(np.where(swap, other, examples))
                pictures.append(np.where(swap, examples, other))
        plain = sum(map(len, captions))
        if self.masks:
            captions.append(examples)
            pictures.append(examples)
        texts, seen = np.concatenate(captions), np.concatenate(pictures)
        ids, lengths = self.part.captions(texts)
        given = self._pictures(seen, epoch if learning else None)
        labels: dict[str, Labels] = {}
        if weights.contrast:
            groups = self._move(self.part.groups[examples])
            rows = torch.arange(count, device=self.device)
            labels["likeness"] = Labels(groups, torch.cat([rows, rows + len(texts)]), weight=weights.contrast)
        if weights.alignment:
            wrong = self.part.groups[texts[:plain]] != self.part.groups[seen[:plain]]
            rows = torch.arange(plain, device=self.device)
            labels["alignment"] = Labels(
                self._move(wrong.astype(np.int64)), rows, weight=weights.alignment * count / plain
            )
        if self.masks:
            ids = self._hide(ids, lengths, plain, examples, epoch, labels)
            given = self._cover(given, plain, examples, epoch, labels)
        if self.task is not None:
            if (hidden := labels.get("masked_token")) is not None and hidden.rows is not None:
                row = np.repeat(np.arange(len(lengths)), lengths)
                hidden.rows += 1 + self._move(row)[hidden.rows]
            ids, lengths = with_task(ids, lengths, self.task)
        text = TokenInput(self._move(ids), Layout.packed(lengths, self.device))
        return Batch(count, {"text": text, "picture": given}, labels)

    def texts(self, examples: Ids) -> TokenInput:
        """The captions of some examples, with nothing hidden."""
        ids, lengths = self.part.captions(examples)
        if self.task is not None:
            ids, lengths = with_task(ids, lengths, self.task)
        return TokenInput(self._move(ids), Layout.packed(lengths, self.device))

    def _others(self, examples: Ids, epoch: int, turn: int) -> Ids:
        """For each example another one: of its batch, or one that shares a word."""
        seed, count = self.recipe.seed, len(examples)
        step = 1 + below(draws(seed, epoch, 16, turn, examples), max(count - 1, 1))
        other = examples[(np.arange(count) + step) % count]
        if self.sharing is None:
            return other
        near = self.sharing.drawn(examples, seed, epoch, turn)
        bits = below(draws(seed, epoch, 18, turn, examples), 1_000_000)
        hard = (bits < self.recipe.matching.hard * 1_000_000) & (near >= 0)
        hard &= self.part.groups[np.maximum(near, 0)] != self.part.groups[examples]
        return np.where(hard, near, other)

    def _pictures(self, examples: Ids, epoch: int | None) -> PatchInput | RegionInput:
        return self.gallery.input(
            self.part.pictures[examples], self.device, epoch=epoch, examples=examples, seed=self.recipe.seed,
            change=self.recipe.pictures,
        )  # fmt: skip

    def _hide(self, ids: Ids, lengths: Ids, plain: int, examples: Ids, epoch: int, labels: dict[str, Labels]) -> Ids:
        """The ids with some of the last rows' hidden."""
        weight = self.recipe.matching.text
        if self.masking is None:
            return ids
        begin = int(lengths[:plain].sum())
        found = self.masking.hide(ids[begin:], lengths[plain:], examples, epoch)
        share = weight * len(examples) / max(1, len(found.places))
        labels["masked_token"] = Labels(self._move(found.wanted), self._move(begin + found.places), weight=share)
        return np.concatenate([ids[:begin], found.ids])

    def _cover(
        self, given: PatchInput | RegionInput, plain: int, examples: Ids, epoch: int, labels: dict[str, Labels]
    ) -> PatchInput | RegionInput:
        """The pictures with some of the last rows' regions zeroed; the first row is the mean of what is left."""
        weight, share = self.recipe.matching.regions, self.recipe.masking.regions
        if not weight or not share:
            return given
        lengths = given.layout.lengths[plain:]
        begin = int(given.layout.lengths[:plain].sum())
        chosen, gone = covered(lengths, given.boxes[begin:].cpu().numpy(), examples, share, self.recipe.seed, epoch)
        rows = given.pixels if isinstance(given, PatchInput) else given.features
        places = np.flatnonzero(chosen)
        wanted = rows[begin:][self._move(places)]
        if (classes := self.gallery.wanted_classes(self.part.pictures[examples])) is not None:
            wanted = self._move(classes[places])
        rows[begin:] = without(rows[begin:], lengths, self._move(gone))
        per = 1 if classes is not None else wanted.shape[1]
        scale = weight * len(examples) / max(1, len(places)) / per
        labels["masked_region"] = Labels(wanted.float(), self._move(begin + places), weight=scale)
        return given

    def _move(self, array: Any) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


def without(rows: torch.Tensor, lengths: Ids, gone: torch.Tensor) -> torch.Tensor:
    """Pictures' rows [rows, numbers] with those `gone` zeroed; each picture's first is the mean of the others left."""
    starts = torch.from_numpy(np.cumsum(lengths) - lengths).to(rows.device)
    owner = torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths)).to(rows.device)
    left = (~gone).to(rows.dtype)
    left[starts] = 0.0
    counts = rows.new_zeros(len(lengths)).index_add(0, owner, left).clamp(min=1.0)
    sums = rows.new_zeros(len(lengths), rows.shape[1]).index_add(0, owner, rows * left[:, None])
    kept = rows * left[:, None]
    kept[starts] = sums / counts[:, None]
    return kept
