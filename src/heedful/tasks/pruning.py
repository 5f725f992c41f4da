"""A model of any task without the attention heads that matter least to given examples, and what that changed.

Translators have their own (`translate.prune`): they are judged by what they write.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from ..data.readers import resolve
from ..errors import UserError
from ..inside.importance import Batch, Scores, ablation, importance, least_important
from ..model.files import read_config
from ..model.model import Model
from ..model.pruning import attentions, without_heads
from .evaluated import Evaluated
from .finding import evaluate, find, load
from .looking.examples import GOLD, Files, batches
from .translate.partial import require_new

Kept = Mapping[str, Sequence[int]]
By = Literal["gradient", "ablation"]
JUDGES = {"gradient": importance, "ablation": ablation}


def prune(model: Path, files: Files, share: float, out: Path, by: By = "gradient", rounds: int = 1) -> Iterator[str]:
    """Write the model without `share` of its heads to the folder `out`; yields lines that say what that changed.

    Heads are judged by what the examples lose without them (see `inside.importance`, and there `ablation`); the scores
    are those of `heedful evaluate` on all of the files. UserError where a file cannot be used, or nothing can go.
    """
    require_share(share)
    require_new(out)
    folder, loaded = find(model), load(model)
    files = replace(files, files=[resolve(file, files.root) for file in files.files])
    read = next(read for kind, read in GOLD.items() if isinstance(loaded, kind))
    given = list(batches(loaded.model, read(loaded, files)))
    if not given:
        raise UserError(f"{files.named}: no examples to judge the heads by")
    own = {} if files.features is None else {"features": files.features}
    before, scores = _measured(loaded.model, given), evaluate(model, files.files, files.root, **own)
    smaller, keep = cut(loaded.model, lambda whole: JUDGES[by](whole, given), share, model, rounds)
    _save(smaller, folder, keep, out)
    after = _measured(smaller, given)
    yield from told_heads(loaded.model, keep)
    yield f"heads {before.heads} -> {after.heads}, parameters {before.parameters:,} -> {after.parameters:,}"
    yield f"loss {before.loss:.3f} -> {after.loss:.3f}"
    yield from _told(scores, evaluate(out, files.files, files.root, **own))
    yield f"examples a second {before.speed:.1f} -> {after.speed:.1f} (one pass)"
    yield f"written to {out}"


def require_share(share: float) -> None:
    """UserError for a share of heads that is none."""
    if not 0.0 < share < 1.0:
        raise UserError(f"the share of heads to remove is {share}; it is more than 0 and less than 1")


def cut(
    model: Model, judge: Callable[[Model], Scores], share: float, name: Path, rounds: int = 1
) -> tuple[Model, Kept]:
    """The model without the least important of its heads, and which stay where some went; UserError if none can go.

    With several rounds each takes its part, and those that are left are judged anew: of two heads that do the same each
    is worth little as long as the other is there.
    """
    smaller, keep, whole = model, dict[str, Sequence[int]](), _units(model)
    for number in range(1, rounds + 1):
        left = _units(smaller)
        goes = round(share * whole * number / rounds) - (whole - left)
        if not goes:
            continue  # of more rounds than heads some take none
        sizes = {address: attend.kv_heads for address, attend in attentions(smaller.plan)}
        stay = least_important(judge(smaller), goes / left)
        stay = {address: units for address, units in stay.items() if len(units) < sizes[address]}
        try:
            smaller = without_heads(smaller, stay)
        except ValueError as error:
            raise UserError(f"{name}: {error}") from None
        keep = pruned_since({"pruned": keep}, stay)
    if not keep:
        raise UserError(f"{name}: no head can go: every attention keeps one, and {share} of all is less than one")
    return smaller, keep


def _units(model: Model) -> int:
    return sum(attend.kv_heads for _, attend in attentions(model.plan))


def told_heads(model: Model, keep: Kept) -> Iterator[str]:
    """A line for each attention of `model` that lost heads."""
    sizes = {address: attend.kv_heads for address, attend in attentions(model.plan)}
    for address, units in keep.items():
        yield f"{address}: {len(units)} of {sizes[address]} heads stay: {', '.join(map(str, units))}"


def pruned_since(extra: Mapping[str, Any], keep: Kept) -> dict[str, Any]:
    """Which heads stay of the model that was trained, by the numbers that they had there; `extra` is of config.json."""
    earlier = extra.get("pruned")
    earlier, own = earlier if isinstance(earlier, dict) else {}, {}
    for where, units in keep.items():
        before = earlier.get(where)
        own[where] = [before[unit] for unit in units] if before is not None and max(units) < len(before) else units
    return {**earlier, **own}


@dataclass(frozen=True)
class _Measured:
    """Of a model on examples: the mean loss of a label in nats, and examples a second in one pass after a first one
    that is not counted."""

    heads: int
    parameters: int
    loss: float
    speed: float


@torch.no_grad()
def _measured(model: Model, given: Sequence[Batch]) -> _Measured:
    model.eval()
    model(*given[0])  # the first pass of a process is slow
    began, total, labels, rows = time.monotonic(), 0.0, 0, 0
    for inputs, wanted in given:
        for sums in model(inputs, wanted).values():
            total, labels = total + float(sums.loss), labels + sums.count
        rows += next(iter(inputs.values())).layout.rows
    seconds = time.monotonic() - began
    heads = sum(attend.heads for _, attend in attentions(model.plan))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return _Measured(heads, parameters, total / max(labels, 1), rows / seconds)


def _told(before: Evaluated, after: Evaluated) -> Iterator[str]:
    for (name, value, _), (_, now, _) in zip(before.scores, after.scores, strict=False):
        yield f"{name} {value} -> {now}"


def _save(model: Model, folder: Path, keep: Kept, out: Path) -> None:
    """The new model: all that the old one's folder has, whole or not at all."""
    extra = {name: value for name, value in read_config(folder)[1].items() if name != "weights"}
    partial = out.with_name(f".tmp-{out.name}")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(folder, partial, ignore=shutil.ignore_patterns("model.safetensors", "config.json", ".*"))
        model.save(partial, extra | {"pruned": pruned_since(extra, keep)})
        partial.rename(out)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise UserError(f"{out}: cannot be written: {error.strerror}") from None
