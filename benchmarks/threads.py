"""Decoding on all of a machine's cores: batches side by side against batches one after the other, wall clock.

    python benchmarks/threads.py [--rounds 3]

Random weights, 64 sentences of 5 to 40 tokens (16 one by one). "one thread" is one after the other; "shared" lets all
threads share torch's products of each step; "side by side" is what heedful does. Ratios of wall time, in turn in one
process, best of the rounds, on a machine left alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from decoding import SHAPES, build, sentences
from mappings import marian
from record import write

from heedful.decode import Options, decode, engine
from heedful.model import hardware

Work = Callable[[], object]


def _in_turn(work: Callable[[Any, Callable[[], bool]], Iterator[Any]], parts: Sequence[Any], _: int) -> Iterator[Any]:
    for part in parts:
        yield from work(part, lambda: False)


def one_after_the_other(work: Work, threads: int) -> None:
    """As if there were one worker, with `threads` to share each product."""
    torch.set_num_threads(threads)
    given, engine.side_by_side = engine.side_by_side, _in_turn
    try:
        work()
    finally:
        engine.side_by_side = given


def side_by_side(work: Work, threads: int) -> None:
    torch.set_num_threads(threads)
    work()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    threads = hardware.available_threads()[0]
    choices = hardware.probe()
    ways: dict[str, Callable[[Work], None]] = {
        "one thread": lambda work: one_after_the_other(work, 1),
        "shared": lambda work: one_after_the_other(work, threads),
        "side by side": lambda work: side_by_side(work, threads),
    }
    figures = []
    for name in SHAPES:
        model = build(name, ends=False)
        ours, start = marian(model), model.config.decoder_start_token_id
        for batch, beam in ((1, 1), (1, 4), (32, 1), (32, 4)):
            rows = sentences(SHAPES[name][-1], 16 if batch == 1 else 64)
            options = Options(beam=beam, start=start, end=0, max_ratio=1.0, max_extra=0, batch=batch)
            work = partial(decode, ours, rows, options, choices)
            work()
            best = dict.fromkeys(ways, float("inf"))
            for _ in range(rounds):
                for way, run in ways.items():
                    began = time.perf_counter()
                    run(work)
                    best[way] = min(best[way], time.perf_counter() - began)
            ratios = {way: round(best["one thread"] / seconds, 2) for way, seconds in best.items()}
            figures.append({"model": name, "batch": batch, "beam": beam, "threads": threads, "speed": ratios})
            print(name, f"batch {batch:2} beam {beam}:", ratios, flush=True)
    print(write("threads", {"figures": figures}))


if __name__ == "__main__":
    main()
