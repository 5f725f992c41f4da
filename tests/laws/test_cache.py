"""Step by step with a cache, for one hypothesis or many, equals the whole sequence at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from heedful.decode import Options, decode
from heedful.model.cache import Cache
from heedful.model.embeddings import TokenInput
from heedful.model.layout import Layout
from heedful.model.model import Model

from . import cases
from .closeness import assert_close

KERNELS = pytest.mark.parametrize("which", ["explicit", "fused"])
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
DECODABLE = pytest.mark.parametrize("name", cases.names(cases.decodable))
LENGTHS = [5, 1, 8]


def encoded(model: Model, stream: str, rows: cases.Rows, dtype: torch.dtype) -> tuple[dict, dict]:
    """States and layouts of the streams other than `stream`."""
    others = {other: some for other, some in rows.items() if other != stream}
    return model.encode(cases.packed(others, dtype)) if others else ({}, {})


def at_once(model: Model, stream: str, told: list[list[int]], states: dict, layouts: dict) -> list[Tensor]:
    """States [length, width] of each row of ids `told` over finished other streams, in one pass."""
    lengths = [len(row) for row in told]
    layout = Layout.packed(np.array(lengths))
    first = model.streams[stream].embedding(TokenInput(torch.tensor([i for row in told for i in row]), layout))
    # The other streams are finished: only the steps of this one may run.
    now, every = {**states, stream: first}, {**layouts, stream: layout}
    for number, step in enumerate(model.plan.steps):
        names = {block.stream for block in step.blocks} if hasattr(step, "blocks") else {step.stream}
        if names == {stream}:
            now = model.run(now, every, first=number, last=number + 1)
    return list(now[stream].split(lengths))


@DECODABLE
@KERNELS
@DTYPES
def test_one_hypothesis(name: str, which: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    cases.kernel(monkeypatch, which)
    made, model = cases.PLANS[name], cases.model_of(name, dtype)
    for stream in cases.decodable(made):
        rows = cases.draw(made, LENGTHS)
        ids = torch.randint(0, made.stream(stream).embedding.vocab, (len(LENGTHS), 9))
        with torch.inference_mode():
            states, layouts = encoded(model, stream, rows, dtype)
            cache = Cache(len(LENGTHS))
            model.settle(stream, states, layouts, cache)
            steps = []
            for position in range(ids.shape[1]):
                cache.grow()
                steps.append(model.step(stream, ids[:, position], cache))
            whole = torch.stack(at_once(model, stream, ids.tolist(), states, layouts))
        assert_close("cached == full", torch.stack(steps, 1), whole)


class Told:
    """A random search written down plainly: the ids of every hypothesis [row][slot], and which rows are left."""

    def __init__(self, model: Model, stream: str, rows: cases.Rows, dtype: torch.dtype) -> None:
        self.model, self.stream, self.rows, self.dtype = model, stream, rows, dtype
        self.rng = np.random.default_rng(3)
        self.alive = list(range(len(rows[stream])))
        self.ids: list[list[list[int]]] = [[[]] for _ in self.alive]

    def prompt(self, ids: list[list[int]]) -> None:
        self.ids = [[list(row)] for row in ids]

    def fork(self, slots: int) -> None:
        self.ids = [[list(row[0]) for _ in range(slots)] for row in self.ids]

    def step(self, cache: Cache, with_parents: bool) -> None:
        """Grow with random parents, say a random token, and compare with the whole of every hypothesis at once."""
        slots, vocab = len(self.ids[0]), self.model.plan.stream(self.stream).embedding.vocab
        parents = np.tile(np.arange(slots), (len(self.alive), 1))
        if with_parents:
            parents = self.rng.integers(0, slots, parents.shape)
        cache.grow(torch.from_numpy(parents) if with_parents else None)
        new = self.rng.integers(0, vocab, parents.shape)
        self.ids = [
            [[*row[parent], int(one)] for parent, one in zip(parents[i], new[i], strict=True)]
            for i, row in enumerate(self.ids)
        ]
        found = self.model.step(self.stream, torch.from_numpy(new.reshape(-1)), cache)
        whole = torch.stack([states[-1] for states in self.at_once()])
        assert_close("cached == full, many hypotheses", found, whole)

    def at_once(self) -> list[Tensor]:
        """States of every hypothesis, each a row of its own over its own other streams."""
        repeated = {s: [some[row] for row in self.alive for _ in self.ids[0]] for s, some in self.rows.items()}
        states, layouts = encoded(self.model, self.stream, repeated, self.dtype)
        return at_once(self.model, self.stream, [one for row in self.ids for one in row], states, layouts)

    def keep(self, cache: Cache, stay: list[int]) -> None:
        cache.keep(torch.tensor(stay))
        self.alive, self.ids = [self.alive[row] for row in stay], [self.ids[row] for row in stay]


@DECODABLE
@KERNELS
@DTYPES
def test_many_hypotheses(name: str, which: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random parents at each step, and rows that leave: every hypothesis sees its own ancestors and nothing else."""
    cases.kernel(monkeypatch, which)
    made, model, slots = cases.PLANS[name], cases.model_of(name, dtype), 3
    for stream in cases.decodable(made):
        told = Told(model, stream, cases.draw(made, LENGTHS), dtype)
        told.fork(slots)
        with torch.inference_mode():
            cache = Cache(len(LENGTHS), slots)
            model.settle(stream, *encoded(model, stream, told.rows, dtype), cache)
            for position in range(6):
                told.step(cache, with_parents=position > 0)
                if position == 3:
                    told.keep(cache, [2, 0])


@DECODABLE
@KERNELS
@pytest.mark.parametrize("lengths", [[3, 0, 5], [4, 4, 4]], ids=["uneven", "even"])
def test_prompts(name: str, which: str, lengths: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt that fills the cache in one pass, then one hypothesis, then many of each row."""
    cases.kernel(monkeypatch, which)
    made, model = cases.PLANS[name], cases.model_of(name)
    for stream in cases.decodable(made):
        told = Told(model, stream, cases.draw(made, LENGTHS), torch.float32)
        told.prompt([told.rng.integers(0, 9, length).tolist() for length in lengths])
        prompt = TokenInput(torch.tensor([i for (row,) in told.ids for i in row]), Layout.packed(np.array(lengths)))
        with torch.inference_mode():
            states, layouts = encoded(model, stream, told.rows, torch.float32)
            cache = Cache(len(lengths))
            model.settle(stream, states, layouts, cache)
            filled = model.prefill(stream, prompt, states, layouts, cache)
            assert_close("prompt == full", filled, torch.cat(told.at_once()))
            told.step(cache, with_parents=False)
            cache.fork(3)
            told.fork(3)
            for position in range(4):
                told.step(cache, with_parents=position > 0)
                if position == 1:
                    told.keep(cache, [2, 1])


@DECODABLE
def test_past_the_room_that_was_kept(name: str) -> None:
    """More steps than a cache first has room for."""
    made, model = cases.PLANS[name], cases.model_of(name)
    stream = cases.decodable(made)[0]
    rows = cases.draw(made, [4])
    ids = torch.randint(0, made.stream(stream).embedding.vocab, (1, 40))
    with torch.inference_mode():
        states, layouts = encoded(model, stream, rows, torch.float32)
        cache = Cache(1)
        model.settle(stream, states, layouts, cache)
        for position in range(40):
            cache.grow()
            last = model.step(stream, ids[:, position], cache)
        (whole,) = at_once(model, stream, ids.tolist(), states, layouts)
    assert_close("cached == full, long", last, whole[-1:])


@pytest.mark.parametrize("name", cases.names(lambda made: cases.decodable(made) and cases.crossings(made)))
def test_a_source_without_tokens(name: str) -> None:
    """A row whose other stream is empty decodes as it does in one pass, and disturbs no other row."""
    made, model = cases.PLANS[name], cases.model_of(name)
    (stream,) = cases.decodable(made)
    for lengths in ([3, 0, 5, 0], [0, 0]):
        rows = cases.draw(made, {s.name: [4] * len(lengths) if s.name == stream else lengths for s in made.streams})
        ids = torch.randint(0, made.stream(stream).embedding.vocab, (len(lengths), 4))
        with torch.inference_mode():
            states, layouts = encoded(model, stream, rows, torch.float32)
            cache = Cache(len(lengths), 1)
            model.settle(stream, states, layouts, cache)
            steps = []
            for position in range(4):
                cache.grow()
                steps.append(model.step(stream, ids[:, position], cache))
            whole = torch.stack(at_once(model, stream, ids.tolist(), states, layouts))
        assert_close("cached == full, empty source", torch.stack(steps, 1), whole)


@pytest.mark.parametrize("name", cases.names(lambda made: cases.decodable(made)))
def test_greedy_is_an_uncached_arg_max_loop(name: str) -> None:
    """Token for token."""
    made, model = cases.PLANS[name], cases.model_of(name)
    head = next(head for head in made.heads if head.reads == "tokens")
    stream = head.streams[0]
    vocab, rows = made.stream(stream).embedding.vocab, cases.draw(made, LENGTHS)
    with torch.inference_mode():
        states, layouts = encoded(model, stream, rows, torch.float32)
        cache = Cache(len(LENGTHS))
        model.settle(stream, states, layouts, cache)
        ids = torch.full((len(LENGTHS), 1), 1 % vocab)
        for _ in range(7):
            cache.grow()
            last = model.step(stream, ids[:, -1], cache)
            cached = model.logits(head.name, {stream: last}, {}).argmax(-1)
            whole = torch.stack([row[-1] for row in at_once(model, stream, ids.tolist(), states, layouts)])
            assert torch.equal(cached, model.logits(head.name, {stream: whole}, {}).argmax(-1))
            ids = torch.cat([ids, cached[:, None]], 1)
    others = {attended for at, attended in cases.crossings(made) if at.startswith(f"{stream}.")}
    plain = all("ids" in row and "segments" not in row for other in others for row in rows[other])
    if head.name == "next_token" and len(others) < 2 and plain:  # what the engine decodes, lowered where it can be
        inputs = [row["ids"].tolist() for other in others for row in rows[other]] or [[]] * len(LENGTHS)
        options = Options(start=1 % vocab, end=None, max_ratio=0.0, max_extra=7)
        answers = [answer.ids for (answer,) in decode(model, inputs, options)]
        assert answers == ids[:, 1:].tolist()
