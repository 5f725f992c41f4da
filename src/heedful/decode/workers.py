"""Parts of a work side by side, one thread each.

A decoding step is many small products with a wait between any two: two batches on a thread each finish far sooner than
one after the other on two threads. What a part gives does not depend on how many workers there are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import SimpleQueue
from typing import Generic, TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")


class _Ended(Generic[Result]):
    """A worker's last word: what went wrong, if anything did."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def side_by_side(work: Callable[[Part], Iterable[Result]], parts: Sequence[Part], workers: int) -> Iterator[Result]:
    """What `work` yields for every part, as it comes; parts are begun in order, `workers` of them at a time.

    Each worker computes on one thread of torch's. What `work` raises is raised here, after all workers have ended; if
    the caller stops early they end when they next have a result.
    """
    results: SimpleQueue[Result | _Ended[Result]] = SimpleQueue()
    waiting, lock, stop = iter(parts), threading.Lock(), threading.Event()

    def take() -> Iterator[Part]:
        while not stop.is_set():
            with lock:
                part = next(waiting, stop)
            if part is stop:
                return
            yield part  # type: ignore[misc]

    def run() -> None:
        error: BaseException | None = None
        try:
            torch.set_num_threads(1)  # of this thread
            for part in take():
                for result in work(part):
                    results.put(result)
                    if stop.is_set():
                        return
        except BaseException as caught:  # whatever it is, the caller is to have it
            error = caught
            stop.set()
        finally:
            results.put(_Ended(error))

    mine = torch.get_num_threads()
    threads = [threading.Thread(target=run, name=f"heedful-decode-{n}") for n in range(min(workers, len(parts)))]
    for thread in threads:
        thread.start()
    failed: BaseException | None = None
    running = len(threads)
    try:
        while running:
            result = results.get()
            if isinstance(result, _Ended):
                running -= 1
                failed = failed or result.error
            else:
                yield result
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        torch.set_num_threads(mine)  # what threads begun from now on take as theirs
    if failed is not None:
        raise failed
