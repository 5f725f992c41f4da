"""From a reading to a record: one probed pass over what was read and written, and everything that is made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from ...model.pruning import attentions
from .keeping import Kept, best_of
from .kinds import kinds_of, patterns, renamed, thinned, wanted
from .passing import passed
from .reading import TOP, Lensed, Reading, Row

MOST_WEIGHTS = 200_000_000  # of all kinds together: 800 MB
MOST_LENS = 2e11  # multiplications of a lens: some ten seconds


@dataclass(frozen=True)
class How:
    """What a record is to hold. `kinds` by name and `layers` from 1 (none: all); `weighted`: weights by what values
    add, too. `what_if` None: as far as it takes a few seconds. `kept` are heads that were chosen before."""

    kinds: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()
    weighted: bool = False
    lens: bool = True
    attribution: Literal["ig", "occlusion", "none"] = "none"
    what_if: bool | None = False
    kept: Kept = field(default_factory=Kept)


def record_of(reading: Reading, model_name: str, how: How, edits: Sequence[Probe] = ()) -> Record:
    """The record of a reading; of a run that `edits` change, one for each row, if they were on while it was read."""
    wanted(reading.model.plan, how.kinds)
    kinds: list[Kind] = []
    views: list[View] = []
    lines: dict[str, Line] = {}
    found = Record(model_name, reading.task, reading.text, reading.answer, lines, (), notes=reading.notes)
    measured: dict[str, measures.Table] = {}
    best: dict[str, list[tuple[int, int]]] = {}
    asked: dict[str, tuple[int, ...]] = {}
    for number, row in enumerate(reading.rows):
        require_room(reading.model, row)
        seen = passed(reading.model, row, patterns(reading.model.plan, (), how.weighted), *edits[number : number + 1])
        every = kinds_of(reading.model, seen, row.lines, row.asks, weighted=how.weighted)
        chosen, notes = thinned([kind for kind in every if not how.kinds or kind.name in how.kinds], how.layers)
        names = {kind.name: renamed(kind, row.lines).name for kind in every}
        made = _views(every, chosen, row.named, how.kept, best, names)
        views += [replace(view, kind=names[view.kind]) for view in made if view.kind in {kind.name for kind in chosen}]
        measured |= {names[kind.name]: measures.measure(kind, row.named) for kind in chosen}
        kinds += [renamed(kind, row.lines) for kind in chosen]
        lines |= row.named
        asked |= _asked(reading, row)
        found = replace(found, notes=(*found.notes, *notes))
        if number == 0:
            found = replace(found, said=_with_others(reading, seen))
    lenses, more = _lenses(reading, how, edits)
    return replace(
        found, kinds=tuple(kinds), views=tuple(views), measures=measured, best=best, answers=reading.answers,
        lenses=lenses, notes=(*found.notes, *more), asked=asked,
    )  # fmt: skip


def _asked(reading: Reading, row: Row) -> dict[str, tuple[int, ...]]:
    """By line the tokens whose states give the answer; none of what is written."""
    scored = reading.scored
    found = {}
    for stream, places in () if scored is None else scored.at.items():
        line = row.lines[stream]
        if stream not in row.asks:
            own = {place % len(line) for place in places}
            found[line.name] = tuple(range(len(line)) if scored is not None and scored.mean else sorted(own))
    return found


def require_room(model: Model, row: Row) -> None:
    """UserError where there are too many weights to look at."""
    sizes = {name: given.layout.tokens for name, given in row.inputs.items()}
    count = sum(
        attend.heads * sizes[address.split(".")[0]] * sizes[attend.stream] for address, attend in attentions(model.plan)
    )
    if count > MOST_WEIGHTS:
        raise UserError(
            f"{max(sizes.values()):,} tokens make {count:,} weights, more than {MOST_WEIGHTS:,}; shorten the text"
        )


def _views(
    every: Sequence[Kind],
    chosen: Sequence[Kind],
    lines: Mapping[str, Line],
    kept: Kept,
    best: dict[str, list[tuple[int, int]]],
    names: Mapping[str, str],
) -> Iterator[View]:
    """Views that follow from the weights alone; the best heads are noted in `best`."""
    fits = {kind.name: kind for kind in chosen if _fits(kind, kept.best.get(kind.name, []))}
    found = {name: kept.best[name] for name in fits} or best_of({kind.name: [(kind, lines)] for kind in chosen})
    for kind in chosen:
        if kind.name in found:
            best[names[kind.name]] = found[kind.name]
            yield alignment.best_view(kind, lines, found[kind.name], kept.examples if fits else 1)
    yield from rollouts(every, lines)


def _fits(kind: Kind, heads: Sequence[tuple[int, int]]) -> bool:
    """Whether there are such heads."""
    return bool(heads) and all(at < len(kind.layers) and 0 <= head < len(kind.layers[at].weights) for at, head in heads)


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
    before = look.before or ("",) * len(ids)
    others = [
        tuple(Guess(own + look.named(one), chance) for one, chance in zip(*both, strict=True))
        for own, *both in zip(before, ids.tolist(), chances.tolist(), strict=True)
    ]
    return tuple(replace(said, others=few) for said, few in zip(reading.said, others, strict=True))


def _lenses(reading: Reading, how: How, edits: Sequence[Probe]) -> tuple[tuple[Lens, ...], tuple[str, ...]]:
    look = reading.lens
    if look is None or not how.lens:
        return (), ()
    (row,) = reading.rows
    head = next(head for head in reading.model.plan.heads if head.name == look.head)
    line, positions = row.lines[head.streams[0]], _positions(reading, look, row.lines[head.streams[0]])
    layers = sum(where.startswith(f"{head.streams[0]}.") for where, _ in attentions(reading.model.plan))
    width = reading.model.plan.stream(head.streams[0]).width
    if len(positions) * (layers + 1) * head.outputs * width > MOST_LENS:
        return (), ("What each layer would say is left out: so many words of so large a vocabulary take too long.",)
    return (lens(reading.model, row.inputs, look.head, look.named, line.name, look.label, positions, TOP, edits),), ()


def _positions(reading: Reading, look: Lensed, line: Line) -> Sequence[int]:
    return range(len(line)) if look.positions is None else look.positions
