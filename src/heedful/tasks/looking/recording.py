"""From a reading to a record: one probed pass over what was read and written, and everything that is made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from ...errors import UserError
from ...inside import alignment, measures
from ...inside.lens import lens
from ...inside.probing import Seen
from ...inside.record import Guess, Kind, Lens, Line, Record, Said, View
from ...inside.rollout import rollouts
from ...model.model import Model
from ...model.probe import Probe
from .kinds import attentions_of, kinds_of, patterns, renamed, thinned, wanted
from .passing import passed
from .reading import TOP, Lensed, Reading, Row

MOST_WEIGHTS = 200_000_000  # of all kinds together: 800 MB
MOST_LENS = 2e11  # multiplications of a lens: some ten seconds
BEST = 4  # heads that the best view is the mean of, at most one in eight


@dataclass(frozen=True)
class How:
    """What a record is to hold. `kinds` by name and `layers` from 1 (none: all); `weighted`: weights by what values
    add, too. `what_if` None: as far as it takes a few seconds."""

    kinds: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()
    weighted: bool = False
    lens: bool = True
    attribution: Literal["ig", "occlusion", "none"] = "none"
    what_if: bool | None = False


def record_of(reading: Reading, model_name: str, how: How, *edits: Probe) -> Record:
    """The record of a reading; of a run that `edits` change, if they were on while it was read."""
    wanted(reading.model.plan, how.kinds)
    kinds: list[Kind] = []
    views: list[View] = []
    lines: dict[str, Line] = {}
    found = Record(model_name, reading.task, reading.text, reading.answer, lines, (), notes=reading.notes)
    measured, best = {}, {}
    for number, row in enumerate(reading.rows):
        require_room(reading.model, row)
        seen = passed(reading.model, row, patterns(reading.model.plan, (), how.weighted), *edits)
        every = kinds_of(reading.model, seen, row.lines, row.asks, weighted=how.weighted)
        chosen, notes = thinned([kind for kind in every if not how.kinds or kind.name in how.kinds], how.layers)
        names = {kind.name: renamed(kind, row.lines).name for kind in every}
        made = _views(every, chosen, row.named, best, names)
        views += [replace(view, kind=names[view.kind]) for view in made if view.kind in {kind.name for kind in chosen}]
        measured |= {names[kind.name]: measures.measure(kind, row.named) for kind in chosen}
        kinds += [renamed(kind, row.lines) for kind in chosen]
        lines |= row.named
        found = replace(found, notes=(*found.notes, *notes))
        if number == 0:
            found = replace(found, said=_with_others(reading, seen))
    lenses, notes = _lenses(reading, how, bool(edits))
    return replace(
        found, kinds=tuple(kinds), views=tuple(views), measures=measured, best=best, answers=reading.answers,
        lenses=lenses, notes=(*found.notes, *notes),
    )  # fmt: skip


def require_room(model: Model, row: Row) -> None:
    """UserError where there are too many weights to look at."""
    sizes = {name: given.layout.tokens for name, given in row.inputs.items()}
    count = sum(
        attend.heads * sizes[where.split(".")[0]] * sizes[attend.stream] for where, attend in attentions_of(model.plan)
    )
    if count > MOST_WEIGHTS:
        raise UserError(
            f"{max(sizes.values()):,} tokens make {count:,} weights, more than {MOST_WEIGHTS:,}; shorten the text"
        )


def _views(
    every: Sequence[Kind],
    chosen: Sequence[Kind],
    lines: Mapping[str, Line],
    best: dict[str, list[tuple[int, int]]],
    names: Mapping[str, str],
) -> Iterator[View]:
    """Views that follow from the weights alone; the best heads are noted in `best`."""
    for kind in chosen:
        if not kind.own and lines[kind.keys].picture is None and lines[kind.queries].picture is None:
            heads = sum(len(layer.weights) for layer in kind.layers)
            found = alignment.best_heads([(kind, lines)], min(BEST, max(1, heads // 8)))
            best[names[kind.name]] = found
            yield alignment.best_view(kind, lines, found)
    yield from rollouts(every, lines)


def _with_others(reading: Reading, seen: Seen) -> tuple[Said, ...]:
    """What was said, with what else might have been."""
    look, scored = reading.lens, reading.scored
    if look is None or scored is None or not reading.said or any(one.others for one in reading.said):
        return reading.said
    (places,) = scored.at.values()
    with torch.no_grad():
        at = torch.tensor(list(places), device=next(reading.model.parameters()).device)
        logits = reading.model.logits(look.head, seen.states, seen.layouts, at)
        chances, ids = logits.float().softmax(-1).topk(min(TOP, logits.shape[-1]))
    others = [
        tuple(Guess(look.named(one), chance) for one, chance in zip(*both, strict=True))
        for both in zip(ids.tolist(), chances.tolist(), strict=True)
    ]
    return tuple(replace(said, others=few) for said, few in zip(reading.said, others, strict=True))


def _lenses(reading: Reading, how: How, edited: bool) -> tuple[tuple[Lens, ...], tuple[str, ...]]:
    look = reading.lens
    if look is None or not how.lens:
        return (), ()
    if edited:
        return (), ("What each layer would say is left out: it is of the run without the change.",)
    (row,) = reading.rows
    head = next(head for head in reading.model.plan.heads if head.name == look.head)
    line, positions = row.lines[head.streams[0]], _positions(reading, look, row.lines[head.streams[0]])
    layers = sum(where.startswith(f"{head.streams[0]}.") for where, _ in attentions_of(reading.model.plan))
    width = reading.model.plan.stream(head.streams[0]).width
    if len(positions) * (layers + 1) * head.outputs * width > MOST_LENS:
        return (), ("What each layer would say is left out: so many words of so large a vocabulary take too long.",)
    return (lens(reading.model, row.inputs, look.head, look.named, line.name, look.label, positions, TOP),), ()


def _positions(reading: Reading, look: Lensed, line: Line) -> Sequence[int]:
    return range(len(line)) if look.positions is None else look.positions
