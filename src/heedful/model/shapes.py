"""Names, shapes and cost of a plan's parameters, worked out from the plan alone. No torch here."""

from __future__ import annotations

from collections.abc import Iterator

from .plan import Block, FinalNorm, Head, Norm, Patches, Plan, Regions, Stream, Tokens

Shapes = Iterator[tuple[str, tuple[int, ...]]]


def _norm(address: str, norm: Norm | None, width: int) -> Shapes:
    if norm is not None:
        yield f"{address}.weight", (width,)
        if norm.kind == "layer":
            yield f"{address}.bias", (width,)


def _linear(address: str, outputs: int, inputs: int, bias: bool = True) -> Shapes:
    yield f"{address}.weight", (outputs, inputs)
    if bias:
        yield f"{address}.bias", (outputs,)


def _embedding(stream: Stream) -> Shapes:
    address, width, embedding = f"{stream.name}.embedding", stream.width, stream.embedding
    if isinstance(embedding, Tokens):
        yield f"{address}.tokens.weight", (embedding.vocab, width)
        if embedding.positions == "learned":
            yield f"{address}.positions.weight", (embedding.capacity + embedding.offset, width)
        if embedding.segments:
            yield f"{address}.segments.weight", (embedding.segments, width)
        if embedding.tasks:
            yield f"{address}.tasks.weight", (embedding.tasks, width)
    elif isinstance(embedding, Patches):
        yield from _linear(f"{address}.pixels", width, _seen(embedding), embedding.bias)
        if embedding.box:
            yield from _linear(f"{address}.box", width, embedding.box)
        if embedding.first:
            yield f"{address}.first", (width,)
        if embedding.capacity:
            yield f"{address}.positions.weight", (embedding.capacity, width)
    else:
        yield from _linear(f"{address}.features", width, embedding.features)
        yield from _linear(f"{address}.box", width, embedding.box)
        if embedding.apart:
            yield from _norm(f"{address}.box_norm", embedding.norm, width)
    yield from _norm(f"{address}.norm", embedding.norm, width)


def _seen(embedding: Regions | Patches) -> int:
    """Numbers of a region's or patch's vector."""
    return embedding.channels * embedding.edge**2 if isinstance(embedding, Patches) else embedding.features


def _block(plan: Plan, address: str, block: Block) -> Shapes:
    width = plan.stream(block.stream).width
    for attend in block.attends:
        here = f"{address}.{attend.stream}"
        attended = plan.stream(attend.stream).width
        yield from _linear(f"{here}.query", attend.inner, width, attend.bias)
        yield from _linear(f"{here}.key", attend.kv_inner, attended, attend.bias)
        yield from _linear(f"{here}.value", attend.kv_inner, attended, attend.bias)
        yield from _linear(f"{here}.output", width, attend.inner, attend.bias)
        if attend.positions == "buckets":
            yield f"{here}.buckets", (attend.buckets, attend.heads)
        if attend.own_norm:
            yield from _norm(f"{here}.attended_norm", block.norm, attended)
        yield from _norm(f"{here}.norm", block.norm, width)
    feed = block.feedforward
    if feed is not None:
        here = f"{address}.feedforward"
        yield from _linear(f"{here}.inner", feed.width, width, feed.bias)
        if feed.gated:
            yield from _linear(f"{here}.gate", feed.width, width, feed.bias)
        yield from _linear(f"{here}.output", width, feed.width, feed.bias)
        yield from _norm(f"{here}.norm", block.norm, width)


def _head(plan: Plan, head: Head) -> Shapes:
    address, stream = f"heads.{head.name}", plan.stream(head.streams[0])
    if head.reads == "pooled":
        assert stream.pool is not None, "a pooled head reads streams that have a pool"
        width = stream.pool.width
    else:
        width = stream.width
    width *= head.together
    if head.transform:
        hidden = head.hidden or width
        yield from _linear(f"{address}.transform", hidden, width)
        yield from _norm(f"{address}.norm", head.norm, hidden)
        width = hidden
    if head.outputs:
        yield from _linear(f"{address}.output", head.outputs, width, head.bias)


def parameter_shapes(plan: Plan) -> dict[str, tuple[int, ...]]:
    """Address -> shape of every parameter, in the order of the plan; tied parameters appear once."""
    found: dict[str, tuple[int, ...]] = {}
    for stream in plan.streams:
        found.update(_embedding(stream))
    for _, address, block in plan.blocks():
        found.update(_block(plan, address, block))
    for step in plan.steps:
        if isinstance(step, FinalNorm):
            found.update(_norm(f"{step.stream}.norm", step.norm, plan.stream(step.stream).width))
    for stream in plan.streams:
        if stream.pool is not None:
            found.update(_linear(f"{stream.name}.pool", stream.pool.width, stream.width, stream.pool.bias))
    for head in plan.heads:
        found.update(_head(plan, head))
    for tie in plan.ties:
        for name in [name for name in found if name == tie.share or name.startswith(tie.share + ".")]:
            del found[name]
    return found


def count(shape: tuple[int, ...]) -> int:
    """How many numbers a parameter of this shape holds."""
    total = 1
    for size in shape:
        total *= size
    return total


def flops_per_token(plan: Plan) -> dict[str, int]:
    """Forward floating-point operations per token of each stream, without the length-dependent query . key products.

    Two per weight of every matrix that the token passes (Kaplan et al. 2020, 2.1); keys and values count for the
    stream that is attended to; look-ups count nothing. Three times this is a training step's cost.
    """
    cost = {stream.name: 0 for stream in plan.streams}
    for _, _, block in plan.blocks():
        width = plan.stream(block.stream).width
        for attend in block.attends:
            cost[block.stream] += 4 * width * attend.inner
            cost[attend.stream] += 4 * plan.stream(attend.stream).width * attend.kv_inner
        if block.feedforward is not None:
            cost[block.stream] += 2 * width * block.feedforward.width * (3 if block.feedforward.gated else 2)
    for head in plan.heads:
        if head.reads == "tokens":
            width = plan.stream(head.streams[0]).width
            hidden = (head.hidden or width) if head.transform else 0
            cost[head.streams[0]] += 2 * (width * hidden + (hidden or width) * head.outputs)
    for stream in plan.streams:
        if not isinstance(stream.embedding, Tokens):
            cost[stream.name] += 2 * stream.width * (_seen(stream.embedding) + stream.embedding.box)
    return cost
