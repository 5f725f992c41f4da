"""A smaller model: without some attention heads (Michel et al. 2019). Its plan is a plan like any other.

What goes or stays is a unit: a key head with all the query heads that share it; one head where none are shared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
import torch

from .model import Model
from .plan import Attend, Plan, Step


def attentions(plan: Plan) -> Iterator[tuple[str, Attend]]:
    """Every attention by its address."""
    for _, address, block in plan.blocks():
        for attend in block.attends:
            yield f"{address}.{attend.stream}", attend


def without_heads(model: Model, keep: Mapping[str, Sequence[int]]) -> Model:
    """A copy of the model, in evaluation mode, whose attentions have these units only (others: all of theirs).

    ValueError for an address or a unit that is not there, an attention left without heads, tied attentions, and ALiBi,
    whose slopes follow from the number of heads.
    """
    attends = dict(attentions(model.plan))
    for address, units in keep.items():
        _check(model.plan, attends, address, units)
    tensors = model.tensors()
    for address, units in keep.items():
        for name, axis, heads in _cut(attends[address], units):
            if (tensor := tensors.get(f"{address}.{name}")) is not None:
                size = 1 if name == "buckets" else attends[address].head_width
                index = torch.tensor([head * size + place for head in heads for place in range(size)])
                tensors[f"{address}.{name}"] = tensor.index_select(axis, index.to(tensor.device))
    smaller = Model(_smaller(model.plan, keep), seed=None)
    smaller.load_tensors(tensors)
    return smaller.to(next(model.parameters()).device).eval()


def _check(plan: Plan, attends: Mapping[str, Attend], address: str, units: Sequence[int]) -> None:
    attend = attends.get(address)
    if attend is None:
        raise ValueError(f"the plan has no attention {address!r}; it has {', '.join(attends)}")
    if not units or sorted(set(units)) != list(units) or not 0 <= units[0] <= units[-1] < attend.kv_heads:
        raise ValueError(
            f"{address}: keep {list(units)} is no rising choice, at least one, of 0 to {attend.kv_heads - 1}"
        )
    if attend.positions == "alibi":
        raise ValueError(f"{address}: ALiBi's slopes follow from the number of heads, so none can go")
    for tie in plan.ties:
        names = [f"{name}." for name in (tie.keep, tie.share)]
        if any(name.startswith(f"{address}.") or f"{address}.".startswith(name) for name in names):
            raise ValueError(f"{address}: is tied ({tie.keep} = {tie.share}), so its heads cannot go alone")


def _cut(attend: Attend, units: Sequence[int]) -> Iterator[tuple[str, int, list[int]]]:
    """(parameter, axis, heads that stay along it) of an attention."""
    share = attend.heads // attend.kv_heads
    queries = [unit * share + number for unit in units for number in range(share)]
    for kind in ("weight", "bias"):
        yield f"query.{kind}", 0, queries
        yield f"key.{kind}", 0, list(units)
        yield f"value.{kind}", 0, list(units)
    yield "output.weight", 1, queries
    yield "buckets", 1, queries


def _smaller(plan: Plan, keep: Mapping[str, Sequence[int]]) -> Plan:
    addresses = iter([address for _, address, _ in plan.blocks()])

    def attend(one: Attend, address: str) -> Attend:
        units = keep.get(f"{address}.{one.stream}", range(one.kv_heads))
        shared = None if one.key_heads is None else len(units)
        return msgspec.structs.replace(one, heads=one.heads // one.kv_heads * len(units), key_heads=shared)

    def step(one: Step) -> Step:
        blocks = []
        for block in one.blocks:
            address = next(addresses)
            attends = tuple(attend(each, address) for each in block.attends)
            blocks.append(msgspec.structs.replace(block, attends=attends))
        return msgspec.structs.replace(one, blocks=tuple(blocks))

    steps = tuple(step(one) if isinstance(one, Step) else one for one in plan.steps)
    return msgspec.structs.replace(plan, steps=steps)
