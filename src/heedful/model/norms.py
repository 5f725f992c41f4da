"""Normalisation layers. The formulas are torch's; here is only the choice by name."""

from __future__ import annotations

from torch import nn

from .plan import Norm


def norm(kind: Norm, width: int) -> nn.Module:
    """Layer normalisation with weight and bias, or root-mean-square normalisation with weight."""
    return nn.LayerNorm(width, eps=kind.eps) if kind.kind == "layer" else nn.RMSNorm(width, eps=kind.eps)
