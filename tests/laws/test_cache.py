"""Step by step with a cache, for one hypothesis or many, equals the whole sequence at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

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


def at_once(model: Model, stream: str, ids: Tensor, states: dict, layouts: dict) -> Tensor:
    """States [rows, length, width] of `ids` [rows, length] over finished other streams, in one pass."""
    layout = Layout.even(*ids.shape)
    first = model.streams[stream].embedding(TokenInput(ids.reshape(-1), layout))
    # The other streams are finished: only the steps of this one may run.
    now, every = {**states, stream: first}, {**layouts, stream: layout}
    for number, step in enumerate(model.plan.steps):
        names = {block.stream for block in step.blocks} if hasattr(step, "blocks") else {step.stream}
        if names == {stream}:
            now = model.run(now, every, first=number, last=number + 1)
    return now[stream].view(*ids.shape, -1)


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
            whole = at_once(model, stream, ids, states, layouts)
        assert_close("cached == full", torch.stack(steps, 1), whole)


@DECODABLE
@KERNELS
@DTYPES
def test_many_hypotheses(name: str, which: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random parents at each step, and rows that leave: every hypothesis sees its own ancestors and nothing else."""
    cases.kernel(monkeypatch, which)
    made, model = cases.PLANS[name], cases.model_of(name, dtype)
    rng, slots = np.random.default_rng(3), 3
    for stream in cases.decodable(made):
        rows = cases.draw(made, LENGTHS)
        vocab = made.stream(stream).embedding.vocab
        with torch.inference_mode():
            states, layouts = encoded(model, stream, rows, dtype)
            cache = Cache(len(LENGTHS), slots)
            model.settle(stream, states, layouts, cache)
            alive = np.arange(len(LENGTHS))
            told: list[list[list[int]]] = [[[] for _ in range(slots)] for _ in alive]
            for position in range(9):
                parents = rng.integers(0, slots, (len(alive), slots)) if position else None
                cache.grow(None if parents is None else torch.from_numpy(parents))
                ids = rng.integers(0, vocab, (len(alive), slots))
                for row in range(len(alive)):
                    before = [list(told[row][p]) for p in (range(slots) if parents is None else parents[row])]
                    told[row] = [[*ids_so_far, int(new)] for ids_so_far, new in zip(before, ids[row], strict=True)]
                found = model.step(stream, torch.from_numpy(ids.reshape(-1)), cache)
                wanted = hypotheses_at_once(model, stream, told, alive, rows, dtype)
                assert_close("cached == full, many hypotheses", found.view(wanted.shape), wanted)
                if position == 5:
                    stay = [2, 0]
                    cache.keep(torch.tensor(stay))
                    alive, told = alive[stay], [told[row] for row in stay]


def hypotheses_at_once(
    model: Model, stream: str, told: list[list[list[int]]], alive: np.ndarray, rows: cases.Rows, dtype: torch.dtype
) -> Tensor:
    """The last state [rows, slots, width] of every hypothesis, each a row of its own over its own other streams."""
    slots = len(told[0])
    repeated = {other: [some[row] for row in alive for _ in range(slots)] for other, some in rows.items()}
    states, layouts = encoded(model, stream, repeated, dtype)
    ids = torch.tensor([one for some in told for one in some])
    return at_once(model, stream, ids, states, layouts)[:, -1].view(len(told), slots, -1)


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
        whole = at_once(model, stream, ids, states, layouts)
    assert_close("cached == full, long", last, whole[:, -1])


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
            whole = at_once(model, stream, ids, states, layouts)
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
            whole = at_once(model, stream, ids, states, layouts)[:, -1]
            assert torch.equal(cached, model.logits(head.name, {stream: whole}, {}).argmax(-1))
            ids = torch.cat([ids, cached[:, None]], 1)
