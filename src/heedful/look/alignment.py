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

SPACE = "▁"  # how tokenizers write the space that begins a word


@dataclass(frozen=True)
class Alignment:
    """`weights` [target words, source words], each row summing to 1; and what the words are called."""

    weights: np.ndarray
    target: list[str]
    source: list[str]


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


def words_of(pieces: Sequence[str], whole: Sequence[str] = ()) -> tuple[list[str], np.ndarray]:
    """Words as spaces separate them, and which word [pieces] each piece is in. Pieces in `whole` stand alone."""
    words: list[str] = []
    index = []
    alone = True
    for piece in pieces:
        if alone or piece in whole or piece.startswith(SPACE):
            words.append("")
        alone = piece in whole
        words[-1] += piece.replace(SPACE, "")
        index.append(len(words) - 1)
    return words, np.array(index, dtype=np.int64)


def align(
    weights: Tensor, target_pieces: Sequence[str], source_pieces: Sequence[str], whole: Sequence[str] = ()
) -> Alignment:
    """Token weights [target tokens, source tokens] by words: summed over the pieces attended to, averaged over those
    that attend. `target_pieces` are the pieces written."""
    target, rows = words_of(target_pieces, whole)
    source, columns = words_of(source_pieces, whole)
    given = weights.cpu().double().numpy()
    merged = np.zeros((len(target), len(source)))
    np.add.at(merged, (rows[:, None], columns[None, :]), given)
    return Alignment(merged / np.bincount(rows)[:, None], target, source)
