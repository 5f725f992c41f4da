"""How fast one caption finds its picture among many: python benchmarks/retrieval.py RUN [--pictures 10000].

Pictures are random pixels of the size the model reads; RUN is a finished run of `heedful train match` with alignment.
Measured, in CPU seconds of one thread, medians of a few: reading pictures into vectors, once; a caption against all
vectors, where none is looked at again; a caption and each picture by co-attention (all pairs), with both streams run
only from where they meet, and anew for every pair.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from record import write

from heedful.data.gallery import Gallery
from heedful.data.patches import boxes_of, rows_of
from heedful.tasks.match import load
from heedful.tasks.match.matcher import aligned


def seconds(work: Callable[[], object], times: int = 5) -> float:
    """CPU seconds, the median."""
    found = []
    for _ in range(times):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return statistics.median(found)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--met", type=int, default=512, help="of these, so many are met by all pairs")
    given = parser.parse_args()
    torch.set_num_threads(1)
    matcher = load(given.run)
    sight, count = matcher.sight, given.pictures
    pixels = np.random.default_rng(0).integers(0, 256, (count, *sight.size, 3), np.uint8)
    gallery = Gallery(sight, pixels, np.full(count, rows_of(sight.size, sight.edge)), boxes_of(sight.size, sight.edge))
    names = [str(number) for number in range(count)]
    read = seconds(lambda: matcher.gallery(gallery, names), 1)
    pictures = matcher.gallery(gallery, names)
    search = seconds(lambda: matcher.match(matcher.captions(["a red heart"]), pictures))
    text, met = matcher.captions(["a red heart"]).encoded, np.arange(given.met)
    from_meeting = seconds(lambda: aligned(matcher.model, text, pictures.encoded, met * 0, met), 3)
    some = Gallery(sight, pixels[met], gallery.lengths[met], gallery.boxes)

    def anew() -> None:
        again = matcher.gallery(some, names[: given.met])
        texts = matcher.captions(["a red heart"] * given.met)
        aligned(matcher.model, texts.encoded, again.encoded, met, met)

    figures = {
        "pictures read, a second": count / read,
        f"seconds of a search among {count}": search,
        "pairs met, a second": given.met / from_meeting,
        "pairs met anew, a second": given.met / seconds(anew, 3),
    }
    for name, value in figures.items():
        print(f"{name}: {value:,.4g}")
    write("retrieval", figures)


if __name__ == "__main__":
    main()
