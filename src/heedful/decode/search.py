"""Which hypotheses go on: greedy search, beam search, samples. Tensors come in, and leave as a few numbers a row.

A hypothesis is a chain of nodes that leads back to its first token; the search holds only their ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from .options import Hypothesis, Options
from .sampling import draw, uniforms

if TYPE_CHECKING:
    from .constraints import Constraints

# Log-probabilities of the whole, tokens, parents, log-probabilities of the tokens; each [rows, candidates].
Candidates = tuple[Tensor, Tensor, Tensor, Tensor]

# Where a beam has fewer hypotheses than places; nothing real is as unlikely.
UNREAL = -1e9


@dataclass(frozen=True)
class Row:
    """A sentence of a batch: its number among the inputs, the most tokens of its answer (end included), and the seed
    of its own samples."""

    number: int
    longest: int
    seed: int = 0


@dataclass(slots=True)
class Node:
    """The last token of a hypothesis; `total` is the log-probability of all of it."""

    token: int
    total: float
    logprob: float
    before: Node | None


@dataclass
class Choice:
    """What goes on: the next token of every hypothesis [rows x slots], whom it descends from [rows, slots] (None: from
    itself), and which rows are finished (their tokens mean nothing)."""

    tokens: Tensor
    parents: Tensor | None
    finished: list[int]


class Search(Protocol):
    """One way of searching, for the rows of one batch."""

    def choose(self, logits: Tensor, logprobs: Tensor, length: int) -> Choice:
        """Logits and log-probabilities [rows x slots, vocab] (first token: [rows, vocab]) of token number `length`."""
        ...

    def answers(self, row: int) -> list[Hypothesis]:
        """The best hypotheses of a finished row, best first."""
        ...

    def so_far(self, row: int) -> Hypothesis:
        """The likeliest hypothesis of an unfinished row."""
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """Only these rows go on, in this order."""
        ...


def likeliest(logprobs: Tensor, totals: Tensor | None, count: int) -> Candidates:
    """The `count` likeliest continuations of each row, best first; exact.

    `logprobs` [rows, slots, vocab] are the next tokens', `totals` [rows, slots] the hypotheses' so far (None: 0).
    They lie in the `count` chunks of tokens with the largest maxima, so most numbers are only looked at once.
    """
    rows, slots, vocab = logprobs.shape
    chunk = 64 if vocab < 16384 else 128
    chunks, every = vocab // chunk, torch.arange(slots * vocab, device=logprobs.device)
    if totals is None:
        totals = logprobs.new_zeros(rows, slots)
    if chunks < 4 * count:
        places = every.expand(rows, -1)
    else:
        maxima = logprobs[:, :, : chunks * chunk].unflatten(2, (chunks, chunk)).amax(-1).add_(totals[:, :, None])
        best = maxima.flatten(1).topk(count, -1, sorted=False)[1]
        first = best // chunks * vocab + best % chunks * chunk
        places = (first[:, :, None] + every[:chunk]).flatten(1)
        rest = every.view(slots, vocab)[:, chunks * chunk :].flatten()
        places = torch.cat([places, rest.expand(rows, -1)], 1)
    own = logprobs.flatten(1).gather(1, places)
    sums = own + totals.gather(1, places // vocab)
    sums, where = sums.topk(min(count, sums.shape[1]), -1)
    places = places.gather(1, where)
    return sums, places % vocab, places // vocab, own.gather(1, where)


def _largest(scores: Tensor) -> Tensor:
    """Where the largest of each row stands (NumPy's search is several times faster than torch's)."""
    if scores.device.type != "cpu":
        return scores.argmax(-1)
    return torch.from_numpy(scores.numpy().argmax(-1))


def answer(node: Node | None, options: Options, score: float, finished: bool) -> Hypothesis:
    """The hypothesis that ends in `node`."""
    ids: list[int] = []
    logprobs: list[float] = []
    while node is not None:
        ids.append(node.token)
        logprobs.append(node.logprob)
        node = node.before
    ids.reverse()
    logprobs.reverse()
    if finished:
        del ids[-1]
    return Hypothesis(ids, score, finished, logprobs if options.logprobs else None)


class Chains:
    """Greedy search and sampling: each hypothesis goes its own way. Samples are slots of a row."""

    def __init__(self, rows: Sequence[Row], options: Options) -> None:
        self.rows, self.options, self.slots = list(rows), options, options.slots
        self.nodes: list[list[Node | None]] = [[None] * self.slots for _ in rows]
        self.ended: list[list[Hypothesis | None]] = [[None] * self.slots for _ in rows]
        sampling = options.sampling
        if sampling is not None:
            numbers = [[uniforms(sampling.seed, row.seed, n, row.longest) for n in range(self.slots)] for row in rows]
            self.uniforms = numbers

    def choose(self, logits: Tensor, logprobs: Tensor, length: int) -> Choice:
        rows, slots = len(self.rows), self.slots
        if logprobs.shape[0] == rows and slots > 1:  # the first token: all slots draw from the same distribution
            logits, logprobs = (scores.repeat_interleave(slots, 0) for scores in (logits, logprobs))
        tokens = self._tokens(logits, length)
        logprob_list = logprobs.gather(1, tokens[:, None])[:, 0].tolist()
        token_list = tokens.tolist()
        finished = []
        for number, row in enumerate(self.rows):
            for slot in range(slots):
                if self.ended[number][slot] is None:
                    at = number * slots + slot
                    self._extend(number, slot, token_list[at], logprob_list[at], length >= row.longest)
            if None not in self.ended[number]:
                finished.append(number)
        return Choice(tokens, None, finished)

    def _tokens(self, logits: Tensor, length: int) -> Tensor:
        # Logits, because two that differ in the last bit may have the same log-probability; and because constraints
        # raise some of them.
        sampling = self.options.sampling
        if sampling is None:
            return _largest(logits)
        at = lambda numbers: float(numbers[min(length, len(numbers)) - 1])  # rows that have ended draw anything
        chances = [at(numbers) for row in self.uniforms for numbers in row]
        return draw(logits, torch.tensor(chances, dtype=torch.float64, device=logits.device), sampling)

    def _extend(self, row: int, slot: int, token: int, logprob: float, last: bool) -> None:
        before = self.nodes[row][slot]
        if not logprob > -math.inf:  # not a number, or nothing may be said
            self.ended[row][slot] = answer(before, self.options, -math.inf, False)
            return
        node = Node(token, logprob + (before.total if before else 0.0), logprob, before)
        self.nodes[row][slot] = node
        if token == self.options.end or last or self._stops(node):
            hypothesis = answer(node, self.options, 0.0, token == self.options.end)
            length = len(hypothesis.ids) + hypothesis.finished
            score = self.options.normalized(node.total, length)
            self.ended[row][slot] = Hypothesis(hypothesis.ids, score, hypothesis.finished, hypothesis.logprobs)

    def _stops(self, node: Node | None) -> bool:
        """Whether the newest tokens hold what ends an answer."""
        if self.options.stop is None:
            return False
        newest: list[int] = []
        while node is not None and len(newest) < self.options.stop.reach:
            newest.append(node.token)
            node = node.before
        return self.options.stop.found(newest[::-1])

    def answers(self, row: int) -> list[Hypothesis]:
        found = [hypothesis for hypothesis in self.ended[row] if hypothesis is not None]
        return sorted(found, key=lambda hypothesis: -hypothesis.score)

    def so_far(self, row: int) -> Hypothesis:
        open_ = [node for node, ended in zip(self.nodes[row], self.ended[row], strict=True) if node and not ended]
        node = max(open_, key=lambda node: node.total)
        return answer(node, self.options, node.total, False)

    def keep(self, rows: Sequence[int]) -> None:
        self.rows = [self.rows[row] for row in rows]
        self.nodes = [self.nodes[row] for row in rows]
        self.ended = [self.ended[row] for row in rows]
        if self.options.sampling is not None:
            self.uniforms = [self.uniforms[row] for row in rows]


@dataclass(slots=True)
class Ended:
    """A hypothesis of a beam that has ended: its score, its last token, and the slot it descends from."""

    score: float
    step: int
    parent: int
    token: int
    logprob: float
    finished: bool


@dataclass(slots=True)
class Sentence:
    """The beam of one row. `steps` holds, for every step, the slots' tokens, parents and tokens' log-probabilities."""

    longest: int
    steps: list[tuple[list[int], list[int], list[float]]] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    done: bool = False

    def chain(self, slot: int, step: int) -> tuple[list[int], list[float]]:
        """Tokens and log-probabilities of what stood in `slot` after `step` steps."""
        ids, logprobs = [], []
        for tokens, parents, own in reversed(self.steps[:step]):
            ids.append(tokens[slot])
            logprobs.append(own[slot])
            slot = parents[slot]
        return ids[::-1], logprobs[::-1]


class Beam:
    """Beam search. Of each row, the 2 x beam likeliest continuations are looked at, so that `beam` of them go on even
    if as many end. Rows where nothing ends, which is nearly all of the time, cost no more than a look at their tokens.
    """

    def __init__(self, rows: Sequence[Row], options: Options) -> None:
        self.options, self.beam = options, options.beam
        self.sentences = [Sentence(row.longest) for row in rows]
        self.totals: Tensor | None = None
        self.is_done = self._is_done_hf if options.length_penalty == "hf" else self._is_done

    def choose(self, logits: Tensor, logprobs: Tensor, length: int) -> Choice:
        rows, beam = len(self.sentences), self.beam
        slots = logprobs.shape[0] // rows
        if self.options.length_penalty != "hf" and self.options.end is not None:
            last = [number for number, sentence in enumerate(self.sentences) if length >= sentence.longest]
            if last:
                logprobs = _only(logprobs, last, slots, self.options.end)
        totals, tokens, parents, own = self.candidates(logprobs, slots, length)
        ranks, finished = self._ranks(totals.tolist(), tokens.tolist(), parents.tolist(), own.tolist(), length)
        if ranks is None:
            self.totals = totals[:, :beam]
            return Choice(tokens[:, :beam].flatten(), parents[:, :beam], finished)
        index = torch.tensor(ranks, device=totals.device)
        real = index >= 0
        index = index.clamp(min=0)
        self.totals = totals.gather(1, index).where(real, 2 * UNREAL)
        return Choice(tokens.gather(1, index).flatten(), parents.gather(1, index), finished)

    def candidates(self, logprobs: Tensor, slots: int, length: int) -> Candidates:
        """The 2 x beam likeliest continuations of each row, likeliest first."""
        return likeliest(logprobs.view(len(self.sentences), slots, -1), self.totals, 2 * self.beam)

    def _ranks(
        self,
        totals: list[list[float]],
        tokens: list[list[int]],
        parents: list[list[int]],
        own: list[list[float]],
        length: int,
    ) -> tuple[list[list[int]] | None, list[int]]:
        """Which candidates of each row live on (-1: none, the slot is idle; None: the first of every row), and the rows
        that are done."""
        beam, end = self.beam, self.options.end
        ranks: dict[int, list[int]] = {}
        finished = []
        for row, sentence in enumerate(self.sentences):
            if not sentence.done:
                best = tokens[row]
                plain = len(best) >= beam and end not in best[:beam] and length < sentence.longest
                if plain and totals[row][0] > UNREAL:
                    sentence.steps.append((best[:beam], parents[row][:beam], own[row][:beam]))
                    sentence.done = bool(sentence.ended) and self.is_done(sentence, totals[row][0], length)
                else:
                    ranks[row] = self._split(sentence, totals[row], tokens[row], parents[row], own[row], length)
            if sentence.done:
                finished.append(row)
        if not ranks:
            return None, finished
        return [ranks.get(row, list(range(beam))) for row in range(len(self.sentences))], finished

    def _split(
        self,
        sentence: Sentence,
        totals: list[float],
        tokens: list[int],
        parents: list[int],
        own: list[float],
        length: int,
    ) -> list[int]:
        """Candidates, best first, end (only among the first `beam`) or live on; the ranks of those that do."""
        idle = [-1] * self.beam
        # Not numbers, or nothing that may be said: the row is left with what it has.
        if any(total != total for total in totals) or not max(totals, default=-math.inf) > UNREAL:
            sentence.done = True
            return idle
        last = length >= sentence.longest
        alive: list[int] = []
        for rank, token in enumerate(tokens):
            if not last and token != self.options.end:
                if len(alive) < self.beam:
                    alive.append(rank)
            elif rank < self.beam and totals[rank] > UNREAL:
                score = self.options.normalized(totals[rank], length)
                sentence.ended.append(
                    Ended(score, length - 1, parents[rank], token, own[rank], token == self.options.end)
                )
        sentence.ended.sort(key=lambda ended: -ended.score)
        if self.options.length_penalty == "hf":
            del sentence.ended[self.beam :]
        if not alive:
            sentence.done = True
            return idle
        # A vocabulary smaller than the beam leaves slots idle.
        padded = (alive + [alive[0]] * self.beam)[: self.beam]
        sentence.steps.append(([tokens[r] for r in padded], [parents[r] for r in padded], [own[r] for r in padded]))
        sentence.done = self.is_done(sentence, totals[alive[0]], length)
        return (alive + idle)[: self.beam]

    def _is_done(self, sentence: Sentence, best: float, length: int) -> bool:
        """Average and GNMT; `best` is the log-probability of the best hypothesis alive."""
        options, ended = self.options, sentence.ended
        if len(ended) >= self.beam * options.patience:
            return True
        if len(ended) < options.best:
            return False
        # A log-probability only falls; it is best divided by the largest penalty that is still ahead.
        kindest = max(options.penalty(length + 1), options.penalty(sentence.longest))
        return best / kindest <= ended[options.best - 1].score

    def _is_done_hf(self, sentence: Sentence, best: float, length: int) -> bool:
        """The rules of transformers 5.23, `generation/utils.py`, `_beam_search`, with `early_stopping=False`."""
        if len(sentence.ended) < self.beam:
            return False
        return not self.options.normalized(best, length) > sentence.ended[-1].score

    def answers(self, row: int) -> list[Hypothesis]:
        sentence, options = self.sentences[row], self.options
        if not sentence.ended:
            ids, logprobs = sentence.chain(0, len(sentence.steps))
            return [Hypothesis(ids, -math.inf, False, logprobs if options.logprobs else None)]
        found = []
        for ended in sentence.ended[: options.best]:
            ids, logprobs = sentence.chain(ended.parent, ended.step)
            logprobs.append(ended.logprob)
            if not ended.finished:
                ids.append(ended.token)
            found.append(Hypothesis(ids, ended.score, ended.finished, logprobs if options.logprobs else None))
        return found

    def so_far(self, row: int) -> Hypothesis:
        sentence = self.sentences[row]
        ids, logprobs = sentence.chain(0, len(sentence.steps))
        return Hypothesis(ids, sum(logprobs), False, logprobs if self.options.logprobs else None)

    def keep(self, rows: Sequence[int]) -> None:
        self.sentences = [self.sentences[row] for row in rows]
        if self.totals is not None:
            self.totals = self.totals[list(rows)]


def _only(logprobs: Tensor, rows: Sequence[int], slots: int, token: int | None) -> Tensor:
    """In these rows, only one token is possible."""
    masked = logprobs.view(-1, slots, logprobs.shape[1]).clone()
    kept = masked[list(rows), :, token].clone()
    masked[list(rows)] = -math.inf
    masked[list(rows), :, token] = kept
    return masked.view(logprobs.shape)


def search(rows: Sequence[Row], options: Options, constraints: Constraints | None = None) -> Search:
    """The search that the options ask for; a beam is shared out where some rows require something."""
    if options.sampling is not None or options.beam == 1:
        return Chains(rows, options)
    if constraints is not None and constraints.requiring:
        from .banks import BankedBeam

        return BankedBeam(rows, options, constraints)
    return Beam(rows, options)
