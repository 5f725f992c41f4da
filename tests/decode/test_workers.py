"""Batches side by side give what they give one by one, and leave nothing running behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from heedful.decode import Options, Sampling, decode, decode_stream
from heedful.decode.workers import side_by_side

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
@pytest.mark.parametrize(
    "options", [Options(batch=3), Options(beam=3, best=2, batch=3), Options(sampling=Sampling(seed=1), best=2, batch=3)]
)
def test_side_by_side_is_one_by_one(options: Options) -> None:
    """Ids, and scores to the bit: every batch is computed on one thread either way."""
    model, given = translator(seed=4), sources(40, seed=5)
    together = decode(model, given, options)
    torch.set_num_threads(1)
    assert decode(model, given, options) == together


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
    def work(part: int) -> Iterator[tuple[int, int, int]]:
        time.sleep(0.01)
        for number in range(part):
            yield part, number, torch.get_num_threads()

    found = list(side_by_side(work, range(12), 3))
    assert sorted(found) == [(part, number, 1) for part in range(12) for number in range(part)]
    assert torch.get_num_threads() == 2
    assert list(side_by_side(work, [], 3)) == []


def test_what_goes_wrong_in_a_worker_is_told() -> None:
    def work(part: int) -> Iterator[int]:
        yield part
        if part == 1:
            raise RuntimeError("part 1 went wrong")
        time.sleep(0.01)

    with pytest.raises(RuntimeError, match="part 1 went wrong"):
        list(side_by_side(work, range(1000), 2))
    assert not workers()
