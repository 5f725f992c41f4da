"""Two ways to the same attention: explicit matrix products, and torch's fused kernel.

Explicit products are the faster training path on a CPU up to some hundred tokens, and there the weights cost nothing
to look at; the fused kernel serves long sequences and GPUs. Which one runs is a pure function of shapes and device.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from .dropout import dropout

EXPLICIT_UP_TO = 512


def choose(device: torch.device, queries: int, keys: int) -> str:
    """ "explicit" or "fused" for blocks of this many queries and keys."""
    return "explicit" if device.type == "cpu" and max(queries, keys) <= EXPLICIT_UP_TO else "fused"


def explicit(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    blind: Tensor | None,
    scale: float,
    drop: float,
    see: Callable[[str, Tensor], Tensor] | None = None,
) -> Tensor:
    """softmax(scale * query . key + bias) . value (Vaswani et al. 2017, equation 1).

    query [rows, heads, queries, w], key and value [rows, key heads, keys, w]; bias broadcasts to
    [rows, heads, queries, keys]; blind is True at queries that may see nothing, whose weights and output are zero.
    Returns [rows, heads, queries, w]. `see` is shown "scores" and then "weights" [rows, heads, queries, keys], before
    dropout, and what it returns is used in their place.
    """
    rows, heads, queries, width = query.shape
    shared = heads // key.shape[1]
    batch, keys = rows * key.shape[1], key.shape[2]
    # Heads that share a key head stand side by side as more queries of it.
    flat_query = query.reshape(batch, shared * queries, width)
    flat_key = key.reshape(batch, keys, width)
    flat_value = value.reshape(batch, keys, value.shape[3])
    added = _per_batch(bias, rows, heads) if bias is not None and shared == 1 else None
    scores: Tensor = _Scores.apply(flat_query, flat_key, added, scale)
    if bias is not None and shared > 1:
        scores = (scores.view(rows, heads, queries, keys) + bias).view(batch, shared * queries, keys)
    if see is not None:
        scores = see("scores", scores.view(rows, heads, queries, keys)).reshape(scores.shape)
    exact = torch.promote_types(scores.dtype, torch.float32)
    weights = scores.to(exact).softmax(-1).to(scores.dtype)
    if blind is not None:
        weights = weights.view(rows, heads, queries, keys).masked_fill(blind, 0.0).view(weights.shape)
    if see is not None:
        weights = see("weights", weights.view(rows, heads, queries, keys)).reshape(weights.shape)
    output = torch.bmm(dropout(weights, drop, drop > 0.0), flat_value)
    return output.view(rows, heads, queries, value.shape[3])


class _Scores(torch.autograd.Function):
    """scale * query . key + bias. Torch's own gradient of the keys comes turned, and is copied to turn it back."""

    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, bias: Tensor | None, scale: float) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(query, key)
        ctx.scale, ctx.added = scale, None if bias is None else bias.shape
        if bias is None:
            return torch.bmm(query, key.transpose(1, 2)).mul_(scale)
        return torch.baddbmm(bias, query, key.transpose(1, 2), alpha=scale)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
        query, key = ctx.saved_tensors
        to_bias = gradient.sum_to_size(ctx.added) if ctx.needs_input_grad[2] else None
        gradient = gradient * ctx.scale
        return torch.bmm(gradient, key), torch.bmm(gradient.transpose(1, 2), query), to_bias, None


def _per_batch(bias: Tensor, rows: int, heads: int) -> Tensor:
    """`bias` in a form that broadcasts to [rows * heads, queries, keys]; a copy only where both differ."""
    if bias.shape[0] == 1 and bias.shape[1] == 1:
        return bias[0]
    return bias.expand(rows, heads, *bias.shape[2:]).reshape(rows * heads, *bias.shape[2:])


def fused(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, blind: Tensor | None, scale: float, drop: float
) -> Tensor:
    """The same output from torch's scaled_dot_product_attention; it never shows its weights."""
    if key.shape[2] == 0:
        return query.new_zeros(*query.shape[:3], value.shape[3])
    grouped = query.shape[1] != key.shape[1]
    if bias is not None:
        bias = bias.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])
    output = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=bias, dropout_p=drop, scale=scale, enable_gqa=grouped
    )
    return output if blind is None else output.masked_fill(blind, 0.0)
