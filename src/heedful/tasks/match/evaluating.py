"""Scores of matching: recall both ways among all pictures and all captions of a file."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from ...data.captioned import Captioned, read_captioned
from ...data.gallery import unique
from ...measure.retrieval import chance, first_right, retrieval
from ...model.model import Model
from ...page import render
from ...page.render import Section
from ..evaluated import Evaluated
from ..thumbnails import full_names, thumbnails
from .batches import Pairs
from .matcher import LOOKED, Encoded, Matcher, encode, ordered, ranked

Ids = npt.NDArray[np.int64]
QUICK = 1000  # pairs of a list that a validation ranks; without likeness every pair must be looked at, so fewer
SLOW = 50
SHOWN = 20  # captions of a page


class Miss(NamedTuple):
    """A caption whose right picture came as the `rank`-th, and the picture that came first."""

    caption: str
    right: str
    found: str
    rank: int


class Found(NamedTuple):
    """Recall and ranks in one pool of pictures and captions, both ways, and what chance would give."""

    name: str
    pictures: int
    captions: int
    to_picture: dict[str, float]
    to_caption: dict[str, float]
    chance: tuple[float, float]


def both_ways(model: Model, texts: Encoded, pictures: Encoded, looked: int = LOOKED) -> tuple[Ids, Ids]:
    """The pictures [captions, pictures] for every caption and the captions for every picture, best first."""
    return ordered(*ranked(model, texts, pictures, looked)), ordered(*ranked(model, pictures, texts, looked))


def judged(orders: tuple[Ids, Ids], groups: tuple[Ids, Ids], name: str) -> tuple[Found, Ids]:
    """How well the right ones were found, where `groups` of both say who belongs to whom; and each caption's rank."""
    right = groups[0][:, None] == groups[1][None, :]
    captions, pictures = right.shape
    ranks = first_right(orders[0], right), first_right(orders[1], right.T)
    by_chance = chance(pictures, right.sum(1).mean()), chance(captions, right.sum(0).mean())
    return Found(name, pictures, captions, *map(retrieval, ranks), by_chance), ranks[0]


@torch.no_grad()
def quick_recall(model: Model, pools: Sequence[Pairs]) -> float:
    """The mean of recall at 10 both ways, as a share, over lists of pairs; by likeness alone where there is a head."""
    found = []
    for pairs in pools:
        some = np.arange(min(len(pairs.part), QUICK if "likeness" in model.heads else SLOW))
        texts = encode(model, "text", [pairs.texts(some[first : first + 256]) for first in range(0, len(some), 256)])
        seen, first_of = np.unique(pairs.part.pictures[some], return_index=True)
        inputs = [pairs.gallery.input(seen[first : first + 256], pairs.device) for first in range(0, len(seen), 256)]
        groups = pairs.part.groups[some], pairs.part.groups[some[first_of]]
        pool, _ = judged(both_ways(model, texts, encode(model, "picture", inputs), 0), groups, "")
        found += [pool.to_picture["recall at 10"], pool.to_caption["recall at 10"]]
    return sum(found) / len(found) / 100


def found_in(
    matcher: Matcher, name: str, pairs: Sequence[Captioned], features: Path | None = None
) -> tuple[Found, list[Miss]]:
    """The search among the pictures and captions of some pairs, and the captions it did worst with."""
    each, numbers = unique([pair.picture for pair in pairs])
    known: dict[str, int] = {}
    groups = np.array([known.setdefault(pair.group, len(known)) for pair in pairs])
    first = np.unique(numbers, return_index=True)[1]
    shown = matcher.gallery(matcher.look(each, features), [one.name for one in each])
    texts = matcher.captions([pair.caption for pair in pairs])
    with torch.no_grad():
        orders = both_ways(matcher.model, texts.encoded, shown.encoded)
    found, ranks = judged(orders, (groups, groups[first]), name)
    names = full_names(each)
    worst = [
        Miss(pairs[query].caption, names[numbers[query]], names[orders[0][query, 0]], int(ranks[query]))
        for query in np.argsort(-ranks, kind="stable")[:SHOWN].tolist()
        if ranks[query] > 1
    ]
    return found, worst


def misses(pools: Sequence[list[Miss]]) -> list[Miss]:
    """The worst of several pools, in turn."""
    return [one for some in itertools.zip_longest(*pools) for one in some if one is not None][:SHOWN]


def sections(worst: Sequence[Miss]) -> list[Section]:
    """The captions that found their picture last, for a page."""
    if not worst:
        return []
    rows = [(one.caption, thumbnails([one.right]), thumbnails([one.found]), f"{one.rank:,}") for one in worst]
    table = render.table(("Caption", "Its picture", "Came first", "Rank"), rows, ("text", "text", "text", "number"))
    return [
        Section("What was found last", "Captions whose own picture came late, and the one that came first.", (table,))
    ]


def evaluate(matcher: Matcher, files: Sequence[Path], features: Path | None = None) -> Evaluated:
    """Recall at 1, 5 and 10 both ways for each file, and their means; `features` as in `Matcher.pictures`."""
    searched = [found_in(matcher, file.name, read_captioned(file, matcher.fields), features) for file in files]
    found = [one for one, _ in searched]
    return Evaluated(
        title="Pictures and texts that belong together",
        scored=" ".join(f"{one.name}: {one.captions:,} captions, {one.pictures:,} pictures." for one in found[:3])
        + (f" And {len(found) - 3} files more." if len(found) > 3 else ""),
        scores=rows(found),
        figures={"files": [one._asdict() for one in found], **means(found)},
        sections=sections(misses([worst for _, worst in searched])),
    )


def means(found: Sequence[Found]) -> dict[str, Any]:
    """The means of all files."""
    names = list(found[0].to_picture)
    return {
        way: {name: float(np.mean([getattr(one, way)[name] for one in found])) for name in names}
        for way in ("to_picture", "to_caption")
    } | {"chance": [float(np.mean([one.chance[way] for one in found])) for way in (0, 1)]}


def rows(found: Sequence[Found]) -> list[tuple[str, str, str]]:
    """Metric, score and note: the means, then recall at 10 of each file where there are several."""
    mean = means(found)
    lines = []
    for number, (way, of, called) in enumerate(
        (("to_picture", "pictures", "caption to picture"), ("to_caption", "captions", "picture to caption"))
    ):
        by_chance = mean["chance"][number]
        candidates = sorted({getattr(one, of) for one in found})
        among = f"{candidates[0]:,}" + (f" to {candidates[-1]:,}" if len(candidates) > 1 else "")
        for name, score in mean[way].items():
            note = f"among {among} {of}"
            if name == "recall at 10":
                note += f"; chance {by_chance:.1f}, so {score / by_chance:.1f} times"
            lines.append((f"{called}, {name}", f"{score:.1f}", note))
    if len(found) > 1:
        lines += [
            (f"{one.name}, recall at 10", f"{one.to_picture['recall at 10']:.1f}",
             f"caption to picture; picture to caption {one.to_caption['recall at 10']:.1f}")
            for one in found
        ]  # fmt: skip
    return lines
