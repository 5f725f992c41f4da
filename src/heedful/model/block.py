"""One layer of one stream: attend, once or more, in order, then feed forward. The residual is written once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from torch import Tensor, nn

from . import plan
from .attention import Attention
from .dropout import dropout
from .feedforward import FeedForward
from .probe import Probe, see


class Attending(Protocol):
    """What an attention of the block does with the states: pair them with a layout, or step with a cache."""

    def __call__(self, attention: Attention, states: Tensor, here: str) -> Tensor: ...


class Block(nn.Module):
    """Built from its plan; children are named after the streams attended to, and `feedforward`."""

    def __init__(self, block: plan.Block, widths: dict[str, int]) -> None:
        super().__init__()
        self.plan = block
        width = widths[block.stream]
        self.attentions: list[Attention] = []
        for attend in block.attends:
            own = attend.stream == block.stream
            attention = Attention(attend, width, widths[attend.stream], own, block.norm)
            self.add_module(attend.stream, attention)
            self.attentions.append(attention)
        self.feedforward = FeedForward(block.feedforward, width, block.norm) if block.feedforward else None
        self.pre = block.place == "pre"
        self.drop = block.dropout

    def forward(self, states: Tensor, attending: Attending, probe: Probe | None, address: str) -> Tensor:
        """states [tokens, width] -> [tokens, width]; `attending` knows what there is to attend to."""
        for attention in self.attentions:
            here = f"{address}.{attention.attend.stream}"
            states = see(probe, here, "before", states)
            states = self._residual(states, partial(attending, attention, here=here), attention.norm)
            states = see(probe, here, "after", states)
        if self.feedforward is not None:
            here = f"{address}.feedforward"
            states = see(probe, here, "before", states)
            states = self._residual(states, partial(self.feedforward, probe=probe, address=here), self.feedforward.norm)
            states = see(probe, here, "after", states)
        return states

    def _residual(self, states: Tensor, layer: Callable[[Tensor], Tensor], normal: nn.Module) -> Tensor:
        """Pre-norm x + f(norm(x)) (Xiong et al. 2020), or post-norm norm(x + f(x)) (Vaswani et al. 2017, 3.1)."""
        if self.pre:
            return states + dropout(layer(normal(states)), self.drop, self.training)
        return normal(states + dropout(layer(states), self.drop, self.training))  # type: ignore[no-any-return]
