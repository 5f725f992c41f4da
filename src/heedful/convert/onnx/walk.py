"""A plan walked over once more, with nodes of an ONNX graph for its layers.

Rows are padded here: states are [batch, sequence, width], and a mask says which slots hold a token, wherever they are.
A token's position is the number of tokens before it in its row, so rows may be padded on either side. What stands in
the slots that pad is finite and means nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch

from ...model.masks import NEVER
from ...model.plan import Attend, Block, FeedForward, FinalNorm, Plan, attention_scale
from ...model.positions import alibi_slopes, bucket
from .graph import Array, Graph, refusal

T = TypeVar("T")
Pair = tuple[str, str]


@dataclass(frozen=True)
class Lane:
    """A stream in a graph: where tokens are, bool [batch, keys] (None: everywhere); a value [batch, sequence, ...] of
    it; the past keys that come before these, [batch, heads, past, width]."""

    real: str | None
    like: str = ""
    past: str | None = None


class Walk:
    """Adds the nodes of some streams of a plan to a graph.

    `past`: keys and values of earlier tokens, by the address of the attention. They come before those of the tokens
    given, and `present` are both. `settled`: keys and values of a stream that is not in the graph, likewise.
    """

    def __init__(
        self,
        graph: Graph,
        plan: Plan,
        past: Mapping[str, Pair] | None = None,
        settled: Mapping[str, Pair] | None = None,
    ) -> None:
        self.graph, self.plan = graph, plan
        self.lanes: dict[str, Lane] = {}
        self.states: dict[str, str] = {}
        self.past, self.settled = past or {}, settled or {}
        self.present: dict[str, Pair] = {}
        self._made: dict[object, Any] = {}

    def once(self, key: object, make: Callable[[], T]) -> T:
        """What `make` gives, made when it is first asked for and shared by all layers."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]  # type: ignore[no-any-return]

    def run(self, first: int = 0, last: int | None = None) -> None:
        """The steps `first` to `last` (not included; None: all) of the streams that have states."""
        blocks: list[list[tuple[str, Block]]] = [[] for _ in self.plan.steps]
        for number, address, block in self.plan.blocks():
            blocks[number].append((address, block))
        for number, step in list(enumerate(self.plan.steps))[first:last]:
            snapshot = dict(self.states)
            if isinstance(step, FinalNorm) and step.stream in snapshot:
                self.graph.at = step.stream
                self.states[step.stream] = self.graph.norm(f"{step.stream}.norm", step.norm, snapshot[step.stream])
            for address, block in blocks[number]:
                if block.stream in snapshot:
                    self.states[block.stream] = self._block(address, block, snapshot)

    # ---- positions ------------------------------------------------------------------------------------------------

    def keys(self, stream: str) -> str:
        """Positions [batch, keys] of what may be seen of a stream."""
        return self.once(("keys", stream), lambda: self._counted(self.lanes[stream]))

    def positions(self, stream: str) -> str:
        """Positions [batch, sequence] of the tokens given."""
        graph, lane = self.graph, self.lanes[stream]
        if lane.past is None:
            return self.keys(stream)
        end = graph.ints(np.iinfo(np.int64).max)
        newest = lambda: graph.op("Slice", self.keys(stream), _size(graph, lane.past, 2), end, graph.ints(1))
        return self.once(("positions", stream), newest)

    def _counted(self, lane: Lane) -> str:
        graph = self.graph
        if lane.real is not None:
            ones = graph.cast(lane.real, np.int64)
        else:
            length = _size(graph, lane.like, 1)
            length = length if lane.past is None else graph.op("Add", _size(graph, lane.past, 2), length)
            shape = graph.op("Concat", _size(graph, lane.like, 0), length, axis=0)
            ones = graph.op("Expand", graph.ints(1), shape)
        before = graph.op("Sub", graph.op("CumSum", ones, graph.constant(1, np.int64)), graph.ints(1))
        return graph.op("Max", before, graph.ints(0))

    def _distance(self, stream: str) -> str:
        """Key position - query position [batch, sequence, keys]."""
        graph = self.graph

        def made() -> str:
            key = graph.op("Unsqueeze", self.keys(stream), graph.ints(1))
            return graph.op("Sub", key, graph.op("Unsqueeze", self.positions(stream), graph.ints(2)))

        return self.once(("distance", stream), made)

    def sines(self, positions: str, frequency: Array, ahead: Array) -> str:
        """sin(positions [batch, sequence] x frequency [n] + ahead [n]); in fp64, for it may be thousands of turns.

        A cosine is a sine a quarter of a turn ahead: runtimes that have one in fp64 need not have the other.
        """
        graph = self.graph
        place = graph.op("Unsqueeze", graph.cast(positions, np.float64), graph.ints(2))
        angle = graph.op("Mul", place, graph.constant(frequency, np.float64))
        return graph.cast(graph.op("Sin", graph.op("Add", angle, graph.constant(ahead, np.float64))), np.float32)

    def _rotation(self, stream: str, attend: Attend) -> Pair:
        """Cosines and sines [batch, sequence, 1, head width]."""
        frequency = np.tile(attend.rotary_base ** -(np.arange(0, attend.head_width, 2) / attend.head_width), 2)

        def made(ahead: float) -> str:
            sines = self.sines(self.positions(stream), frequency, np.full_like(frequency, ahead))
            return self.graph.op("Unsqueeze", sines, self.graph.ints(2))

        key = ("rotation", stream, attend.head_width, attend.rotary_base)
        return self.once(key, lambda: (made(np.pi / 2), made(0.0)))

    # ---- blocks ---------------------------------------------------------------------------------------------------

    def _block(self, address: str, block: Block, snapshot: Mapping[str, str]) -> str:
        states = snapshot[block.stream]
        for attend in block.attends:
            here = f"{address}.{attend.stream}"
            other = None if attend.stream == block.stream else snapshot.get(attend.stream)
            states = self._residual(here, block, states, partial(self._attend, here, block, attend, other))
        if block.feedforward is not None:
            here, feed = f"{address}.feedforward", block.feedforward
            states = self._residual(here, block, states, partial(self._feed, here, feed))
        return states

    def _residual(self, here: str, block: Block, states: str, layer: Callable[[str], str]) -> str:
        graph = self.graph
        graph.at = here
        if block.place == "pre":
            return graph.op("Add", states, layer(graph.norm(f"{here}.norm", block.norm, states)))
        if block.place == "post":
            return graph.norm(f"{here}.norm", block.norm, graph.op("Add", states, layer(states)))
        raise refusal(f"{here}: place", block.place)

    def _feed(self, here: str, feed: FeedForward, states: str) -> str:
        graph, inner = self.graph, self.graph.linear(f"{here}.inner", states, feed.bias)
        if feed.gated:
            gate = graph.activation(feed.activation, graph.linear(f"{here}.gate", states, feed.bias))
            inner = graph.op("Mul", gate, inner)
        else:
            inner = graph.activation(feed.activation, inner)
        return graph.linear(f"{here}.output", inner, feed.bias)

    def _attend(self, here: str, block: Block, attend: Attend, other: str | None, states: str) -> str:
        """softmax(scale * query . key + bias) . value (Vaswani et al. 2017, equation 1), projected.

        Heads that share keys have an axis of their own: queries are [batch, key heads, that share, sequence, width].
        """
        graph, own = self.graph, attend.stream == block.stream
        turn = self._rotation(block.stream, attend) if own and attend.positions == "rotary" else None
        query = self._heads(graph.linear(f"{here}.query", states, attend.bias), attend, attend.heads, turn)
        pair = self.settled.get(here)
        if pair is None:
            attended = states if own else other
            assert attended is not None, "what is not in the graph has settled"
            pair = self.key_value(here, block, attend, attended, turn)
        if here in self.past:
            key, value = (graph.op("Concat", *both, axis=2) for both in zip(self.past[here], pair, strict=True))
            pair = self.present[here] = key, value
        if _shares(attend):
            pair = graph.op("Unsqueeze", pair[0], graph.ints(2)), graph.op("Unsqueeze", pair[1], graph.ints(2))
        key = graph.op("Transpose", pair[0], perm=[0, 1, 2, 4, 3] if _shares(attend) else [0, 1, 3, 2])
        scores = graph.op("MatMul", query, key)
        if attention_scale(attend) != 1.0:
            scores = graph.op("Mul", scores, graph.constant(attention_scale(attend)))
        if (bias := self._bias(here, block.stream, attend)) is not None:
            scores = graph.op("Add", scores, bias)
        found = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), pair[1])
        found = graph.op("Transpose", found, perm=[0, 3, 1, 2, 4] if _shares(attend) else [0, 2, 1, 3])
        joined = graph.op("Reshape", found, graph.ints(0, 0, attend.inner))
        if (seeing := self._seeing(attend.stream)) is not None:
            joined = graph.op("Mul", joined, seeing)
        return graph.linear(f"{here}.output", joined, attend.bias)

    def key_value(self, here: str, block: Block, attend: Attend, attended: str, turn: Pair | None = None) -> Pair:
        """Keys and values [batch, key heads, keys, head width] of what is attended to."""
        graph = self.graph
        if attend.own_norm and attend.stream != block.stream:
            attended = graph.norm(f"{here}.attended_norm", block.norm, attended)
        key, value = (graph.linear(f"{here}.{part}", attended, attend.bias) for part in ("key", "value"))
        return self._heads(key, attend, attend.kv_heads, turn), self._heads(value, attend, attend.kv_heads, None)

    def _heads(self, states: str, attend: Attend, heads: int, turn: Pair | None) -> str:
        """[batch, sequence, heads x width] -> [batch, heads, sequence, width], turned where positions are rotary."""
        graph, width = self.graph, attend.head_width
        if turn is not None:
            states = graph.op("Reshape", states, graph.ints(0, 0, heads, width))
            first = graph.op("Slice", states, graph.ints(0), graph.ints(width // 2), graph.ints(3))
            second = graph.op("Slice", states, graph.ints(width // 2), graph.ints(width), graph.ints(3))
            turned = graph.op("Concat", graph.op("Neg", second), first, axis=3)
            states = graph.op("Add", graph.op("Mul", states, turn[0]), graph.op("Mul", turned, turn[1]))
        if heads == attend.kv_heads:
            apart = graph.op("Reshape", states, graph.ints(0, 0, heads, width))
            return graph.op("Transpose", apart, perm=[0, 2, 1, 3])
        shape = graph.ints(0, 0, attend.kv_heads, heads // attend.kv_heads, width)
        return graph.op("Transpose", graph.op("Reshape", states, shape), perm=[0, 2, 3, 1, 4])

    # ---- what may be seen -----------------------------------------------------------------------------------------

    def _seeing(self, stream: str) -> str | None:
        """1 for rows where a stream has a token, 0 for others [batch, 1, 1]; None where all have.

        Whatever the mask, a query of a row with tokens sees one: the first, or itself.
        """
        graph, real = self.graph, self.lanes[stream].real

        def made() -> str | None:
            if real is None:
                return None
            count = graph.op("ReduceSum", graph.cast(real, np.float32), graph.ints(1), keepdims=1)
            return graph.op("Unsqueeze", graph.op("Min", count, graph.constant(1)), graph.ints(2))

        return self.once(("seeing", stream), made)

    def _bias(self, here: str, stream: str, attend: Attend) -> str | None:
        """What masks and positions add to scores, shared by all layers that ask alike: [batch, heads or 1, sequence or
        1, keys], heads with an axis more where keys are shared."""
        table = self.graph.parameters.kept(f"{here}.buckets") if attend.positions == "buckets" else None
        parts = [self._never(stream, attend), self._relative(stream, attend, table)]
        present = [part for part in parts if part is not None]
        if len(present) < 2:
            return present[0] if present else None
        return self.once(("sum", *present), lambda: self.graph.op("Add", *present))

    def _never(self, stream: str, attend: Attend) -> str | None:
        """0 where a query may see a key, NEVER elsewhere; None where it may see all."""
        graph, real, shares = self.graph, self.lanes[attend.stream].real, _shares(attend)
        if attend.mask not in ("open", "causal"):
            raise refusal(f"{graph.at}: mask", attend.mask)
        causal = attend.mask == "causal"
        window = attend.window if causal else None

        def made() -> str | None:
            visible = None if real is None else graph.op("Unsqueeze", real, graph.ints(1))
            if causal:
                distance = self._distance(stream)
                seen = graph.op("LessOrEqual", distance, graph.ints(0))
                if window is not None:
                    seen = graph.op("And", seen, graph.op("Greater", distance, graph.ints(-window)))
                visible = seen if visible is None else graph.op("And", seen, visible)
            if visible is None:
                return None
            never = graph.op("Where", visible, graph.constant(0.0), graph.constant(NEVER))
            return graph.op("Unsqueeze", never, graph.ints(1, 2) if shares else graph.ints(1))

        return self.once(("never", stream, attend.stream, causal, window, shares), made)

    def _relative(self, stream: str, attend: Attend, table: str | None) -> str | None:
        """What positions add; None where the scheme adds nothing. `table`: the weight that holds its buckets."""
        graph, shares = self.graph, _shares(attend)
        groups = (attend.kv_heads, attend.heads // attend.kv_heads) if shares else (attend.heads,)

        def alibi() -> str:
            far = graph.cast(graph.op("Abs", self._distance(stream)), np.float32)
            far = graph.op("Unsqueeze", far, graph.ints(1, 2) if shares else graph.ints(1))
            return graph.op("Mul", far, graph.constant(-alibi_slopes(attend.heads).numpy().reshape(*groups, 1, 1)))

        def buckets() -> str:
            most = attend.bucket_distance  # all that is further is in the same bucket
            distances = torch.arange(-most, most + 1)
            numbers = bucket(distances, attend.buckets, most, two_sided=attend.mask == "open").numpy()
            by_distance = graph.op("Gather", graph.weight(f"{table}"), graph.constant(numbers, np.int64))
            near = graph.op("Max", graph.op("Min", self._distance(stream), graph.ints(most)), graph.ints(-most))
            found = graph.op("Gather", by_distance, graph.op("Add", near, graph.ints(most)))
            if shares:
                found = graph.op("Reshape", found, graph.ints(0, 0, 0, *groups))
            return graph.op("Transpose", found, perm=[0, 3, 4, 1, 2] if shares else [0, 3, 1, 2])

        key = (stream, attend.mask, groups, attend.buckets, attend.bucket_distance, table)
        match attend.positions:
            case "none" | "rotary":
                return None
            case "alibi":
                return self.once(("alibi", *key), alibi)
            case "buckets":
                return self.once(("buckets", *key), buckets)
        raise refusal(f"{graph.at}: positions", attend.positions)


def _shares(attend: Attend) -> bool:
    return attend.kv_heads != attend.heads


def _size(graph: Graph, value: str | None, axis: int) -> str:
    """How long an axis is [1]."""
    return graph.op("Shape", value or "", start=axis, end=axis + 1)


def waves(width: int, arrangement: str) -> tuple[Array, Array]:
    """Frequencies [width] of sinusoidal positions, and what is added to the angle: see `model.positions.sinusoids`."""
    if arrangement == "fairseq":
        half, last = width // 2, width % 2  # an odd last column is the sine of nothing
        frequency = np.tile(10000.0 ** (-np.arange(half) / max(1, half - 1)), 2)
        ahead = np.repeat([0.0, np.pi / 2], half)
        return np.pad(frequency, (0, last)), np.pad(ahead, (0, last))
    frequency = 10000.0 ** (-np.arange(0, width, 2) / width)
    if arrangement == "halves":
        half = len(frequency)
        return np.tile(frequency, 2)[:width], np.repeat([0.0, np.pi / 2], half)[:width]
    if arrangement == "interleaved":
        return np.repeat(frequency, 2)[:width], np.tile([0.0, np.pi / 2], len(frequency))[:width]
    raise refusal("sinusoid", arrangement)
