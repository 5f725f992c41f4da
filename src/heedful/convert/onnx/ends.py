"""Both ends of a graph: what goes in and becomes the first states, and what is read off the last ones."""

from __future__ import annotations

import math
from functools import reduce

import numpy as np

from ...model.plan import Head, Patches, Regions, Stream, Tokens
from .graph import Graph, refusal
from .walk import Lane, Walk, waves

# ---- in -------------------------------------------------------------------------------------------------------------


def enter(walk: Walk, stream: Stream, before: str = "", past: str | None = None, masked: bool = True) -> None:
    """The inputs of a stream, named `before` and what they are, and its first states.

    `past`: keys that come before its tokens; a mask is then as long as both together.
    """
    graph, sizes, shape = walk.graph, stream.embedding, ("batch", f"{before.replace('.', '_')}sequence")
    if isinstance(sizes, Tokens):
        seen = graph.input(f"{before}input_ids", "int64", *shape)
    elif isinstance(sizes, Patches):
        seen = graph.input(f"{before}pixels", "float32", *shape, sizes.channels * sizes.edge**2)
    else:
        seen = graph.input(f"{before}features", "float32", *shape, sizes.features)
    real = None
    if masked:
        slots = shape if past is None else ("batch", "total")
        real = graph.cast(graph.input(f"{before}attention_mask", "int64", *slots), np.bool_)
    walk.lanes[stream.name] = Lane(real, seen, past)
    graph.at = f"{stream.name}.embedding"
    if isinstance(sizes, Tokens):
        segments = graph.input(f"{before}token_type_ids", "int64", *shape) if sizes.segments else None
        walk.states[stream.name] = _tokens(walk, stream, sizes, seen, segments)
    else:
        boxes = graph.input(f"{before}boxes", "float32", *shape, sizes.box) if sizes.box else None
        walk.states[stream.name] = _picture(walk, stream, sizes, seen, boxes)


def _looked_up(graph: Graph, table: str, numbers: str) -> str:
    return graph.op("Gather", graph.weight(f"{graph.at}.{table}.weight"), numbers)


def _tokens(walk: Walk, stream: Stream, sizes: Tokens, ids: str, segments: str | None) -> str:
    graph, at = walk.graph, walk.graph.at
    states = _looked_up(graph, "tokens", ids)
    if sizes.scaled:
        states = graph.op("Mul", states, graph.constant(math.sqrt(stream.width)))
    if sizes.positions != "none":
        places = walk.positions(stream.name)
        if sizes.tasks:  # the task's token has no place of its own
            places = graph.op("Sub", places, graph.cast(graph.op("Greater", places, graph.ints(0)), np.int64))
        if sizes.offset:
            places = graph.op("Add", places, graph.ints(sizes.offset))
        if sizes.positions == "learned":
            states = graph.op("Add", states, _looked_up(graph, "positions", places))
        elif sizes.positions == "sinusoidal":
            states = graph.op("Add", states, walk.sines(places, *waves(stream.width, sizes.sinusoid)))
        else:
            raise refusal(f"{at}: positions", sizes.positions)
    if segments is not None:
        states = graph.op("Add", states, _looked_up(graph, "segments", segments))
    if sizes.tasks:
        chosen = _looked_up(graph, "tasks", graph.op("Min", ids, graph.ints(sizes.tasks - 1)))
        states = graph.op("Where", _at_position(walk, stream, 1), chosen, states)
    return graph.norm(f"{at}.norm", sizes.norm, states)


def _picture(walk: Walk, stream: Stream, sizes: Regions | Patches, vectors: str, boxes: str | None) -> str:
    graph, at = walk.graph, walk.graph.at
    if isinstance(sizes, Patches):
        states = graph.linear(f"{at}.pixels", vectors, sizes.bias)
        if sizes.first:
            states = graph.op("Where", _at_position(walk, stream, 0), graph.weight(f"{at}.first"), states)
    else:
        states = graph.linear(f"{at}.features", vectors, bias=True)
    if boxes is not None:
        box = graph.linear(f"{at}.box", boxes, bias=True)
        if isinstance(sizes, Regions) and sizes.apart and sizes.norm is not None:
            both = graph.norm(f"{at}.norm", sizes.norm, states), graph.norm(f"{at}.box_norm", sizes.norm, box)
            return graph.op("Mul", graph.op("Add", *both), graph.constant(0.5))
        states = graph.op("Add", states, box)
    if isinstance(sizes, Patches) and sizes.capacity:
        states = graph.op("Add", states, _looked_up(graph, "positions", walk.positions(stream.name)))
    return graph.norm(f"{at}.norm", sizes.norm, states)


def _at_position(walk: Walk, stream: Stream, position: int) -> str:
    """Which slots stand there [batch, sequence, 1]."""
    graph = walk.graph
    return graph.op("Unsqueeze", graph.op("Equal", walk.positions(stream.name), graph.ints(position)), graph.ints(2))


# ---- out ------------------------------------------------------------------------------------------------------------


def give_states(walk: Walk, stream: Stream, before: str = "") -> None:
    """`last_hidden_state` and, where the stream has a pool, `pooler_output`."""
    shape = ("batch", f"{before.replace('.', '_')}sequence", stream.width)
    walk.graph.output(f"{before}last_hidden_state", walk.states[stream.name], *shape)
    if stream.pool is not None:
        pooled = _row_vector(walk, stream, "pooled")
        walk.graph.output(f"{before}pooler_output", pooled, "batch", stream.pool.width)


def say(walk: Walk, head: Head, name: str, sequence: str = "sequence") -> None:
    """What a head answers, as an output of this name.

    Of an objective "contrast", vectors of length 1; where it compares streams, one output for each: "NAME.STREAM".
    """
    graph, streams = walk.graph, [walk.plan.stream(one) for one in head.streams]
    graph.at = f"heads.{head.name}"
    shape: tuple[str, ...]
    if head.reads == "tokens":
        read, shape = [walk.states[head.streams[0]]], ("batch", sequence)
    else:
        read = [_row_vector(walk, stream, head.reads) for stream in streams]
        shape = ("batch",) if head.together == 1 else ("groups",)
    if head.objective == "contrast":
        for stream, vectors in zip(streams, read, strict=False):
            own = name if len(read) == 1 else f"{name}.{stream.name}"
            graph.output(own, _unit(graph, _answer(walk, head, vectors)), *shape, _width(head, stream))
    elif head.join in ("product", "sum"):
        joined = reduce(lambda one, two: graph.op("Mul" if head.join == "product" else "Add", one, two), read)
        graph.output(name, _answer(walk, head, joined), *shape, _width(head, streams[0]))
    else:
        raise refusal(f"{graph.at}: join", head.join)


def _unit(graph: Graph, vectors: str) -> str:
    """Vectors divided by their lengths."""
    length = graph.op("ReduceL2", vectors, graph.ints(-1), keepdims=1)
    return graph.op("Div", vectors, graph.op("Max", length, graph.constant(1e-12)))


def _read_width(head: Head, stream: Stream) -> int:
    """Of what a head reads: rows side by side, if they are read together."""
    pool = stream.pool if head.reads == "pooled" else None
    return head.together * (stream.width if pool is None else pool.width)


def _width(head: Head, stream: Stream) -> int:
    """Of what a head answers."""
    hidden = head.hidden if head.transform else None
    return head.outputs or hidden or _read_width(head, stream)


def _answer(walk: Walk, head: Head, states: str) -> str:
    graph, at = walk.graph, walk.graph.at
    if head.together > 1:
        width = _read_width(head, walk.plan.stream(head.streams[0]))
        states = graph.op("Reshape", states, graph.ints(-1, width))
    if head.transform:
        states = graph.activation(head.transform, graph.linear(f"{at}.transform", states, bias=True))
        states = graph.norm(f"{at}.norm", head.norm, states)
    if head.scale != 1.0:
        states = graph.op("Mul", states, graph.constant(head.scale))
    return graph.linear(f"{at}.output", states, head.bias) if head.outputs else states


def _row_vector(walk: Walk, stream: Stream, how: str) -> str:
    """A vector of each row [batch, width]; the mean of a row without tokens is 0."""
    states = walk.states[stream.name]
    return walk.once((how, states), lambda: _read(walk, stream, how, states))


def _read(walk: Walk, stream: Stream, how: str, states: str) -> str:
    graph, real, pool = walk.graph, walk.lanes[stream.name].real, stream.pool
    assert real is not None, "rows are read where there is a mask"
    if how == "mean":
        kept = graph.op("Unsqueeze", graph.cast(real, np.float32), graph.ints(2))
        total = graph.op("ReduceSum", graph.op("Mul", states, kept), graph.ints(1), keepdims=0)
        count = graph.op("ReduceSum", kept, graph.ints(1), keepdims=0)
        return graph.op("Div", total, graph.op("Max", count, graph.constant(1)))
    if how not in ("first", "pooled"):
        raise refusal(f"{graph.at}: reads", how)
    last = how == "pooled" and pool is not None and pool.reads == "last"
    place = graph.op("ArgMax", graph.cast(real, np.int32), axis=1, keepdims=1, select_last_index=int(last))
    read = graph.op("GatherND", states, place, batch_dims=1)
    if how == "first":
        return read
    assert pool is not None, "a pooled head reads streams that have a pool"
    return graph.activation(pool.activation, graph.linear(f"{stream.name}.pool", read, pool.bias))
