"""Which hypotheses go on: greedy search, beam search, samples. Tensors come in, and leave as a few numbers a row.

A hypothesis is a chain of nodes that leads back to its first token; the search holds only their ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from .options import Hypothesis, Options
from .sampling import draw, uniforms

# Where a beam has fewer hypotheses than places; nothing real is as unlikely.
UNREAL = -1e9


@dataclass(frozen=True)
class Row:
    """A sentence of a batch: its number among the inputs, and the most tokens of its answer, end included."""

    number: int
    longest: int


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

    def keep(self, rows: Sequence[int]) -> None:
        """Only these rows go on, in this order."""
        ...


def top(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest of each row of [rows, vocab], largest first, and where they stand; exact.

    They lie in the `count` chunks with the largest maxima, so most of a wide row is only looked at once.
    """
    rows, vocab = scores.shape
    chunk = 64 if vocab < 16384 else 128
    chunks = vocab // chunk
    if chunks < 4 * count:
        return scores.topk(min(count, vocab), -1)
    cut = scores[:, : chunks * chunk].unflatten(1, (chunks, chunk))
    best = cut.amax(-1).topk(count, -1, sorted=False)[1]
    values = cut.gather(1, best[:, :, None].expand(rows, count, chunk)).flatten(1)
    places = (best[:, :, None] * chunk + torch.arange(chunk, device=scores.device)).flatten(1)
    if chunks * chunk < vocab:
        values = torch.cat([values, scores[:, chunks * chunk :]], 1)
        rest = torch.arange(chunks * chunk, vocab, device=scores.device).expand(rows, -1)
        places = torch.cat([places, rest], 1)
    values, where = values.topk(count, -1)
    return values, places.gather(1, where)


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

    def __init__(self, rows: Sequence[Row], options: Options, vocab: int) -> None:
        self.rows, self.options, self.slots = list(rows), options, options.slots
        self.nodes: list[list[Node | None]] = [[None] * self.slots for _ in rows]
        self.ended: list[list[Hypothesis | None]] = [[None] * self.slots for _ in rows]
        self.chances: list[list[float]] = []
        sampling = options.sampling
        if sampling is not None:
            numbers = [[uniforms(sampling.seed, row.number, n, row.longest) for n in range(self.slots)] for row in rows]
            self.uniforms = numbers

    def choose(self, logits: Tensor, logprobs: Tensor, length: int) -> Choice:
        rows, slots = len(self.rows), self.slots
        if logprobs.shape[0] == rows and slots > 1:  # the first token: all slots draw from the same distribution
            logprobs = logprobs.repeat_interleave(slots, 0)
        tokens = self._tokens(logits, logprobs, length)
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

    def _tokens(self, logits: Tensor, logprobs: Tensor, length: int) -> Tensor:
        sampling = self.options.sampling
        if sampling is None:  # logits, because two that differ in the last bit may have the same log-probability
            return _largest(logits)
        at = lambda numbers: float(numbers[min(length, len(numbers)) - 1])  # rows that have ended draw anything
        chances = [at(numbers) for row in self.uniforms for numbers in row]
        return draw(logprobs, torch.tensor(chances, dtype=torch.float64, device=logprobs.device), sampling)

    def _extend(self, row: int, slot: int, token: int, logprob: float, last: bool) -> None:
        before = self.nodes[row][slot]
        if math.isnan(logprob):
            self.ended[row][slot] = answer(before, self.options, -math.inf, False)
            return
        node = Node(token, logprob + (before.total if before else 0.0), logprob, before)
        self.nodes[row][slot] = node
        if token == self.options.end or last:
            hypothesis = answer(node, self.options, 0.0, token == self.options.end)
            length = len(hypothesis.ids) + hypothesis.finished
            score = self.options.normalized(node.total, length)
            self.ended[row][slot] = Hypothesis(hypothesis.ids, score, hypothesis.finished, hypothesis.logprobs)

    def answers(self, row: int) -> list[Hypothesis]:
        found = [hypothesis for hypothesis in self.ended[row] if hypothesis is not None]
        return sorted(found, key=lambda hypothesis: -hypothesis.score)

    def keep(self, rows: Sequence[int]) -> None:
        self.rows = [self.rows[row] for row in rows]
        self.nodes = [self.nodes[row] for row in rows]
        self.ended = [self.ended[row] for row in rows]
        if self.options.sampling is not None:
            self.uniforms = [self.uniforms[row] for row in rows]


@dataclass
class Sentence:
    """The beam of one row: ends of hypotheses that live, and those that have ended, best first."""

    longest: int
    alive: list[Node]
    ended: list[tuple[float, Node, bool]] = field(default_factory=list)
    done: bool = False
    broken: bool = False


Candidate = tuple[float, int, int, float]  # total, parent, token, the token's own log-probability


class Beam:
    """Beam search. Of each row, the 2 x beam likeliest continuations are looked at, so that `beam` of them go on even
    if as many end."""

    def __init__(self, rows: Sequence[Row], options: Options, vocab: int) -> None:
        self.options, self.beam = options, options.beam
        self.sentences = [Sentence(row.longest, []) for row in rows]
        self.totals: Tensor | None = None
        self.advance = self._advance_hf if options.length_penalty == "hf" else self._advance

    def choose(self, logits: Tensor, logprobs: Tensor, length: int) -> Choice:
        rows = len(self.sentences)
        slots = logprobs.shape[0] // rows
        must_end = self.options.length_penalty != "hf" and self.options.end is not None
        if must_end:
            last = [number for number, sentence in enumerate(self.sentences) if length >= sentence.longest]
            if last:
                logprobs = _only(logprobs, last, slots, self.options.end)
        values, tokens = top(logprobs, min(2 * self.beam, logprobs.shape[1]))
        per = values.shape[1]
        totals = values.view(rows, slots, per)
        if self.totals is not None:
            totals = totals + self.totals[:, :, None]
        best, where = totals.flatten(1).topk(min(2 * self.beam, slots * per), -1)
        chosen = tokens.view(rows, slots * per).gather(1, where)
        own = values.view(rows, slots * per).gather(1, where)
        columns = zip(best.tolist(), (where // per).tolist(), chosen.tolist(), own.tolist(), strict=True)
        next_tokens, next_parents, next_totals, finished = [], [], [], []
        for number, (sentence, column) in enumerate(zip(self.sentences, columns, strict=True)):
            parents = self.advance(sentence, list(zip(*column, strict=True)), length)
            if sentence.done:
                finished.append(number)
                parents = [0] * self.beam
                next_tokens.append([0] * self.beam)
                next_totals.append([0.0] * self.beam)
            else:
                next_tokens.append([node.token for node in sentence.alive])
                next_totals.append([node.total for node in sentence.alive])
            next_parents.append(parents)
        device = logprobs.device
        self.totals = torch.tensor(next_totals, device=device)
        ids = torch.tensor(next_tokens, device=device).flatten()
        return Choice(ids, torch.tensor(next_parents, device=device), finished)

    def _advance(self, sentence: Sentence, candidates: list[Candidate], length: int) -> list[int]:
        """Average and GNMT; returns the parents of those that live on."""
        ends = self.options.end
        last = length >= sentence.longest
        parents = self._split(sentence, candidates, length, lambda token: last or token == ends)
        if last or sentence.broken or not sentence.alive or len(sentence.ended) >= self.beam * self.options.patience:
            sentence.done = True
        elif len(sentence.ended) >= self.options.best:
            # A log-probability only falls; the kindest length it could still be divided by:
            kindest = max((length + 1, sentence.longest), key=self.options.penalty)
            worst = sorted(score for score, _, _ in sentence.ended)[-self.options.best]
            sentence.done = self.options.normalized(sentence.alive[0].total, kindest) <= worst
        return parents

    def _advance_hf(self, sentence: Sentence, candidates: list[Candidate], length: int) -> list[int]:
        """The rules of transformers 5.23, `generation/utils.py`, `_beam_search`, with `early_stopping=False`."""
        end, last = self.options.end, length >= sentence.longest
        parents = self._split(sentence, candidates, length, lambda token: last or token == end)
        sentence.ended.sort(key=lambda ended: -ended[0])
        del sentence.ended[self.beam :]
        if last or sentence.broken or not sentence.alive:
            sentence.done = True
        elif len(sentence.ended) == self.beam:
            possible = self.options.normalized(sentence.alive[0].total, length)
            sentence.done = not possible > sentence.ended[-1][0]
        return parents

    def _split(
        self, sentence: Sentence, candidates: list[Candidate], length: int, stops: Callable[[int], bool]
    ) -> list[int]:
        """Candidates, best first, become hypotheses that have ended (only among the first `beam`) or live on."""
        alive: list[Node] = []
        parents: list[int] = []
        for rank, (total, parent, token, own) in enumerate(candidates):
            if total != total:  # not a number: the row ends with what it has
                sentence.broken = True
                return []
            stop = stops(token)
            if stop and rank >= self.beam:
                continue
            if not stop and len(alive) == self.beam:
                continue
            node = Node(token, total, own, sentence.alive[parent] if sentence.alive else None)
            if not stop:
                alive.append(node)
                parents.append(parent)
            elif total > UNREAL:
                ended = self.options.end is not None and token == self.options.end
                sentence.ended.append((self.options.normalized(total, length), node, ended))
        if alive:
            while len(alive) < self.beam:  # a vocabulary smaller than the beam
                alive.append(Node(alive[0].token, 2 * UNREAL, 0.0, None))
                parents.append(0)
        sentence.alive = alive
        return parents

    def answers(self, row: int) -> list[Hypothesis]:
        sentence, best = self.sentences[row], self.options.best
        if not sentence.ended:
            alive = sentence.alive[0] if sentence.alive else None
            return [answer(alive, self.options, -math.inf, False)]
        ranked = sorted(sentence.ended, key=lambda ended: -ended[0])[:best]
        return [answer(node, self.options, score, ended) for score, node, ended in ranked]

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


def search(rows: Sequence[Row], options: Options, vocab: int) -> Search:
    """The search that the options ask for."""
    if options.sampling is not None or options.beam == 1:
        return Chains(rows, options, vocab)
    return Beam(rows, options, vocab)
