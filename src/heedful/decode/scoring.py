"""How likely a model finds given answers: every token's log-probability, all of them in one pass (teacher forcing)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UserError
from ..model.model import Model
from ..model.plan import Tokens
from .engine import Decoded, Limits, as_one, modes_kept
from .ensemble import Together, mixture
from .options import Options

Pair = tuple[Sequence[int], Sequence[int]]

BATCH_TOKENS = 4096  # of both sides; what a batch keeps in memory grows with them
CHUNK = 256  # tokens whose logits exist at a time


@dataclass(frozen=True)
class Score:
    """The log-probability of every token of an answer (the end token's last), their sum, and that sum under the length
    penalty: what decoding calls the answer's score."""

    logprobs: list[float]
    total: float
    score: float


def score(
    model: Model | Sequence[Model], pairs: Sequence[Pair], options: Options | None = None, finished: bool = True
) -> list[Score]:
    """Scores of (input, answer) pairs of token ids, in the order given; answers without start and end token.

    `finished`: the end token after each answer counts. Of the options, start and end, length penalty, `logit_bias` and
    forced tokens (whose log-probability is 0) matter; what is banned keeps its log-probability. Several models are one,
    as in decoding. UserError names the first pair that the model cannot read.
    """
    options = options or Options()
    decoded = as_one(model, options)
    for number, (source, target) in enumerate(pairs):
        decoded.check(number, source)
        for part in decoded.parts:
            _check(part, number, source, target)
    order = sorted(range(len(pairs)), key=lambda number: len(pairs[number][0]) + len(pairs[number][1]))
    scores: dict[int, Score] = {}
    with modes_kept(decoded), torch.inference_mode():
        decoded.evaluate()
        for numbers in _batches(order, pairs):
            some = [pairs[number] for number in numbers]
            for number, logprobs in zip(numbers, _logprobs(decoded, some, finished), strict=True):
                _force(logprobs, decoded, pairs[number])
                total = math.fsum(logprobs)
                scores[number] = Score(logprobs, total, options.normalized(total, len(logprobs)) if logprobs else 0.0)
    return [scores[number] for number in range(len(pairs))]


def _check(part: Decoded, number: int, source: Sequence[int], target: Sequence[int]) -> None:
    if len(target) and not 0 <= min(target) <= max(target) < part.vocab:
        raise UserError(f"pair {number}: its answer holds a token id outside 0 to {part.vocab - 1}")
    if not (part.source or part.prompted or len(source)):
        raise UserError(f"pair {number}: nothing comes before its answer: give a prompt, or a start token")
    embedding = part.model.plan.stream(part.stream).embedding
    assert isinstance(embedding, Tokens)
    read = len(target) + (1 if part.source else len(source) + part.prompted)
    if embedding.positions == "learned" and read > embedding.capacity:
        raise UserError(f"pair {number} has {read} tokens to read; this model has {embedding.capacity} positions")


def _batches(order: Sequence[int], pairs: Sequence[Pair]) -> Iterator[list[int]]:
    """Pairs of near lengths, BATCH_TOKENS of them or a single pair."""
    batch: list[int] = []
    tokens = 0
    for number in order:
        own = len(pairs[number][0]) + len(pairs[number][1]) + 2
        if batch and tokens + own > BATCH_TOKENS:
            yield batch
            batch, tokens = [], 0
        batch.append(number)
        tokens += own
    if batch:
        yield batch


def _logprobs(decoded: Decoded | Together, pairs: Sequence[Pair], finished: bool) -> list[list[float]]:
    """For each pair, the log-probabilities of its answer's tokens."""
    end = decoded.options.end if finished else None
    answers = [[*target] if end is None else [*target, end] for _, target in pairs]
    read = [_read(part, pairs, answers) for part in decoded.parts]
    said = torch.tensor([token for answer in answers for token in answer], dtype=torch.long, device=decoded.device)
    bias = Limits(decoded.options, decoded.vocab, decoded.device).bias
    found: list[float] = []
    for first in range(0, len(said), CHUNK):
        each = [
            part.model.logits(part.head.name, states, {}, rows[first : first + CHUNK])
            for part, (states, rows) in zip(decoded.parts, read, strict=True)
        ]
        logits = each[0].float() if len(each) == 1 else mixture(each)
        if bias is not None:
            logits = logits + bias
        found += logits.log_softmax(-1).gather(1, said[first : first + CHUNK, None])[:, 0].tolist()
    numbers = iter(found)
    return [[next(numbers) for _ in answer] for answer in answers]


def _read(part: Decoded, pairs: Sequence[Pair], answers: Sequence[Sequence[int]]) -> tuple[dict[str, Tensor], Tensor]:
    """The states of a model that has read the pairs, and which of its tokens foretell the answers'."""
    start = [] if part.options.start is None else [part.options.start]
    before = [start if part.source else [*start, *source] for source, _ in pairs]
    rows = [[*own, *answer][:-1] for own, answer in zip(before, answers, strict=True)]
    given = part.packed(rows)
    inputs = {part.stream: given}
    if part.source:
        inputs[part.source] = part.packed([source for source, _ in pairs])
    states, _ = part.model.encode(inputs)
    firsts = given.layout.starts + [len(own) - 1 for own in before]
    which = [first + at for first, answer in zip(firsts, answers, strict=True) for at in range(len(answer))]
    return states, torch.tensor(which, dtype=torch.long, device=part.device)


def _force(logprobs: list[float], decoded: Decoded | Together, pair: Pair) -> None:
    """A forced token costs nothing, as in decoding."""
    options, (source, target) = decoded.options, pair
    said = [*target, options.end]
    if logprobs and said[0] == options.forced_first:
        logprobs[0] = 0.0
    if logprobs and len(logprobs) == decoded.longest(len(source)) and said[len(logprobs) - 1] == options.forced_last:
        logprobs[-1] = 0.0
