"""What may be said next: per-hypothesis limits on a model's numbers, for greedy search, beam search and samples alike.

Every hypothesis has a state, which follows it: from parent to child, and out when its row leaves. Nothing here is run
unless an option or an input asks for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import UserError
from .options import Options
from .wanted import Requirement, Rules, State, Wanted

Places = tuple[Tensor, Tensor]  # hypotheses and tokens


class Demands:
    """What all inputs ask of their answers; UserError for the first that asks for what cannot be."""

    def __init__(
        self, options: Options, vocab: int, longest: Sequence[int], wanted: Sequence[Wanted | None] | None
    ) -> None:
        if wanted is not None and len(wanted) != len(longest):
            raise UserError(f"wanted has {len(wanted)} entries for {len(longest)} inputs; give one for each, or None")
        self.rules = Rules(options, vocab)
        self.requirements = [
            self.rules.requirement(number, each, most)
            for number, (each, most) in enumerate(zip(wanted or [None] * len(longest), longest, strict=True))
        ]

    def constraints(self, numbers: Sequence[int]) -> Constraints:
        """The limits for a batch of these inputs."""
        return Constraints(self.rules, [self.requirements[number] for number in numbers])


class Constraints:
    """The limits of the rows of one batch.

    Greedy search and samples, which cannot go back, are steered: where the model would end but something is missing,
    the likeliest token that leads there stands in for the end, and the phrase it begins is finished.
    """

    def __init__(self, rules: Rules, requirements: Sequence[Requirement | None]) -> None:
        self.rules, self.requirements = rules, list(requirements)
        self.steering = rules.options.beam == 1 or rules.options.sampling is not None
        self.states: list[list[State | None]] = [[None if wanted is None else wanted.start] for wanted in requirements]
        self.raised: dict[int, int] = {}  # the token that stands in for the end, by hypothesis
        self.history: npt.NDArray[np.int64] = np.empty((len(requirements), 0), np.int64)
        # Banned for all: what no state can allow, and what only few do.
        self.columns = sorted(rules.restricted.union(rules.phrases.completing(0)))

    @property
    def requiring(self) -> bool:
        """Whether some row's answer must hold something."""
        return any(wanted is not None and wanted.steps > 0 for wanted in self.requirements)

    @property
    def slots(self) -> int:
        """Hypotheses of a row."""
        return len(self.states[0])

    def apply(self, logits: Tensor, logprobs: Tensor, length: int) -> None:
        """Limit token number `length`: -inf in logits and log-probabilities [hypotheses, vocab] for what must not be.

        The log-probability of what may be stays the model's; where a token stands in for the end, its logit is raised.
        """
        allowed: list[tuple[int, int]] = []
        banned: list[tuple[int, int]] = []
        only: dict[int, list[int]] = {}
        wanting: dict[int, tuple[int, ...]] = {}  # steps towards what is missing
        for row, (requirement, states) in enumerate(zip(self.requirements, self.states, strict=True)):
            for slot, state in enumerate(states):
                if requirement is None or state is None:
                    continue
                at = row * len(states) + slot
                possible, impossible = requirement.bounds(state, length)
                if possible is not None:
                    only[at] = possible
                elif state.missing or state.once:
                    wanting[at] = requirement.advancing(state)
                banned.extend((at, token) for token in impossible)
                allowed.extend((at, token) for token in state.once)
        ends = None if self.rules.end is None else logits[:, self.rules.end].clone()
        for scores in (logits, logprobs):
            kept = scores[_places(allowed, scores)]
            scores[:, self.columns] = -math.inf
            scores[_places(allowed, scores)] = kept
            scores[_places(banned, scores)] = -math.inf
            for at, tokens in only.items():
                values = scores[at, tokens]
                scores[at] = -math.inf
                scores[at, tokens] = values
        if self.rules.options.no_repeat_ngram:
            self._unrepeat(logits, logprobs, only, wanting)
        if self.steering and ends is not None:
            self._steer(logits, ends, wanting)

    def _steer(self, logits: Tensor, ends: Tensor, wanting: dict[int, tuple[int, ...]]) -> None:
        """Where the end token's logit is above that of every step towards what is missing, the likeliest gets it."""
        self.raised.clear()
        for at, tokens in wanting.items():
            values: list[float] = logits[at, list(tokens)].tolist()
            best = max(values, default=-math.inf)
            if -math.inf < best < float(ends[at]):
                token = tokens[values.index(best)]
                logits[at, token] = ends[at]
                self.raised[at] = token

    def _unrepeat(
        self, logits: Tensor, logprobs: Tensor, only: dict[int, list[int]], wanting: dict[int, tuple[int, ...]]
    ) -> None:
        """No n-gram of the answer twice; but what is required may be said, and something must be."""
        places = [
            (at, token)
            for at, token in zip(*self._repeating(), strict=True)
            if at not in only and token not in wanting.get(at, ())
        ]
        where = _places(places, logits)
        kept = [scores[where] for scores in (logits, logprobs)]
        for scores in (logits, logprobs):
            scores[where] = -math.inf
        mute = torch.isneginf(logprobs.amax(-1))[where[0]]
        for scores, values in zip((logits, logprobs), kept, strict=True):
            scores[where[0][mute], where[1][mute]] = values[mute]

    def _repeating(self) -> tuple[list[int], list[int]]:
        """Hypotheses, and tokens that would complete an n-gram for the second time."""
        size, length = self.rules.options.no_repeat_ngram, self.history.shape[1]
        if length < size:
            return [], []
        grams = np.lib.stride_tricks.sliding_window_view(self.history, size, axis=1)
        same = (grams[:, :, :-1] == self.history[:, None, length - size + 1 :]).all(-1)
        hypotheses, places = same.nonzero()
        return hypotheses.tolist(), self.history[hypotheses, places + size - 1].tolist()

    def follow(self, tokens: Tensor, parents: Tensor | None, finished: Sequence[int]) -> None:
        """The states after these tokens [hypotheses]; parents as in `search.Choice`, finished rows are followed no more."""
        rows, before = len(self.states), self.slots
        chosen = tokens.view(rows, -1).tolist()
        slots = len(chosen[0])
        own = torch.arange(slots).clamp(max=before - 1).expand(rows, slots)
        ancestors: list[list[int]] = (own if parents is None else parents).tolist()
        done = set(finished)
        for row, requirement in enumerate(self.requirements):
            old = self.states[row]
            new: list[State | None] = [None] * slots
            if requirement is not None and row not in done:
                for slot, (parent, token) in enumerate(zip(ancestors[row], chosen[row], strict=True)):
                    if (state := old[parent]) is not None:
                        held = self.raised.get(row * before + parent) == token
                        new[slot] = requirement.after(state, token, held)
            self.states[row] = new
        if self.rules.options.no_repeat_ngram:
            flat = np.add(ancestors, np.arange(rows)[:, None] * before).ravel()
            self.history = np.column_stack([self.history[flat], np.ravel(chosen)])

    def keep(self, rows: Sequence[int]) -> None:
        """Only these rows go on, in this order."""
        hypotheses = [row * self.slots + slot for row in rows for slot in range(self.slots)]
        self.history = self.history[hypotheses]
        self.requirements = [self.requirements[row] for row in rows]
        self.states = [self.states[row] for row in rows]


def _places(places: Sequence[tuple[int, int]], like: Tensor) -> Places:
    index = torch.tensor(places, dtype=torch.long, device=like.device).view(-1, 2)
    return index[:, 0], index[:, 1]
