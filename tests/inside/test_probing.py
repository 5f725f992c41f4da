"""The door to a model's inside: which addresses patterns name, what is kept of a row, what edits do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from laws import cases
from torch import Tensor

from heedful.errors import UserError
from heedful.inside.probing import Capture, Edit, Together, capture, heads_off, hidden, matching, patched
from heedful.model.model import Model
from heedful.model.probe import ATTENTION, FEEDFORWARD

TRANSLATOR = cases.small_plan("encoder-decoder", place="pre", key_heads=2)


def translator() -> tuple[Model, dict]:
    """A small translator whose heads share keys, and inputs of two unequal rows."""
    return cases.noisy_model(TRANSLATOR), cases.packed(cases.draw(TRANSLATOR, {"source": [5, 3], "target": [2, 4]}))


def test_patterns_name_addresses() -> None:
    plan = cases.small_plan("encoder-decoder", layers=3)
    assert matching(plan, ["target.*.source.weights"]) == [f"target.{n}.source.weights" for n in range(3)]
    assert matching(plan, ["target.[02].target.key"]) == ["target.0.target.key", "target.2.target.key"]
    assert len(matching(plan, ["*.weights"])) == 9
    assert len(matching(plan, ["*"])) == 2 + 9 * len(ATTENTION) + 6 * len(FEEDFORWARD)
    assert matching(plan, ["source.?.feedforward.inner", "source.embedding.*"])[0] == "source.embedding.output"
    both = matching(plan, ["target.0.target.*", "target.0.*.weights"])
    assert len(both) == len(set(both)) == len(ATTENTION) + 1


@pytest.mark.parametrize(
    ("pattern", "like"),
    [
        ("target.0.sorce.weights", "target.0.source.weights"),
        ("target.7.source.weights", "target.1.source.weights"),
        ("target.0.source.wieghts", "target.0.source.weights"),
        ("", "."),
    ],
)
def test_a_pattern_that_names_nothing_is_told_with_the_nearest(pattern: str, like: str) -> None:
    with pytest.raises(UserError) as told:
        matching(TRANSLATOR, ["*.weights", pattern])
    assert repr(pattern) in str(told.value)
    assert like in str(told.value)
    assert "\n" not in str(told.value)


def test_what_a_row_had() -> None:
    """By point, without padding."""
    model, given = translator()
    seen = capture(model, given, ["*"])
    attend = next(a for _, _, block in model.plan.blocks() for a in block.attends)
    heads, shared, width = attend.heads, attend.kv_heads, attend.head_width
    assert (heads, shared) == (4, 2)
    shapes = {
        "before": (4, 24), "query": (heads, 4, width), "key": (shared, 3, width), "value": (shared, 3, width),
        "scores": (heads, 4, 3), "weights": (heads, 4, 3), "mixed": (4, heads * width), "output": (4, 24),
        "after": (4, 24),
    }  # fmt: skip
    assert {point: tuple(seen.row(f"target.1.source.{point}", 1).shape) for point in ATTENTION} == shapes
    assert seen.row("target.1.feedforward.inner", 0).shape == (2, 20)
    assert seen.row("source.embedding.output", 1).shape == (3, 24)
    assert seen.addresses == matching(model.plan, ["*"])
    with pytest.raises(KeyError, match=r"target\.0\.source\.weights: row 2"):
        seen.row("target.0.source.weights", 2)


def test_states_before_and_after() -> None:
    """A layer is given what the one before it leaves; the last leaves what the model ends with, but for its norm."""
    model, given = translator()
    seen = capture(model, given, ["*"])
    assert torch.equal(seen.row("target.0.target.before"), seen.row("target.embedding.output"))
    assert torch.equal(seen.row("target.0.source.before"), seen.row("target.0.target.after"))
    end = model.streams["target"].norm(seen.row(f"{list(model.plan.blocks())[-1][1]}.feedforward.after"))
    torch.testing.assert_close(end, seen.states["target"][:2])


def test_a_capture_keeps_the_graph_only_if_asked() -> None:
    model, given = translator()
    for gradients in (False, True):
        kept = Capture("target.0.target.mixed", "*.source.weights", gradients=gradients)
        states, _ = model.encode(given, probe=kept)
        ((mixed, rows),) = kept.seen["target.0.target.mixed"]
        assert rows is None
        assert mixed.requires_grad == gradients
        if gradients:
            ((weights, _),) = kept.seen["target.0.source.weights"]
            slopes = torch.autograd.grad(states["target"].pow(2).sum(), [mixed, weights])
            assert all(float(slope.abs().max()) > 0 for slope in slopes)
    kept.clear()
    assert not kept.seen


def test_what_is_kept_is_not_what_is_worked_on() -> None:
    """A change in place afterwards leaves the capture as it was."""
    kept, value = Capture("a.b"), torch.ones(3)
    assert kept.see("a.b", value) is value
    value.mul_(2)
    assert kept.seen["a.b"][0][0].tolist() == [1, 1, 1]


def test_several_probes_see_one_after_the_other() -> None:
    double = Edit(("*",), lambda address, value, rows: value * 2)
    plus = Edit(("x.*",), lambda address, value, rows: value + 1)
    before, after = Capture("*"), Capture("*")
    probe = Together(before, double, plus, after)
    assert probe.wants("y.z")
    assert not Together(plus).wants("y.z")
    assert probe.see("x.z", torch.tensor([3.0])).item() == 7
    assert probe.see("y.z", torch.tensor([3.0])).item() == 6
    assert [before.seen["x.z"][0][0].item(), after.seen["x.z"][0][0].item()] == [3, 7]


def test_capture_leaves_the_model_as_it_was() -> None:
    made = cases.small_plan("encoder-decoder", dropout=0.5, attention_dropout=0.5)
    model, given = cases.noisy_model(made).train(), cases.packed(cases.draw(made, [4]))
    first, again = (capture(model, given, ["*.weights"]) for _ in range(2))
    assert model.training
    assert torch.equal(first.row("target.1.source.weights"), again.row("target.1.source.weights"))
    assert not first.states["target"].requires_grad
    with pytest.raises(UserError):
        capture(model, given, ["nowhere"])
    assert model.training


def shared_out(weights: np.ndarray, gone: list[int]) -> np.ndarray:
    """Weights [.., keys] without some keys, by hand."""
    left = weights.copy()
    left[..., gone] = 0
    total = left.sum(-1, keepdims=True)
    return np.where(total > 0, left / np.where(total > 0, total, 1), 0)


def test_hidden_tokens_are_shared_out() -> None:
    """In every attention to the stream, for the rows that are named, and no other attention."""
    model, given = translator()
    plain = capture(model, given, ["*.weights"])
    for which, gone in (([1, 2], {0: [1, 2], 1: [1, 2]}), ({1: [0]}, {0: [], 1: [0]})):
        seen = capture(model, given, ["*.weights"], hidden("source", which))
        for row in (0, 1):
            for address in ("source.0.source", "target.0.target"):  # before either, nothing has changed
                expected = plain.row(f"{address}.weights", row).double().numpy()
                if address.endswith("source"):
                    expected = shared_out(expected, gone[row])
                np.testing.assert_allclose(seen.row(f"{address}.weights", row), expected, atol=1e-6)
            everywhere = [seen.row(address, row) for address in seen.addresses if ".source." in address]
            assert all((weights[:, :, gone[row]] == 0).all() for weights in everywhere)
            assert all(torch.allclose(w.sum(-1), torch.ones(1)) for w in everywhere)


def test_where_nothing_is_left_there_are_exact_zeros() -> None:
    model, given = translator()
    seen = capture(model, given, ["*.weights", "*.mixed", "*.after"], hidden("source", {1: [0, 1, 2]}))
    for address in seen.addresses:
        found = seen.row(address, 1)
        assert torch.isfinite(found).all()
        if address.endswith(("source.weights", "source.mixed")):
            assert (found == 0).all()
            assert (seen.row(address, 0) != 0).any()


def test_heads_that_are_off_for_all_rows() -> None:
    model, given = translator()
    seen = capture(model, given, ["target.0.*.mixed"], heads_off({"target.0.target": [0, 3]}))
    plain = capture(model, given, ["target.0.*.mixed"])
    for row in (0, 1):
        width = plain.row("target.0.target.mixed", row).shape[1] // 4
        expected = plain.row("target.0.target.mixed", row).clone()
        expected[:, :width] = expected[:, 3 * width :] = 0
        torch.testing.assert_close(seen.row("target.0.target.mixed", row), expected)
        assert not torch.equal(seen.row("target.0.source.mixed", row), plain.row("target.0.source.mixed", row))


def test_patched_states_take_the_place() -> None:
    model, given = translator()
    new = torch.full((2, 24), 0.25)
    seen = capture(model, given, ["source.0.source.after", "source.0.feedforward.before"],
                   patched("source.0.source.after", [0, 4], new))  # fmt: skip
    plain = capture(model, given, ["source.0.source.after"])
    expected = plain.captured.seen["source.0.source.after"][0][0].clone()
    expected[[0, 4]] = 0.25
    for address in seen.addresses:
        ((found, _),) = seen.captured.seen[address]
        assert torch.equal(found, expected)


def test_a_probe_that_is_watched_with_sees_what_runs_inside_only() -> None:
    model, given = translator()
    counts: list[str] = []

    class Counter:
        def wants(self, address: str) -> bool:
            return address.endswith(".output")

        def see(self, address: str, value: Tensor, rows: Tensor | None = None) -> Tensor:
            counts.append(address)
            return value

    with model.watched(Counter()):
        model.encode(given)
        inside = len(counts)
        capture(model, given, ["*.weights"])  # has its own probe
    model.encode(given)
    assert inside == len(counts) == len(matching(model.plan, ["*.output"]))
