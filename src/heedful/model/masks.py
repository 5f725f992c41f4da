"""Masks as values, and what they come to for two layouts. True always means "may attend".

Whether a token exists is the Layout's business; whether it may be seen is the Mask's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Added to scores that may not attend. Finite, so that a row which sees nothing still has finite gradients; large
# enough that exp() of it is exactly 0 next to any real score.
NEVER = -1e9


@dataclass(frozen=True)
class Mask:
    """Which (query position, key position) pairs may attend; `a & b` allows what both allow.

    `kind` "open": all; "causal": keys at or before the query, at most `window` - 1 back where a window is given;
    "prefix": causal, but every query also sees the first `length` positions; "both": the two `parts`.
    """

    kind: str = "open"
    window: int | None = None
    length: int = 0
    parts: tuple[Mask, ...] = ()

    def __post_init__(self) -> None:
        if self.window is not None and self.window < 1:
            raise ValueError(f"a window of {self.window} lets a token see nothing; 1 is the least, the token itself")

    def __and__(self, other: Mask) -> Mask:
        if self.kind == "open":
            return other
        if other.kind == "open":
            return self
        return Mask("both", parts=(self, other))

    def visible(self, query: Tensor, key: Tensor) -> Tensor | None:
        """Boolean of the broadcast shape of `query` and `key` positions; None where everything is visible."""
        if self.kind == "open":
            return None
        if self.kind == "both":
            left, right = (part.visible(query, key) for part in self.parts)
            assert left is not None, "open parts are dropped by &"
            assert right is not None, "open parts are dropped by &"
            return left & right
        seen = key <= query
        if self.kind == "prefix":
            return seen | (key < self.length)
        if self.window is not None:
            seen = seen & (query - key < self.window)
        return seen


OPEN = Mask()


def causal(window: int | None = None) -> Mask:
    """Each token sees itself and what came before (Vaswani et al. 2017, 3.2.3)."""
    return Mask("causal", window=window)


def prefix(length: int) -> Mask:
    """The first `length` positions are seen by all; after them, causal."""
    return Mask("prefix", length=length)


def additive(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where visible, NEVER elsewhere."""
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(~visible, NEVER)
