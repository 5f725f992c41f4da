"""The probed pass over what was read and written. What a translator encodes to translate is not encoded again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from ...inside.probing import Capture, Seen, capture
from ...model.model import Model
from ...model.plan import FinalNorm
from ...model.probe import Probe, left_at
from ...model.pruning import attentions
from .reading import Row


class Begun:
    """What the streams that are read before any other had to show while an answer was made.

    Good for one row that was encoded once: an answer that was tried in several ways is passed over as a whole.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.streams: dict[str, str] = {}  # by stream, where its last states are
        for number, where, block in model.plan.blocks():
            if number < model.plan.apart:
                self.streams[block.stream] = left_at(where, block)
        weights = [
            f"{address}.weights" for address, _ in attentions(model.plan) if address.split(".")[0] in self.streams
        ]
        self.seen = Capture(*weights, *self.streams.values())

    @contextmanager
    def watching(self) -> Iterator[None]:
        """What is answered inside is seen, unless somebody else watches already."""
        if self.model.probe is not None:
            yield
            return
        with self.model.watched(self.seen):
            yield

    def of(self, row: Row, patterns: Sequence[str]) -> Seen | None:
        """The streams that are finished, with what was asked of them; None unless all of it was seen, and once."""
        plan, given = self.model.plan, {name: row.inputs[name].layout for name in self.streams}
        mine = [pattern for pattern in patterns if pattern.split(".")[0] in self.streams]
        needed = [*mine, *self.streams.values()]
        if any(len(self.seen.seen.get(address, ())) != 1 for address in needed):
            return None
        states = {}
        for stream, address in self.streams.items():
            ((last, _),) = self.seen.seen[address]
            if len(last) != given[stream].tokens:
                return None
            normed = any(isinstance(step, FinalNorm) and step.stream == stream for step in plan.steps[: plan.apart])
            states[stream] = self.model.streams[stream].norm(last) if normed else last
        return Seen(states, given, self.seen, mine)


def passed(model: Model, row: Row, patterns: Sequence[str], *edits: Probe) -> Seen:
    """`probing.capture` over a row, from where the answer's own pass had come to."""
    with torch.inference_mode():
        before = None if edits or row.begun is None else row.begun.of(row, patterns)
        if before is None:
            return capture(model, row.inputs, patterns, *edits)
        kept = Capture(*(pattern for pattern in patterns if pattern not in before.addresses))
        states, layouts = dict(before.states), dict(before.layouts)
        for name, given in row.inputs.items():
            if name not in states:
                states[name], layouts[name] = model.embedded(name, given, kept), given.layout
        states = model.run(states, layouts, probe=kept, first=model.plan.apart)
    for address in before.addresses:
        kept.seen[address] = before.captured.seen[address]
    return Seen(states, layouts, kept, list(patterns))
