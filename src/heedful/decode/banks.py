"""A beam shared out by how much of what is required has been said (Post and Vilar 2018, dynamic beam allocation).

A hypothesis that has said part of it is less likely than one that has not, until it is finished: side by side, the beam
would hold none of the former. So candidates stand in banks, by steps made (`Requirement.progress`), and each bank gets
places. Where we differ: every continuation of a hypothesis within its top 2 x beam is a candidate, not the best one
only; phrases may overlap, so a bank is the tokens of the phrases said and of the one under way; and places go round the
banks that have candidates, from the top, while the paper gives all the places to the top banks if they are fewer than
the banks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .constraints import Constraints
from .options import Options
from .search import UNREAL, Beam, Candidates, Row, likeliest
from .wanted import Requirement, State


class Continuation(NamedTuple):
    """Log-probability of all of it, who goes on with which token, and that token's log-probability."""

    total: float
    slot: int
    token: int
    logprob: float


class BankedBeam(Beam):
    """Beam search in which the rows that require something keep hypotheses that have said much of it."""

    def __init__(self, rows: Sequence[Row], options: Options, constraints: Constraints) -> None:
        super().__init__(rows, options)
        self.constraints = constraints

    def candidates(self, logprobs: Tensor, slots: int, length: int) -> Candidates:
        found = super().candidates(logprobs, slots, length)
        per_row = logprobs.view(len(self.sentences), slots, -1)
        for row, (requirement, sentence) in enumerate(zip(self.constraints.requirements, self.sentences, strict=True)):
            if requirement is None or not requirement.steps or sentence.done or length >= sentence.longest:
                continue
            totals = [0.0] * slots if self.totals is None else self.totals[row].tolist()
            banks = self._banks(requirement, self.constraints.states[row], totals, per_row[row])
            _replace(found, row, self._chosen(banks))
        return found

    def _banks(
        self, requirement: Requirement, states: list[State | None], totals: list[float], logprobs: Tensor
    ) -> dict[int, list[Continuation]]:
        """All continuations of a row by the steps made with them, likeliest first."""
        _, tokens, _, values = (part.tolist() for part in likeliest(logprobs[:, None], None, 2 * self.beam))
        banks: dict[int, list[Continuation]] = {}
        for slot, (state, total) in enumerate(zip(states, totals, strict=True)):
            if state is None or total <= UNREAL:
                continue
            special = requirement.special(state)
            others = sorted(special.difference(tokens[slot]))
            own = dict(zip(tokens[slot] + others, values[slot] + logprobs[slot, others].tolist(), strict=True))
            plain = requirement.progress(state._replace(node=0))
            for token, logprob in own.items():
                if total + logprob > UNREAL:
                    new = requirement.after(state, token) if token in special else None
                    bank = plain if new is None else requirement.progress(new)
                    banks.setdefault(bank, []).append(Continuation(total + logprob, slot, token, logprob))
        for some in banks.values():
            some.sort(reverse=True)
        return banks

    def _chosen(self, banks: dict[int, list[Continuation]]) -> list[Continuation]:
        """Those that end, then those that live on, each likeliest first; no more of either than the beam is wide."""
        end = self.options.end
        ended: list[Continuation] = []
        alive: list[Continuation] = []
        for bank, places in _shares({bank: len(some) for bank, some in banks.items()}, self.beam).items():
            live = 0
            for rank, one in enumerate(banks[bank]):
                if one.token == end:
                    if rank < places:
                        ended.append(one)
                elif live < places:
                    live += 1
                    alive.append(one)
        return sorted(ended, reverse=True)[: self.beam] + sorted(alive, reverse=True)


def _shares(sizes: dict[int, int], places: int) -> dict[int, int]:
    """How many of a beam's places each bank gets: one each from the top down, again and again."""
    shares = dict.fromkeys(sorted(sizes, reverse=True), 0)
    while places and (hungry := [bank for bank, share in shares.items() if share < sizes[bank]][:places]):
        places -= len(hungry)
        for bank in hungry:
            shares[bank] += 1
    return shares


def _replace(found: Candidates, row: int, chosen: list[Continuation]) -> None:
    """Put these in a row's place; what is left of it is as good as nothing."""
    totals, tokens, parents, own = found
    totals[row], tokens[row], parents[row], own[row] = -math.inf, 0, 0, -math.inf
    if chosen:
        for part, values in zip((totals, parents, tokens, own), zip(*chosen, strict=True), strict=True):
            part[row, : len(chosen)] = torch.tensor(values, dtype=part.dtype)
