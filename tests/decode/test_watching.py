"""What `watch` tells of a decoding under way, and that it ends in the answer."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch

from heedful.decode import Hypothesis, Options, Sampling, Wanted, decode, watch
from heedful.model.model import Model

from .peers import continuer, sources, translator

SEARCHES: list[dict[str, Any]] = [{}, {"beam": 4}, {"beam": 3, "length_penalty": "hf"}, {"sampling": Sampling(seed=2)}]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("search", SEARCHES, ids=str)
@pytest.mark.parametrize("model", [translator(seed=3), continuer(seed=3)], ids=["translator", "continuer"])
def test_every_step_and_then_the_answer(model: Model, search: dict[str, Any], threads: int) -> None:
    torch.set_num_threads(threads)
    options = Options(max_extra=6, logprobs=True, **search)
    for source in sources(6, seed=1):
        *steps, last = watch(model, source, options)
        assert last == decode(model, [source], options)[0][0]
        assert [len(step.ids) for step in steps] == list(range(1, len(steps) + 1))
        assert not any(step.finished for step in steps)
        assert all(step.score == pytest.approx(sum(step.logprobs or ())) for step in steps)
        if options.beam == 1:
            whole = [*last.ids, options.end]
            assert all(step.ids == whole[: len(step.ids)] for step in steps)
            assert len(steps) == len(last.ids) - (not last.finished)


def test_one_who_stops_watching_leaves_nothing_running() -> None:
    torch.set_num_threads(2)
    model = translator(seed=3).train()
    watching = watch(model, [5, 6, 7], Options(beam=2, end=None))
    next(watching)
    watching.close()
    assert model.training
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("heedful-decode")]


def test_nothing_to_watch() -> None:
    assert list(watch(translator(), [])) == [Hypothesis([], 0.0)]
    prefix = Wanted(prefix=(5, 6, 7))
    steps = list(watch(translator(), [8], Options(beam=2), wanted=prefix))
    assert [step.ids for step in steps[:3]] == [[5], [5, 6], [5, 6, 7]]
