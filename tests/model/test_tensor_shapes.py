# ruff: noqa: F722, F821, UP037 (shapes are written as strings)
"""Shapes that the docstrings promise, executed: the same letter must be the same size throughout a call."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from heedful.model import kernels, positions
from heedful.model.attention import Attention, Pairing
from heedful.model.layout import Layout
from heedful.model.plan import Attend, Norm

jaxtyping = pytest.importorskip("jaxtyping")
beartype = pytest.importorskip("beartype")

from jaxtyping import Float, Int, jaxtyped  # noqa: E402


@jaxtyped(typechecker=beartype.beartype)
def attend_explicit(
    query: Float[torch.Tensor, "rows heads queries w"],
    key: Float[torch.Tensor, "rows kv keys w"],
    value: Float[torch.Tensor, "rows kv keys v"],
    bias: Float[torch.Tensor, "#rows #heads #queries keys"] | None,
) -> Float[torch.Tensor, "rows heads queries v"]:
    return kernels.explicit(query, key, value, bias, None, 0.5, 0.0)


@jaxtyped(typechecker=beartype.beartype)
def attend_fused(
    query: Float[torch.Tensor, "rows heads queries w"],
    key: Float[torch.Tensor, "rows kv keys w"],
    value: Float[torch.Tensor, "rows kv keys v"],
    bias: Float[torch.Tensor, "#rows #heads #queries keys"] | None,
) -> Float[torch.Tensor, "rows heads queries v"]:
    return kernels.fused(query, key, value, bias, None, 0.5, 0.0)


@jaxtyped(typechecker=beartype.beartype)
def attention(
    module: Attention,
    states: Float[torch.Tensor, "tokens width"],
    attended: Float[torch.Tensor, "others attended_width"],
    pairing: Pairing,
) -> Float[torch.Tensor, "tokens width"]:
    return module(states, attended, pairing)  # type: ignore[no-any-return]


@jaxtyped(typechecker=beartype.beartype)
def turned(
    states: Float[torch.Tensor, "*any tokens w"], where: Int[torch.Tensor, "tokens"]
) -> Float[torch.Tensor, "*any tokens w"]:
    return positions.rotate(states, positions.rotation(where, states.shape[-1], 10000.0))


@pytest.mark.parametrize("kernel", [attend_explicit, attend_fused])
@pytest.mark.parametrize("kv", [1, 2, 4])
@pytest.mark.parametrize("bias", [None, (3, 4, 5, 6), (1, 4, 5, 6), (3, 1, 5, 6), (1, 1, 1, 6), (3, 1, 1, 6)])
def test_kernels(kernel: object, kv: int, bias: tuple[int, ...] | None) -> None:
    """Every form of bias, shared and unshared heads; values may be wider than keys."""
    query, key, value = torch.randn(3, 4, 5, 8), torch.randn(3, kv, 6, 8), torch.randn(3, kv, 6, 8)
    added = None if bias is None else torch.randn(bias)
    one = kernel(query, key, value, added)  # type: ignore[operator]
    other = attend_explicit(query, key.repeat_interleave(4 // kv, 1), value.repeat_interleave(4 // kv, 1), added)
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("key_heads", [None, 1, 2])
@pytest.mark.parametrize("rows", [[3, 1, 4], [0, 0], []])
def test_attention(own: bool, key_heads: int | None, rows: list[int]) -> None:
    """Head width and widths of the streams are independent of one another; rows may be empty, or none."""
    attend = Attend(stream="other", heads=4, head_width=3, key_heads=key_heads)
    queries = Layout.packed(np.array(rows, np.int64))
    keys = queries if own else Layout.packed(np.arange(len(rows)) % 3)
    width, attended_width = 10, 10 if own else 7
    module = Attention(attend, width, attended_width, own, Norm())
    with torch.no_grad():
        states = torch.randn(queries.tokens, width)
        attended = states if own else torch.randn(keys.tokens, attended_width)
        attention(module, states, attended, Pairing(attend, queries, keys))


def test_rotation_keeps_lengths_and_depends_on_distance_alone() -> None:
    """Su et al. 2021, 3.2.2: the product of a turned query and key is a function of key - query."""
    query, key = torch.randn(2, 8).double().unbind()
    where = torch.tensor([0, 3, 50, 53])
    turned_query = turned(query.expand(4, 8).float(), where)
    turned_key = turned(key.expand(4, 8).float(), where)
    torch.testing.assert_close(turned_query.norm(dim=1), query.float().norm().expand(4))
    products = turned_query @ turned_key.T
    torch.testing.assert_close(products[0, 1], products[2, 3])
    torch.testing.assert_close(products[1, 0], products[3, 2])
    assert abs(float(products[0, 1] - products[1, 0])) > 1e-3
