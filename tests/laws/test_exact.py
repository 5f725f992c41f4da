"""What is exact, not near: no future, blind queries, bits of a seed, of a file, of a probed pass."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from heedful.model.cache import Cache
from heedful.model.embeddings import Input, TokenInput
from heedful.model.layout import Layout
from heedful.model.model import Model, load
from heedful.model.probe import ATTENTION, addresses

from . import cases
from .closeness import assert_all_close, assert_same_bits, gradients
from .looking import Keeper

KERNELS = pytest.mark.parametrize("which", ["explicit", "fused"])
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
NAMES = pytest.mark.parametrize("name", cases.names())


def embedded(model: Model, given: dict[str, Input]) -> tuple[dict[str, Tensor], dict[str, Layout]]:
    """First states, as leaves whose gradients can be read, and layouts."""
    with torch.no_grad():
        states = {stream: model.streams[stream].embedding(some) for stream, some in given.items()}
    return {stream: some.requires_grad_() for stream, some in states.items()}, {s: g.layout for s, g in given.items()}


# ---- the future, and other rows -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", cases.names(cases.decodable))
@KERNELS
@DTYPES
def test_no_gradient_from_the_future(
    name: str, which: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a token's state depends on: itself and (some of) the past, of its own row, and exactly nothing else."""
    cases.kernel(monkeypatch, which)
    made, model = cases.PLANS[name], cases.model_of(name, dtype)
    for stream in cases.decodable(made):
        states, layouts = embedded(model, cases.packed(cases.draw(made, [3, 6, 4]), dtype))
        layout, token = layouts[stream], 5  # the third of the second row
        after = model.run(states, layouts)[stream]
        reached = torch.autograd.grad(after[token].float().pow(3).sum(), states[stream])[0].abs().sum(1)
        row, position = layout.row, layout.positions
        may = (row == row[token]) & (position <= position[token])
        assert torch.isfinite(reached).all()
        assert float(reached[~may].max()) == 0.0
        assert float(reached[token]) > 0.0
        assert float(reached[token - 1]) > 0.0


@NAMES
@KERNELS
def test_no_gradient_from_other_rows(name: str, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In packed and in padded form, through every stream."""
    cases.kernel(monkeypatch, which)
    made, model = cases.PLANS[name], cases.model_of(name)
    rows = cases.draw(made)
    for given in (cases.packed(rows), cases.padded(rows)[0]):
        states, layouts = embedded(model, given)
        after = model.run(states, layouts)
        total = torch.stack([after[s][layouts[s].row == 2].pow(3).sum() for s in after]).sum()
        for stream, reached in zip(states, torch.autograd.grad(total, list(states.values())), strict=True):
            assert float(reached[layouts[stream].row != 2].abs().max()) == 0.0


@NAMES
@KERNELS
def test_no_gradient_from_padding(name: str, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No real token depends on a slot that pads."""
    cases.kernel(monkeypatch, which)
    model = cases.model_of(name)
    given, places = cases.padded(cases.draw(cases.PLANS[name]))
    states, layouts = embedded(model, given)
    after = model.run(states, layouts)
    total = torch.stack([after[stream][places[stream]].pow(3).sum() for stream in after]).sum()
    for stream, reached in zip(states, torch.autograd.grad(total, list(states.values())), strict=True):
        pads = torch.ones(len(reached), dtype=torch.bool)
        pads[places[stream]] = False
        assert float(reached[pads].abs().max()) == 0.0
        assert float(reached[places[stream]].abs().max()) > 0.0


# ---- queries that may see nothing -----------------------------------------------------------------------------------


def blind_batches(made: cases.Plan, dtype: torch.dtype) -> list[tuple[dict[str, Input], dict[str, list[int]], bool]]:
    """(inputs, rows without a real token by stream, whether padded): one stream's rows empty, some or all."""
    found = []
    for stream in [stream.name for stream in made.streams]:
        for empty in ([1], [0, 1, 2]):
            lengths = [0 if row in empty else 3 + row for row in range(3)]
            rows = cases.draw(made, {s.name: lengths if s.name == stream else [4, 2, 5] for s in made.streams})
            found.append((cases.packed(rows, dtype), {stream: empty}, False))
            found.append((cases.padded(rows, dtype)[0], {stream: empty}, True))
    return found


@NAMES
@KERNELS
@DTYPES
def test_blind_queries(name: str, which: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """A query that may see nothing: weights 0, output of every head 0, finite states and gradients."""
    cases.kernel(monkeypatch, which)
    made, model = cases.PLANS[name], cases.model_of(name, dtype)
    for given, empty, padded in blind_batches(made, dtype):
        weights = which == "explicit"
        keeper = Keeper(lambda address, weights=weights: address.endswith((".mixed", *([".weights"] * weights))))
        model.zero_grad()
        states, layouts = model.encode(given, probe=keeper)
        for stream, some in states.items():
            assert torch.isfinite(some).all(), f"{stream} is not finite"
        torch.stack([some.float().pow(2).sum() for some in states.values()]).sum().backward()
        for address, parameter in model.named_parameters():
            finite = parameter.grad is None or bool(torch.isfinite(parameter.grad).all())
            assert finite, f"the gradient of {address} is not finite"
        for address, (heads, *_) in ((a, v) for a, v in keeper.seen.items() if a.endswith(".mixed")):
            querying, attended = address.split(".")[0], address.split(".")[2]
            rows = layouts[querying].row
            blind = torch.isin(rows, torch.tensor(empty.get(attended, []), dtype=rows.dtype))
            assert float(heads[blind].abs().sum()) == 0.0, f"{address} of a blind query is not 0"
            assert len(heads) == int(blind.sum()) or float(heads[~blind].abs().max()) > 0.0
            if weights and attended in empty and (padded or querying != attended):
                by_row = keeper.weights(address.replace(".mixed", ".weights"))
                assert all(float(by_row[row].abs().sum()) == 0.0 for row in empty[attended])


@pytest.mark.parametrize("name", cases.names(lambda made: cases.decodable(made) and cases.crossings(made)))
@KERNELS
@DTYPES
def test_blind_decoding_steps(name: str, which: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for a cached step over a source without tokens."""
    cases.kernel(monkeypatch, which)
    made, model = cases.PLANS[name], cases.model_of(name, dtype)
    (stream,) = cases.decodable(made)
    for lengths in ([2, 0], [0, 0]):
        others = {s: some for s, some in cases.draw(made, lengths).items() if s != stream}
        keeper = Keeper(lambda address: address.endswith(".mixed"))
        with torch.inference_mode():
            states, layouts = model.encode(cases.packed(others, dtype))
            cache = Cache(2)
            model.settle(stream, states, layouts, cache)
            cache.grow()
            after = model.step(stream, torch.tensor([1, 2]), cache, keeper)
        assert torch.isfinite(after).all()
        for address, (heads,) in keeper.seen.items():
            if address.split(".")[2] != stream:
                assert float(heads[1].abs().max()) == 0.0
                assert (float(heads[0].abs().max()) > 0.0) == (lengths[0] > 0)


# ---- looking --------------------------------------------------------------------------------------------------------


@NAMES
def test_probed_is_fast(name: str) -> None:
    """Looking at everything changes no bit of the explicit kernel, of states or gradients; weights sum to 1."""
    made = cases.PLANS[name]
    rows, found = cases.draw(made), []
    for keeper in (None, Keeper()):
        model = cases.model_of(name)
        states, _ = model.encode(cases.packed(rows), probe=keeper)
        torch.stack([some.pow(2).sum() for some in states.values()]).sum().backward()
        found.append((states, gradients(model)))
    assert_same_bits(found[1][0], found[0][0])
    assert_same_bits(found[1][1], found[0][1])
    addresses = {f"{at}.{attend.stream}" for _, at, block in made.blocks() for attend in block.attends}
    assert {a.removesuffix(".weights") for a in keeper.seen if a.endswith(".weights")} == addresses
    for address in addresses:
        total = torch.stack([part.sum(-1).flatten().mean() for part in keeper.seen[f"{address}.weights"]])
        torch.testing.assert_close(total, torch.ones_like(total))


@NAMES
def test_probed_is_the_fused_kernel(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cases.kernel(monkeypatch, "fused")
    model, given = cases.model_of(name), cases.packed(cases.draw(cases.PLANS[name]))
    with torch.no_grad():
        assert_all_close("probed == fused", model.encode(given, probe=Keeper())[0], model.encode(given)[0])


@NAMES
def test_what_a_probe_hands_back_is_used(name: str) -> None:
    """Each point takes part in the result."""

    class Silencer(Keeper):
        def see(self, address: str, value: Tensor, rows: Tensor | None = None) -> Tensor:
            return super().see(address, value * 0.5, rows)

    made, model = cases.PLANS[name], cases.model_of(name)
    given = cases.packed(cases.draw(made))
    with torch.no_grad():
        plain = model.encode(given)[0]
        _, first, block = next(made.blocks())
        own = [one for one in addresses(made) if one.startswith(f"{first}.")]
        assert len(own) >= len(ATTENTION)
        for address in (f"{block.stream}.embedding.output", *own):
            silencer = Silencer(lambda asked, address=address: asked == address)
            edited = model.encode(given, probe=silencer)[0]
            assert list(silencer.seen) == [address]
            assert not torch.equal(edited[block.stream], plain[block.stream])


# ---- seeds and files ------------------------------------------------------------------------------------------------


@NAMES
def test_same_seed_same_bits(name: str) -> None:
    """Of the first weights, and of a training step with dropout."""
    made = cases.PLANS[name]
    assert_same_bits(Model(made, seed=5).tensors(), Model(made, seed=5).tensors())
    other = Model(made, seed=6).tensors()
    assert any(not torch.equal(value, other[name]) for name, value in Model(made, seed=5).tensors().items())

    family = next((family for family in cases.FAMILIES if name.startswith(f"{family}-")), None)
    if family is not None:
        made = cases.small_plan(family, dropout=0.2, attention_dropout=0.2)
    rows, steps = cases.draw(made), []
    for seed in (7, 7, 8):
        model = cases.noisy_model(made).train()
        torch.manual_seed(seed)
        cases.total_loss(model, cases.packed(rows), cases.labels(made, rows)).backward()
        steps.append(gradients(model))
    assert_same_bits(steps[1], steps[0])
    assert family is None or any(not torch.equal(steps[2][name], steps[0][name]) for name in steps[0])


@NAMES
def test_save_and_load(name: str, tmp_path: Path) -> None:
    """Bit-equal weights and answers; a tied parameter is in the file once and is one parameter after loading."""
    made, model = cases.PLANS[name], cases.model_of(name)
    model.save(tmp_path, {"task": "none"})
    again, extra = load(tmp_path)
    assert extra == {"task": "none"}
    assert again.plan == made
    assert not again.training
    assert_same_bits(again.tensors(), model.tensors())
    with torch.no_grad():
        given = cases.packed(cases.draw(made))
        assert_same_bits(again.encode(given)[0], model.encode(given)[0])

    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert set(file.keys()) == set(made.shapes())
    everything = dict(again.named_parameters(remove_duplicate=False))
    for tie in made.ties:
        shared = [name for name in everything if name == tie.share or name.startswith(f"{tie.share}.")]
        assert shared, tie
        for name in shared:
            assert everything[name] is everything[tie.keep + name[len(tie.share) :]]
    numbers = sum(int(np.prod(shape)) for shape in made.shapes().values())
    assert sum(parameter.numel() for parameter in again.parameters()) == numbers
    assert json.loads((tmp_path / "config.json").read_text())["format"] == 1


def test_learned_positions_end() -> None:
    """A row longer than the table is a clear error, in one pass and step by step, not a wrong look-up."""
    name = next(name for name in cases.names(cases.decodable) if "learned" in name)
    made, model = cases.PLANS[name], cases.model_of(name)
    (stream,) = cases.decodable(made)
    limit = made.stream(stream).embedding.capacity
    rows = cases.draw(made, {s.name: [3, limit + 1] if s.name == stream else [2, 2] for s in made.streams})
    with pytest.raises(ValueError, match=f"{limit + 1} tokens .* {limit}"):
        model.encode(cases.packed(rows))
    states, layouts = model.encode(cases.packed({s: some for s, some in rows.items() if s != stream}))
    cache = Cache(2)
    model.settle(stream, states, layouts, cache)
    with torch.no_grad():
        for _ in range(limit):
            cache.grow()
            model.step(stream, torch.tensor([1, 1]), cache)
        cache.grow()
        with pytest.raises(ValueError, match=f"{limit + 1} tokens .* {limit}"):
            model.step(stream, torch.tensor([1, 1]), cache)


def test_sinusoids_do_not_end() -> None:
    """Rows longer than the table that a model begins with, also where the longer table was made for inference."""
    name = next(name for name in cases.names() if name.startswith("encoder-sinusoidal"))
    made, model = cases.PLANS[name], cases.fresh_model(name)
    stream = made.streams[0].name
    given = cases.packed(cases.draw(made, [made.stream(stream).embedding.capacity + 30]))
    with torch.inference_mode():
        first = model.encode(given)[0][stream].clone()
    again = model.train().encode(given)[0][stream]
    again.sum().backward()
    assert torch.equal(first, again)
    assert isinstance(given[stream], TokenInput)
