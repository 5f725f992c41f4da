"""The form rows are laid out in changes nothing: packed, uniform, padded, alone, in any order, in length groups."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from heedful.model import attention, kernels, layout, run
from heedful.model.layout import Layout, length_groups
from heedful.model.model import Model

from . import cases
from .closeness import assert_all_close, assert_same_bits, gradients

KERNELS = pytest.mark.parametrize("which", ["explicit", "fused"])
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
NAMES = pytest.mark.parametrize("name", cases.names())


def encode(model: Model, inputs: dict[str, cases.Input]) -> dict[str, Tensor]:
    with torch.no_grad():
        return model.encode(inputs)[0]


def alone(model: Model, rows: cases.Rows, dtype: torch.dtype) -> dict[str, Tensor]:
    """Each row by itself, then joined."""
    count = len(next(iter(rows.values())))
    each = [encode(model, cases.packed({s: [some[i]] for s, some in rows.items()}, dtype)) for i in range(count)]
    return {stream: torch.cat([one[stream] for one in each]) for stream in rows}


@NAMES
@KERNELS
@DTYPES
def test_packed_is_padded_is_each_row_alone(
    name: str, which: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases.kernel(monkeypatch, which)
    model, rows = cases.model_of(name, dtype), cases.draw(cases.PLANS[name])
    together = encode(model, cases.packed(rows, dtype))
    given, places = cases.padded(rows, dtype)
    filled = {stream: states[places[stream]] for stream, states in encode(model, given).items()}
    assert_all_close("packed == padded", together, filled)
    assert_all_close("packed == each row alone", together, alone(model, rows, dtype))


@NAMES
@KERNELS
def test_padded_on_the_left(name: str, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Positions are data: padding may stand anywhere if the positions say where tokens are."""
    cases.kernel(monkeypatch, which)
    made, model = cases.PLANS[name], cases.model_of(name)
    rows = cases.draw(made)
    given, places = cases.padded(rows)
    for stream, some in given.items():
        longest = some.layout.longest
        shape = (some.layout.rows, longest)
        flip = lambda value, shape=shape: value.view(*shape, *value.shape[1:]).flip(1).flatten(0, 1)
        lengths = torch.tensor([[cases.length(row)] for row in rows[stream]])
        some.layout = Layout(
            some.layout.lengths,
            keep=some.layout.keep.flip(1),
            positions=(torch.arange(longest) - longest + lengths).clamp(min=0).view(-1),
        )
        # Each row moves to the right as it is, so it is turned round twice: whole, and its tokens again.
        for field in ("ids", "segments", "features", "boxes", "pixels"):
            if getattr(some, field, None) is not None:
                moved = flip(getattr(some, field)).clone()
                real = some.layout.keep.view(-1)
                moved[real] = getattr(some, field)[places[stream]]
                setattr(some, field, moved)
    shifted = {stream: states[given[stream].layout.keep.view(-1)] for stream, states in encode(model, given).items()}
    assert_all_close("padded on the left == packed", shifted, encode(model, cases.packed(rows)))


@NAMES
@KERNELS
@DTYPES
def test_uniform_is_packed_is_each_row_alone(
    name: str, which: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases.kernel(monkeypatch, which)
    made = cases.PLANS[name]
    lengths = {stream.name: [4 + number] * 3 for number, stream in enumerate(made.streams)}
    model, rows = cases.model_of(name, dtype), cases.draw(made, lengths)
    given = cases.packed(rows, dtype)
    together = encode(model, given)
    for stream, some in given.items():
        longest = lengths[stream][0]
        some.layout = Layout.even(3, longest, positions=torch.arange(longest).repeat(3))
    assert_all_close("uniform == packed", encode(model, given), together)
    assert_all_close("uniform == each row alone", together, alone(model, rows, dtype))


@NAMES
@KERNELS
def test_gradients_of_packed_are_those_of_padded_and_of_each_row(
    name: str, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases.kernel(monkeypatch, which)
    made = cases.PLANS[name]
    rows = cases.draw(made)
    wanted = cases.labels(made, rows)
    model = cases.model_of(name)
    cases.total_loss(model, cases.packed(rows), wanted).backward()
    together = gradients(model)

    model.zero_grad()
    given, places = cases.padded(rows)
    spread = {
        head.name: cases.Labels(wanted[head.name].ids, places[head.streams[0]] if head.reads == "tokens" else None)
        for head in made.heads
    }
    cases.total_loss(model, given, spread).backward()
    assert_all_close("gradients: padded == packed", gradients(model), together)

    model.zero_grad()
    for number in range(len(next(iter(rows.values())))):
        one = {stream: [some[number]] for stream, some in rows.items()}
        part = {}
        for head in made.heads:
            sizes = [cases.length(row) if head.reads == "tokens" else 1 for row in rows[head.streams[0]]]
            part[head.name] = cases.Labels(wanted[head.name].ids.split(sizes)[number])
        cases.total_loss(model, cases.packed(one), part).backward()
    assert_all_close("gradients: each row alone == packed", gradients(model), together)


@NAMES
@KERNELS
@DTYPES
def test_batch_order(name: str, which: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    cases.kernel(monkeypatch, which)
    model, rows = cases.model_of(name, dtype), cases.draw(cases.PLANS[name])
    order = [3, 0, 4, 2, 1]
    together = encode(model, cases.packed(rows, dtype))
    other = encode(model, cases.packed({stream: [some[i] for i in order] for stream, some in rows.items()}, dtype))
    expected = {}
    for stream, some in rows.items():
        parts = together[stream].split([cases.length(row) for row in some])
        expected[stream] = torch.cat([parts[i] for i in order])
    assert_all_close("batch order", other, expected)


@NAMES
@KERNELS
def test_length_groups_are_one_group(name: str, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Very unequal rows are attended to in several blocks; states, losses and gradients do not show it."""
    cases.kernel(monkeypatch, which)
    made = cases.PLANS[name]
    # Blocks of these sizes are too small to be worth splitting, so the choice is made for them.
    parts = [np.array([0, 3, 6]), np.array([1, 2]), np.array([4, 5, 7])]
    rows = cases.draw(made, [20, 1, 2, 19, 5, 6, 18, 4])
    wanted = cases.labels(made, rows)
    found = []
    for groups in ([np.arange(8)], parts):
        monkeypatch.setattr(attention, "length_groups", lambda queries, keys, groups=groups: groups)
        model = cases.model_of(name)
        states = encode(model, cases.packed(rows))
        cases.total_loss(model, cases.packed(rows), wanted).backward()
        found.append((states, gradients(model)))
    assert_all_close("length groups: states", found[1][0], found[0][0])
    assert_all_close("length groups: gradients", found[1][1], found[0][1])


@NAMES
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_rounding_up_changes_nothing(
    name: str, training: bool, smoothing: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of few sizes, filler after the tokens and after what is scored: the same states, losses and gradients."""
    cases.kernel(monkeypatch, "explicit")
    made, shapes = cases.PLANS[name], set()
    monkeypatch.setattr(attention, "length_groups", lambda queries, keys: [np.array([0, 3]), np.array([1, 2, 4])])
    explicit = kernels.explicit
    monkeypatch.setattr(kernels, "explicit", lambda query, *rest: shapes.add(query.shape) or explicit(query, *rest))
    rows = cases.draw(made)
    wanted, found = cases.labels(made, rows), []
    for few in (False, True):
        shapes.clear()
        for module in (run, layout):
            monkeypatch.setattr(module, "makes_code", lambda states, few=few: few)
        model = cases.model_of(name).train(training)
        states = encode(model, cases.packed(rows))
        sums = model(cases.packed(rows), wanted, smoothing)
        torch.stack([one.loss for one in sums.values()]).sum().backward()
        scores = {head: torch.stack([one.loss, one.nll, one.correct]) for head, one in sums.items()}
        found.append((states, scores, gradients(model)))
        assert all(shape[0] % 8 == shape[2] % 8 == 0 for shape in shapes) == few
    for exact, rounded in zip(*found, strict=True):
        assert_all_close("rounded up == exact", rounded, exact)


def test_length_groups_hold_every_row_once_and_split_where_it_pays() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        queries, keys = rng.integers(0, 300, (2, rng.integers(1, 40)))
        groups = length_groups(queries, keys)
        assert sorted(np.concatenate(groups).tolist()) == list(range(len(queries)))
    unequal = np.array([300] + [5] * 20)
    assert len(length_groups(unequal, unequal)) > 1
    assert len(length_groups(np.full(20, 30), np.full(20, 30))) == 1


def test_long_rows_in_real_groups() -> None:
    """The same with the groups that the model itself chooses."""
    name = cases.names(cases.decodable)[0]
    model, rows = cases.model_of(name), cases.draw(cases.PLANS[name], [40, *[3] * 39])
    lengths = np.array([40, *[3] * 39])
    assert len(length_groups(lengths, lengths)) > 1
    together = encode(model, cases.packed(rows))
    assert_all_close("length groups, chosen: states", together, alone(model, rows, torch.float32))


@pytest.mark.parametrize("name", cases.names(lambda made: len(made.streams) > 1))
def test_one_row_encoded_once_for_many(name: str) -> None:
    """A stream's steps before it is first read run on one row; `expand` then pairs it with many of the others."""
    made, model, count = cases.PLANS[name], cases.model_of(name), 3
    first = made.streams[0].name
    joins = [
        number for number, _, block in made.blocks()
        if any({block.stream, attend.stream} != {block.stream} for attend in block.attends)
    ]  # fmt: skip
    rows = cases.draw(made, {s.name: [5] * count if s.name == first else [2, 6, 3] for s in made.streams})
    rows[first] = rows[first][:1] * count
    whole = encode(model, cases.packed(rows))

    with torch.no_grad():
        one = cases.packed({stream: some[:1] if stream == first else some for stream, some in rows.items()})
        states = {stream: model.streams[stream].embedding(given) for stream, given in one.items()}
        layouts = {stream: given.layout for stream, given in one.items()}
        states = model.run(states, layouts, last=min(joins))
        layouts[first] = layouts[first].expand(count)
        states[first] = states[first].repeat(count, 1)
        states = model.run(states, layouts, first=min(joins))
    assert_all_close("encode once, expand", states, whole)


def test_only_one_row_expands() -> None:
    with pytest.raises(ValueError, match="one row"):
        Layout.packed(np.array([2, 3])).expand(4)


@NAMES
def test_partial_runs_make_the_whole(name: str) -> None:
    """Cut anywhere, the same bits."""
    made, model = cases.PLANS[name], cases.model_of(name)
    given = cases.packed(cases.draw(made))
    whole = encode(model, given)
    layouts = {stream: some.layout for stream, some in given.items()}
    with torch.no_grad():
        start = {stream: model.streams[stream].embedding(some) for stream, some in given.items()}
        for cut in range(len(made.steps) + 1):
            half = model.run(start, layouts, last=cut)
            assert_same_bits(model.run(half, layouts, first=cut), whole)
