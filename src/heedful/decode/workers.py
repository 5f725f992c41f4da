"""Parts of a work side by side, one thread each.

A decoding step is many small products with a wait between any two: two batches on a thread each finish sooner than one
after the other on two threads (`benchmarks/threads.py`). What a part gives does not depend on how many workers there
are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")
Stopped = Callable[[], bool]


class _Workers(Generic[Part, Result]):
    """What the threads share: the parts still to do, the results, and whether to stop."""

    def __init__(self, work: Callable[[Part, Stopped], Iterable[Result]], parts: Sequence[Part]) -> None:
        self.work, self.waiting = work, iter(parts)
        self.lock, self.stop = threading.Lock(), threading.Event()
        self.results: SimpleQueue[Any] = SimpleQueue()  # of Result, and of _Workers itself when one has ended
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            torch.set_num_threads(1)  # of this thread
            while not self.stop.is_set():
                with self.lock:
                    part = next(self.waiting, None)
                if part is None:
                    return
                for result in self.work(part, self.stop.is_set):
                    self.results.put(result)
        except BaseException as error:  # whatever it is, the caller is to have it
            self.error = self.error or error
            self.stop.set()
        finally:
            self.results.put(self)


def side_by_side(
    work: Callable[[Part, Stopped], Iterable[Result]], parts: Sequence[Part], workers: int
) -> Iterator[Result]:
    """What `work` yields for every part, as it comes; parts are begun in order, `workers` of them at a time.

    Each worker computes on one thread of torch's, and while they run, threads that others begin inherit that number.
    If the caller stops early, or `work` raises (which is raised here, after all workers have ended), the function that
    `work` is given turns true, and it should return.
    """
    shared = _Workers(work, parts)
    mine = torch.get_num_threads()
    threads: list[threading.Thread] = []
    running = 0
    try:
        for number in range(min(workers, len(parts))):
            thread = threading.Thread(target=shared.run, name=f"heedful-decode-{number}")
            thread.start()
            threads.append(thread)
            running += 1
        while running:
            result = shared.results.get()
            if result is shared:
                running -= 1
            else:
                yield result
    finally:
        shared.stop.set()
        # They end after the step they are at; another Ctrl-C could not be faster. Not by join(), which takes a thread
        # for ended if it is interrupted itself (CPython 3.11).
        while running:
            with suppress(KeyboardInterrupt):
                running -= shared.results.get() is shared
        for thread in threads:
            thread.join()
        torch.set_num_threads(mine)
    if shared.error is not None:
        raise shared.error
