"""Batches side by side give what they give one by one, and leave nothing running behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from heedful.decode import Options, Sampling, decode, decode_stream, engine
from heedful.decode.workers import Stopped, side_by_side
from heedful.model import hardware, products
from heedful.model.hardware import Choices
from heedful.model.products import KINDS

from .peers import sources, translator


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def workers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("heedful-decode")]


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("kind", [*KINDS, "general"])
@pytest.mark.parametrize(
    "options", [Options(batch=4), Options(beam=3, best=2, batch=4), Options(sampling=Sampling(seed=1), best=2, batch=4)]
)
def test_side_by_side_is_one_by_one(options: Options, kind: Any) -> None:
    """Ids, and scores to the bit: every batch is computed on one thread either way."""
    model, given = translator(seed=4), sources(40, seed=5)
    if kind == "general":
        model.double()  # is not lowered
    choices = None if kind == "general" else Choices(row=kind, step=kind)
    together = decode(model, given, options, choices)
    torch.set_num_threads(1)
    assert decode(model, given, options, choices) == together


@pytest.mark.usefixtures("two_threads")
def test_every_thread_has_some_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty rows for two threads are two batches of twenty, not one of forty; four rows are one batch."""
    seen: list[int] = []
    given = engine.side_by_side
    monkeypatch.setattr(
        engine, "side_by_side", lambda work, parts, n: (seen.extend(map(len, parts)), given(work, parts, n))[1]
    )
    decode(translator(), sources(40), Options(batch=64))
    assert seen == [20, 20]
    decode(translator(), sources(4), Options(batch=64))
    assert seen[2:] == [4]


@pytest.mark.usefixtures("two_threads")
def test_numpys_threads_are_as_before() -> None:
    if not products.numpy_is_ours():
        pytest.skip("NumPy's BLAS cannot be told how many threads to use")
    read = products._openblas()[0]  # type: ignore[index]
    with products.threads(2):
        decode(translator(), sources(9), Options(batch=4), Choices(row="numpy", step="numpy"))
        assert read() == 2
        hardware.probe()
        assert read() == 2


@pytest.mark.usefixtures("two_threads")
def test_a_model_in_training_is_evaluated_and_given_back() -> None:
    """Also while two streams over it overlap: dropout in neither."""
    model, given = translator(seed=2, dropout=0.5), sources(12)
    torch.set_num_threads(1)
    expected = decode(model, given, Options(batch=4))
    model.train()
    first = decode_stream(model, given, Options(batch=4))
    next(first)
    second = decode_stream(model, given, Options(batch=4))
    found = dict([next(second)])
    list(first)  # ends, and gives the model its mode back
    found |= dict(second)
    assert [found[number] for number in range(12)] == expected
    model.train()
    decode(model, given, Options(batch=4))
    assert model.training


@pytest.mark.usefixtures("two_threads")
def test_whoever_stops_early_leaves_no_thread() -> None:
    stream = decode_stream(translator(), sources(200), Options(batch=4))
    next(stream)
    assert workers()
    stream.close()
    assert not workers()
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_each_part_is_done_once_and_on_one_thread() -> None:
    def work(part: int, stopped: Stopped) -> Iterator[tuple[int, int, int]]:
        time.sleep(0.01)
        for number in range(part):
            yield part, number, torch.get_num_threads()

    found = list(side_by_side(work, range(12), 3))
    assert sorted(found) == [(part, number, 1) for part in range(12) for number in range(part)]
    assert torch.get_num_threads() == 2
    assert list(side_by_side(work, [], 3)) == []


def test_what_goes_wrong_in_a_worker_is_told() -> None:
    def work(part: int, stopped: Stopped) -> Iterator[int]:
        yield part
        if part == 1:
            raise RuntimeError("part 1 went wrong")
        while not stopped():  # the others end because of it
            time.sleep(0.001)

    with pytest.raises(RuntimeError, match="part 1 went wrong"):
        list(side_by_side(work, range(1000), 2))
    assert not workers()


@pytest.mark.skipif(os.name != "posix", reason="signals are sent the Unix way")
def test_a_second_ctrl_c_waits_for_the_workers_too() -> None:
    """Or they would still compute while Python ends, which aborts the process."""
    ended: list[int] = []

    def work(part: int, stopped: Stopped) -> Iterator[int]:
        yield part
        time.sleep(0.6)  # a step that takes long
        ended.append(part)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # also where tests run in the background
    try:
        for delay in (0.2, 0.4):
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            list(side_by_side(work, range(2), 2))
    finally:
        signal.signal(signal.SIGINT, before)
    assert sorted(ended) == [0, 1]
