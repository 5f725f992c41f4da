"""Decoding a model: batches of near lengths, one step at a time; rows that finish leave the batch.

For every plan whose head reads a causal stream: alone (a prompt goes on) or over another stream (translation).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import xxhash
from torch import Tensor

from ..errors import UserError
from ..model import products
from ..model.embeddings import Input, TokenInput
from ..model.hardware import Choices
from ..model.layout import Layout
from ..model.model import Model
from ..model.plan import Head, Step, Tokens
from .constraints import Demands
from .ensemble import Together
from .options import Hypothesis, Options
from .search import Row, Search, search
from .stepper import Stepper, stepper
from .wanted import Wanted
from .workers import Stopped, side_by_side

Answers = list[Hypothesis]
Reader = Callable[[Sequence[Sequence[int]]], Input]  # inputs -> what the model reads of them

FEW_ROWS = 4  # a batch is not cut below these: products of fewer rows cost as much
FEW_HYPOTHESES = 32  # whose steps one thread makes sooner than two, which wait for each other at every product


def decode(
    model: Model | Sequence[Model],
    inputs: Sequence[Sequence[int]],
    options: Options | None = None,
    choices: Choices | None = None,
    wanted: Sequence[Wanted | None] | None = None,
    reader: Reader | None = None,
) -> list[Answers]:
    """Hypotheses for every input, best first, in the order given; see `Options`.

    Inputs are token ids as the model was trained on them (a source's end token included, if it was). For a decoder-only
    model they are prompts, and the answer is what follows. An empty input has one empty answer of score 0. UserError
    names the first input that holds an unknown id or is longer than the model's positions.

    Several models are decoded as one (see `ensemble`). `wanted` is what each input asks of its own answer. A model over
    pictures needs a `reader`, which makes what it reads of some inputs: an input is then one number, a picture's.
    """
    answers: list[Answers] = [[] for _ in inputs]
    for number, found in decode_stream(model, inputs, options, choices, wanted, reader=reader):
        answers[number] = found
    return answers


def decode_stream(
    model: Model | Sequence[Model],
    inputs: Sequence[Sequence[int]],
    options: Options | None = None,
    choices: Choices | None = None,
    wanted: Sequence[Wanted | None] | None = None,
    watched: bool = False,
    reader: Reader | None = None,
) -> Iterator[tuple[int, Answers]]:
    """The same, one (number of the input, hypotheses) at a time, as they finish. The longest inputs come first.
    `watched`: after each step, also the likeliest hypothesis so far of every unfinished input.

    On a CPU with several threads, batches are decoded side by side, each on one thread; they hold no more rows than
    give every thread some. A lone batch of few hypotheses takes one thread: its products are too small to share.
    """
    options = options or Options()
    decoded = as_one(model, options, choices, reader)
    demands = _checked(decoded, inputs, wanted)
    numbers = []
    for number, ids in enumerate(inputs):
        if len(ids) or decoded.prompted:
            numbers.append(number)
        else:
            yield number, [Hypothesis([], 0.0, True, [] if options.logprobs else None)]
    numbers.sort(key=lambda number: -len(inputs[number]))
    threads = torch.get_num_threads() if decoded.device.type == "cpu" else 1
    size = min(options.batch, max(FEW_ROWS, math.ceil(len(numbers) / threads)))
    batches = [numbers[begin : begin + size] for begin in range(0, len(numbers), size)]
    apart = threads > 1 and (len(batches) > 1 or len(numbers) * options.slots < FEW_HYPOTHESES)

    def work(some: list[int], stopped: Stopped) -> Iterator[tuple[int, Answers]]:
        return _batch(decoded, some, [inputs[number] for number in some], demands, stopped, watched)

    with products.threads(1 if apart else threads), modes_kept(decoded):
        if apart:
            yield from side_by_side(work, batches, threads)
        else:
            for some in batches:
                yield from work(some, lambda: False)


def watch(
    model: Model | Sequence[Model],
    ids: Sequence[int],
    options: Options | None = None,
    choices: Choices | None = None,
    wanted: Wanted | None = None,
) -> Iterator[Hypothesis]:
    """The likeliest hypothesis so far after each step, and at last the answer to one input.

    What is under way is scored by its log-probability, without a length penalty. A beam changes its mind: a later
    hypothesis need not begin like an earlier one, nor the answer like the last of them.
    """
    for _, found in decode_stream(model, [ids], options, choices, None if wanted is None else [wanted], watched=True):
        yield found[0]


def as_one(
    models: Model | Sequence[Model], options: Options, choices: Choices | None = None, reader: Reader | None = None
) -> Decoded | Together:
    """What of a model, or of several together, is decoded."""
    if isinstance(models, Model):
        return Decoded(models, options, choices, reader)
    return Together([Decoded(model, options, choices, reader) for model in models])


@contextmanager
def modes_kept(decoded: Decoded | Together) -> Iterator[None]:
    """In the end, the models are in training or not, as they were."""
    models = [part.model for part in decoded.parts]
    training = [model.training for model in models]
    try:
        yield
    finally:
        for model, mode in zip(models, training, strict=True):
            model.train(mode)


def _checked(
    decoded: Decoded | Together, inputs: Sequence[Sequence[int]], wanted: Sequence[Wanted | None] | None
) -> Demands | None:
    """What the inputs ask of their answers (None: nothing); UserError for the first input that cannot be answered."""
    for number, ids in enumerate(inputs):
        decoded.check(number, ids)
    if wanted is None and not decoded.options.constrained:
        return None
    longest = [decoded.longest(len(ids)) if len(ids) or decoded.prompted else 0 for ids in inputs]
    return Demands(decoded.options, decoded.vocab, longest, wanted)


class Decoded:
    """What of a model is decoded: the stream its next-token head reads, and the one other stream it attends to."""

    def __init__(
        self, model: Model, options: Options, choices: Choices | None = None, reader: Reader | None = None
    ) -> None:
        self.reader = reader
        self.model, self.options, self.choices = model, options, choices
        self.parts = [self]
        self.head = self._head()
        self.stream, self.vocab = self.head.streams[0], self.head.outputs
        others = {
            attend.stream
            for step in model.plan.steps
            if isinstance(step, Step)
            for block in step.blocks
            for attend in block.attends
            if block.stream == self.stream and attend.stream != self.stream
        }
        if len(others) > 1:
            raise UserError(f"decoding over {len(others)} other streams ({', '.join(sorted(others))}) is not built")
        self.source = others.pop() if others else None
        self.device = next(model.parameters()).device
        self.prompted = self.source is None and options.start is not None
        embedding = model.plan.stream(self.source or self.stream).embedding
        self.reads = embedding if isinstance(embedding, Tokens) else None
        assert (self.reads is None) == (reader is not None), "what is not tokens needs a reader, and nothing else does"
        self._check_ids()

    def _head(self) -> Head:
        for head in self.model.plan.heads:
            if head.name == "next_token" and head.reads == "tokens":
                return head
        raise UserError("this model has no next_token head, so it cannot be decoded")

    def _check_ids(self) -> None:
        options, vocab = self.options, self.vocab
        if self.source is not None and options.start is None:
            raise UserError("start = None; a decoder over a source needs a first token")
        named = (options.start, options.end, options.forced_first, options.forced_last)
        banned = (*options.banned, *options.restricted, *(t for phrase in options.banned_phrases for t in phrase))
        for token in (*(t for t in named if t is not None), *banned, *options.logit_bias):
            if not 0 <= token < vocab:
                raise UserError(f"token id {token} in the decoding options; the model's vocabulary has {vocab}")

    def check(self, number: int, ids: Sequence[int]) -> None:
        """UserError if an input cannot be read by the model, or no answer to it is as long as it should be."""
        if self.reads is not None:
            self._check_tokens(number, ids, self.reads)
        least, most = self.options.min_length, self.longest(len(ids))
        if least > most and (len(ids) or self.prompted):
            raise UserError(f"input {number}: min_length = {least}, and its longest answer has {most} tokens")

    def _check_tokens(self, number: int, ids: Sequence[int], reads: Tokens) -> None:
        room = 1 if self.prompted else 0
        if reads.positions == "learned" and len(ids) + room > reads.capacity:
            most = reads.capacity
            raise UserError(f"input {number} has {len(ids)} tokens; this model has {most} positions: shorten it")
        if len(ids) and not 0 <= min(ids) <= max(ids) < reads.vocab:
            raise UserError(f"input {number} holds a token id outside 0 to {reads.vocab - 1}")

    def longest(self, tokens: int) -> int:
        """The most tokens of an answer, which learned positions may limit further."""
        most = self.options.longest(tokens)
        embedding = self.model.plan.stream(self.stream).embedding
        if isinstance(embedding, Tokens) and embedding.positions == "learned":
            # The last token of an answer is never read, so it needs no position.
            read = tokens + self.prompted if self.source is None else 1
            most = min(most, max(1, embedding.capacity - read + 1))
        return most

    def evaluate(self) -> None:
        """No dropout, also where another stream over this model has ended and given it its training mode back."""
        if self.model.training:
            self.model.eval()

    def packed(self, rows: Sequence[Sequence[int]]) -> TokenInput:
        """Rows of ids as a model's input."""
        lengths = np.array([len(row) for row in rows], np.int64)
        ids = torch.tensor([token for row in rows for token in row], dtype=torch.long, device=self.device)
        return TokenInput(ids, Layout.packed(lengths, self.device))

    def begin(self, rows: Sequence[Sequence[int]]) -> tuple[Stepper, Tensor]:
        """A stepper ready to go on, and the logits [rows, vocab] of the first token of every row."""
        start = self.options.start
        if self.source is not None:
            assert start is not None
            given = self.packed(rows) if self.reader is None else self.reader(rows)
            states, layouts = self.model.encode({self.source: given})
            steps = stepper(self.model, self.head, len(rows), states, layouts, self.choices)
            return steps, steps.step(torch.full((len(rows),), start, device=self.device))
        if start is not None:
            rows = [[start, *row] for row in rows]
        steps = stepper(self.model, self.head, len(rows), {}, {}, self.choices)
        return steps, steps.prefill(self.packed(rows))


def _batch(
    decoded: Decoded | Together,
    numbers: list[int],
    inputs: list[Sequence[int]],
    demands: Demands | None,
    stopped: Stopped,
    watched: bool,
) -> Iterator[tuple[int, Answers]]:
    options = decoded.options
    rows = [Row(number, decoded.longest(len(ids)), _own_seed(ids)) for number, ids in zip(numbers, inputs, strict=True)]
    limits = Limits(options, decoded.vocab, decoded.device)
    constraints = None if demands is None else demands.constraints(numbers)
    # Inference mode must not stay on while the caller has the answers of a half-finished batch.
    with torch.inference_mode():
        decoded.evaluate()
        steps, logits = decoded.begin(inputs)
        finding = search(rows, options, constraints)
    gone: set[int] = set()
    length = 1
    while not stopped():
        with torch.inference_mode():
            logits, logprobs = limits.apply(logits, length, [row.longest for row in rows])
            if constraints is not None:
                constraints.apply(logits, logprobs, length)
            choice = finding.choose(logits, logprobs, length)
            if constraints is not None:
                constraints.follow(choice.tokens, choice.parents, choice.finished)
            new = [row for row in choice.finished if row not in gone]
            found = [(rows[row].number, finding.answers(row)) for row in new]
            gone.update(new)
            if watched:
                found += [(row.number, [finding.so_far(at)]) for at, row in enumerate(rows) if at not in gone]
            tokens, parents = choice.tokens, choice.parents
            if gone and len(gone) < len(rows) and _worth_leaving(len(gone), len(rows)):
                stay = [row for row in range(len(rows)) if row not in gone]
                rows = [rows[row] for row in stay]
                tokens, parents = _leave(stay, tokens, parents, options.slots, steps, finding)
                if constraints is not None:
                    constraints.keep(stay)
                gone.clear()
            if len(gone) < len(rows):
                decoded.evaluate()
                if length == 1 and options.slots > 1:
                    steps.fork(options.slots)
                    parents = None  # there was one hypothesis to descend from
                logits = steps.step(tokens, parents)
        yield from found
        if len(gone) == len(rows):
            return
        length += 1


def _own_seed(ids: Sequence[int]) -> int:
    """What an input draws its samples by, beside the seed: the same wherever and whenever it comes."""
    return xxhash.xxh3_64_intdigest(np.asarray(ids, "<i8").tobytes())


def _worth_leaving(gone: int, rows: int) -> bool:
    """Leaving copies the cache of those who stay; a few finished rows are cheaper to carry along."""
    return gone * 8 >= rows


def _leave(
    stay: list[int], tokens: Tensor, parents: Tensor | None, slots: int, steps: Stepper, finding: Search
) -> tuple[Tensor, Tensor | None]:
    kept = torch.tensor(stay, device=tokens.device)
    steps.keep(kept)
    finding.keep(stay)
    return tokens.view(-1, slots)[kept].flatten(), None if parents is None else parents[kept]


class Limits:
    """What the options change in the model's numbers: biases, banned and forced tokens."""

    def __init__(self, options: Options, vocab: int, device: torch.device) -> None:
        self.options = options
        self.bias: Tensor | None = None
        # A beam asks for log-probabilities only; they take the logits' place, since new memory costs more than sums.
        self.both = options.sampling is not None or options.beam == 1
        if options.logit_bias:
            self.bias = torch.zeros(vocab, device=device)
            self.bias[list(options.logit_bias)] = torch.tensor(list(options.logit_bias.values()), device=device)

    def apply(self, logits: Tensor, length: int, longest: list[int]) -> tuple[Tensor, Tensor]:
        """Logits and log-probabilities of token number `length`, where row i's answer has at most `longest[i]`.

        Under a beam both are one tensor, of log-probabilities.
        """
        options = self.options
        logits = logits.float()
        if self.bias is not None:
            logits = logits + self.bias
        logprobs = torch.log_softmax(logits, -1) if self.both else torch.log_softmax(logits, -1, out=logits)
        banned = list(options.banned)
        if options.end is not None and length < options.min_length:
            banned.append(options.end)
        if banned:
            for scores in (logits, logprobs):
                scores[:, banned] = -math.inf
        if options.forced_first is not None and length == 1:
            _force(logits, logprobs, slice(None), options.forced_first)
        if options.forced_last is not None:
            last = [row for row, most in enumerate(longest) if length == most]
            if last:
                slots = logits.shape[0] // len(longest)
                wanted = torch.tensor(last, device=logits.device)[:, None] * slots
                wanted = (wanted + torch.arange(slots, device=logits.device)).flatten()
                _force(logits, logprobs, wanted, options.forced_last)
        return logits, logprobs


def _force(logits: Tensor, logprobs: Tensor, rows: Tensor | slice, token: int) -> None:
    for scores in (logits, logprobs):
        scores[rows] = -math.inf
        scores[rows, token] = 0.0
