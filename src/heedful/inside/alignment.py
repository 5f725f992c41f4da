"""Which source words a translation was read from: cross-attention, one probed pass over a finished translation.

The weights with which a translation was written are those of a forward pass over it (house rule: cached == full), so
nothing has to be recorded while decoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..model.embeddings import TokenInput
from ..model.layout import Layout
from ..model.model import Model
from ..text.tokenizer import Tokenizer


class Weights:
    """A probe that keeps the attention weights of blocks of `stream` to `other`, by address."""

    def __init__(self, stream: str, other: str) -> None:
        self.ending = f".{other}.weights"
        self.stream = stream
        self.seen: dict[str, Tensor] = {}

    def wants(self, address: str) -> bool:
        return address.startswith(f"{self.stream}.") and address.endswith(self.ending)

    def see(self, address: str, value: Tensor, rows: Tensor | None = None) -> Tensor:
        self.seen[address] = value.detach().float()
        return value


def cross_attention(model: Model, source: Sequence[int], target: Sequence[int]) -> dict[str, Tensor]:
    """Weights [heads, target tokens, source tokens] by address, while `target` (start token first) is written.

    Query i is the step at which token i is read and token i + 1 is written.
    """
    probe = Weights("target", "source")
    device = next(model.parameters()).device
    inputs = {
        name: TokenInput(torch.tensor(ids, device=device), Layout.packed(np.array([len(ids)]), device))
        for name, ids in (("source", source), ("target", target))
    }
    training = model.training
    model.eval()
    with torch.no_grad():
        model.encode(inputs, probe=probe)
    model.train(training)
    return {address: weights[0] for address, weights in probe.seen.items()}


@dataclass(frozen=True)
class Words:
    """The words that tokens make, as spaces separate them: their texts, which word [tokens] each token is in, and the
    first token of each. A control token or a placeholder is a word of its own, called as it is written."""

    texts: list[str]
    index: np.ndarray
    first: list[int]


def words_of(tokenizer: Tokenizer, ids: Sequence[int]) -> Words:
    """The words of some tokens."""
    words: list[list[int]] = []
    index = []
    alone = True
    for token in ids:
        if alone or tokenizer.begins_word(token):
            words.append([])
        alone = not tokenizer.is_text(token)
        words[-1].append(token)
        index.append(len(words) - 1)
    called = lambda word: tokenizer.decode(word) if tokenizer.is_text(word[0]) else tokenizer.pieces(word)[0]
    return Words([called(word) for word in words], np.array(index, dtype=np.int64), [word[0] for word in words])


def align(weights: Tensor, target: Words, source: Words) -> np.ndarray:
    """Token weights [target tokens, source tokens] by words [target words, source words], each row summing to 1: summed
    over the tokens attended to, averaged over those that attend. `target` are the words written."""
    given = weights.cpu().double().numpy()
    merged = np.zeros((len(target.texts), len(source.texts)))
    np.add.at(merged, (target.index[:, None], source.index[None, :]), given)
    return merged / np.bincount(target.index)[:, None]
