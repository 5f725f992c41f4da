"""Attention followed back through all layers to the tokens that streams begin with ("Quantifying attention flow in
transformers", Abnar and Zuidema 2020, section 3: attention rollout)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .record import Kind, Layer, Line, View, layer_number, mean_of

Doubles = npt.NDArray[np.float64]
Shares = dict[str, Doubles]  # by stream, [tokens of one stream, tokens of that stream]


def rollouts(kinds: Sequence[Kind], lines: Mapping[str, Line]) -> tuple[View, ...]:
    """For each kind a view "rollout": of what a query's state is made of after the last layer, which part each token of
    the attended stream is, scaled so that rows sum to 1 (exact zeros where nothing came from there).

    Every attention makes a state half of itself, for the residual, and half of what the mean of the heads attends to;
    one that sees nothing stays as it is. The paper has one stream; here what a stream takes from another is what the
    other is made of by then. So a translation's tokens go through cross-attention and the encoder's rollout (as the
    contributions of Ferrando et al. 2022 do, which are of vectors, not halves), and two streams that meet again and
    again are followed through each other (as the relevances of Chefer et al. 2021 are, which take gradients and sums,
    not halves). Feed-forward networks change no shares.

    `kinds` are all attentions of the model; a stream without its own is taken to have none, and where some of a
    stream's blocks are missing there are no views. No sign and no size of a value is in it: a rough picture of where
    something may come from.
    """
    made: dict[str, Shares] = {}
    reads: list[_Read] = []
    sizes: dict[str, int] = {}
    for kind in kinds:
        stream, attended = kind.name.split(".")
        sizes |= {stream: len(lines[kind.queries]), attended: len(lines[kind.keys])}
        reads += [_Read(stream, attended, layer) for layer in kind.layers]
    for stream, size in sizes.items():
        blocks = {read.block for read in reads if read.stream == stream}
        if blocks != set(range(len(blocks))):
            return ()
        made[stream] = {other: np.zeros((size, count)) for other, count in sizes.items()}
        made[stream][stream] = np.eye(size)
    for together in _order(list(sizes), reads):
        before = dict(made)
        for read in together:
            made[read.stream] = _after(made[read.stream], before[read.attended], read.layer)
    return tuple(_view(kind, made[kind.name.split(".")[0]]) for kind in kinds)


@dataclass(frozen=True)
class _Read:
    """One attention of a stream; kinds may call streams otherwise than addresses do."""

    stream: str
    attended: str
    layer: Layer

    @property
    def own(self) -> bool:
        return self.stream == self.attended

    @property
    def block(self) -> int:
        return layer_number(self.layer.address) - 1


def _after(own: Shares, other: Shares, layer: Layer) -> Shares:
    """Shares after an attention, from those before it."""
    weights = mean_of([layer]).astype(np.float64) if len(layer.weights) else np.zeros(layer.weights.shape[1:])
    sums = weights.sum(1, keepdims=True)
    weights /= np.where(sums > 0, sums, 1.0)
    kept = np.where(sums > 0, 0.5, 1.0)
    return {stream: kept * own[stream] + 0.5 * weights @ other[stream] for stream in own}


def _order(streams: Sequence[str], reads: Sequence[_Read]) -> Iterator[list[_Read]]:
    """All attentions as the model runs them, those that happen at once together.

    A stream that another reads and that reads none runs first. Two that read each other run each on its own up to
    where they meet next, and there read each other as they were (ViLBERT, LXMERT). Within a block, layers say which
    comes first.
    """
    waiting = {stream: _blocks(stream, reads) for stream in streams}
    done: set[str] = set()
    while len(done) < len(streams):
        for stream in streams:
            while waiting[stream] and (waiting[stream][0].own or waiting[stream][0].attended in done):
                yield [waiting[stream].pop(0)]
            if not waiting[stream]:
                done.add(stream)
        meeting = [waiting[stream] for stream in streams if waiting[stream]]
        if meeting and not any(left[0].attended in done for left in meeting):
            yield [left.pop(0) for left in meeting]


def _blocks(stream: str, reads: Sequence[_Read]) -> list[_Read]:
    """The attentions of a stream in order."""
    mine = [read for read in reads if read.stream == stream]
    return sorted(mine, key=lambda read: (read.block, read.layer.order))


def _view(kind: Kind, shares: Shares) -> View:
    part = shares[kind.name.split(".")[1]]
    sums = part.sum(1, keepdims=True)
    note = (
        "What the last layer's state is made of if every attention mixes half of the state with half of what its heads "
        "attend to on average, layer after layer (attention rollout, Abnar and Zuidema 2020)."
    )
    weights = (part / np.where(sums > 0, sums, 1.0)).astype(np.float32)
    return View(kind.name, "rollout", "rollout", note, weights)
