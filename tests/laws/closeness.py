"""What "equal" means in a law: max|a - b| <= tolerance x max(1, max|reference|)."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from heedful.model.model import Model
from heedful.model.plan import Plan

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}

# (law, tolerance) -> the largest difference seen; shown at the end of a verbose run.
LARGEST: dict[tuple[str, float], float] = {}


def assert_close(law: str, got: Tensor, reference: Tensor, tolerance: float | None = None) -> None:
    """The house's equality; without a tolerance, that of the precision of `got`. NaN and infinity are never equal."""
    if tolerance is None:
        tolerance = TOLERANCE[got.dtype]
    assert got.shape == reference.shape, f"{law}: {tuple(got.shape)}, not {tuple(reference.shape)}"
    if got.numel() == 0:
        return
    got, reference = got.detach().double(), reference.detach().double()
    assert torch.isfinite(got).all(), f"{law}: not finite"
    difference = float((got - reference).abs().max() / max(1.0, float(reference.abs().max())))
    LARGEST[law, tolerance] = max(LARGEST.get((law, tolerance), 0.0), difference)
    assert difference <= tolerance, f"{law}: differs by {difference:.2e}, allowed {tolerance:.0e}"


def assert_all_close(
    law: str, got: dict[str, Tensor], reference: dict[str, Tensor], tolerance: float | None = None
) -> None:
    """`assert_close` for each of the same names."""
    assert got.keys() == reference.keys(), f"{law}: {sorted(got.keys() ^ reference.keys())}"
    for name in got:
        try:
            assert_close(law, got[name], reference[name], tolerance)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


def assert_same_bits(got: dict[str, Tensor], reference: dict[str, Tensor]) -> None:
    """Bit for bit, name by name."""
    assert got.keys() == reference.keys()
    for name in got:
        assert torch.equal(got[name], reference[name]), f"{name}: {(got[name] - reference[name]).abs().max():.2e} apart"


@functools.cache
def _holder(made: Plan) -> Model:
    return Model(made, seed=None)


def gradients(model: Model) -> dict[str, Tensor]:
    """Gradients by the parameters' names in files; zeros where none arrived."""
    holder = _holder(model.plan)
    with torch.no_grad():
        for (name, place), (same, parameter) in zip(holder.named_parameters(), model.named_parameters(), strict=True):
            assert name == same
            place.copy_(torch.zeros_like(parameter) if parameter.grad is None else parameter.grad)
    return {name: tensor.clone() for name, tensor in holder.tensors().items()}
