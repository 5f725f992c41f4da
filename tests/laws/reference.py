"""The papers' formulas for one row, in double precision and nothing but loops and plain matrix products.

Written from the plan alone and from no code of the model: no layout, no padding, no mask values, no kernels.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from heedful.model.plan import Attend, Block, FinalNorm, Norm, Plan, Regions, Tokens

from .cases import Row

Weights = Mapping[str, Tensor]

ACTIVATIONS = {
    "relu": lambda x: torch.maximum(x, torch.zeros_like(x)),
    "gelu": lambda x: x / 2 * (1 + torch.erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: x / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "gelu_quick": lambda x: x / (1 + torch.exp(-1.702 * x)),
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "tanh": lambda x: (torch.exp(2 * x) - 1) / (torch.exp(2 * x) + 1),
    "none": lambda x: x,
}


class Weighed:
    """A plan's parameters in double precision, looked up by file name; ties resolve to what is kept."""

    def __init__(self, plan: Plan, tensors: Weights) -> None:
        self.tensors = {name: tensor.detach().double() for name, tensor in tensors.items()}
        self.ties = plan.ties

    def get(self, name: str) -> Tensor | None:
        for tie in self.ties:
            if name == tie.share or name.startswith(tie.share + "."):
                name = tie.keep + name[len(tie.share) :]
        return self.tensors.get(name)

    def linear(self, address: str, x: Tensor) -> Tensor:
        weight, bias = self.get(f"{address}.weight"), self.get(f"{address}.bias")
        assert weight is not None, address
        return x @ weight.T if bias is None else x @ weight.T + bias

    def norm(self, kind: Norm, address: str, x: Tensor) -> Tensor:
        weight, bias = self.get(f"{address}.weight"), self.get(f"{address}.bias")
        assert weight is not None, address
        if kind.kind == "rms":
            return x / torch.sqrt((x * x).mean(-1, keepdim=True) + kind.eps) * weight
        centred = x - x.mean(-1, keepdim=True)
        assert bias is not None
        return centred / torch.sqrt((centred * centred).mean(-1, keepdim=True) + kind.eps) * weight + bias


def embed(weighed: Weighed, plan: Plan, stream: str, row: Row) -> Tensor:
    """The first states of a row."""
    sizes, width, address = plan.stream(stream).embedding, plan.stream(stream).width, f"{stream}.embedding"
    if not isinstance(sizes, Tokens):
        seen = "pixels" if "pixels" in row else "features"
        states = weighed.linear(f"{address}.{seen}", row[seen].double())
        if (first := weighed.get(f"{address}.first")) is not None:
            states = torch.cat([first[None], states[1:]])
        if sizes.box:
            box = weighed.linear(f"{address}.box", row["boxes"][:, : sizes.box].double())
            if isinstance(sizes, Regions) and sizes.apart:
                assert sizes.norm is not None
                apart = weighed.norm(sizes.norm, f"{address}.norm", states)
                return (apart + weighed.norm(sizes.norm, f"{address}.box_norm", box)) / 2
            states = states + box
        if (places := weighed.get(f"{address}.positions.weight")) is not None:
            states = states + places[: len(states)]
        return states if sizes.norm is None else weighed.norm(sizes.norm, f"{address}.norm", states)
    table, tasks = weighed.get(f"{address}.tokens.weight"), weighed.get(f"{address}.tasks.weight")
    assert table is not None
    words = row["ids"] if tasks is None else torch.cat([row["ids"][:1], row["ids"][2:]])  # the second is no word
    states = table[words] * (math.sqrt(width) if sizes.scaled else 1.0)
    if sizes.positions == "learned":
        learned = weighed.get(f"{address}.positions.weight")
        assert learned is not None
        states = states + learned[torch.arange(len(states)) + sizes.offset]
    elif sizes.positions == "sinusoidal":
        waves = [sinusoid(p + sizes.offset, width, sizes.sinusoid) for p in range(len(states))]
        states = states + torch.tensor(waves, dtype=torch.float64).view(-1, width)
    if sizes.segments:
        segments = weighed.get(f"{address}.segments.weight")
        assert segments is not None
        states = states + segments[row["segments"]]
    if tasks is not None:
        states = torch.cat([states[:1], tasks[row["ids"][1:2]], states[1:]])
    return states if sizes.norm is None else weighed.norm(sizes.norm, f"{address}.norm", states)


def sinusoid(position: int, width: int, arrangement: str) -> list[float]:
    """Vaswani et al. 2017, 3.5: PE(pos, 2i) = sin(pos / 10000^(2i / width)), PE(pos, 2i + 1) the cosine; or fairseq's,
    whose wave lengths are a geometric series from 2 pi to 10000 x 2 pi, both ends included."""
    if arrangement == "fairseq":
        half = width // 2
        waves = [position / 10000 ** (i / (half - 1)) for i in range(half)]
        return [*map(math.sin, waves), *map(math.cos, waves), *[0.0] * (width % 2)]
    pairs = [
        (math.sin(position / 10000 ** (2 * i / width)), math.cos(position / 10000 ** (2 * i / width)))
        for i in range((width + 1) // 2)
    ]
    if arrangement == "halves":
        return ([sine for sine, _ in pairs] + [cosine for _, cosine in pairs])[:width]
    return [value for pair in pairs for value in pair][:width]


def rotated(x: Tensor, positions: list[int], base: float) -> Tensor:
    """x [n, head width], number i paired with number i + half as a complex number and turned by its position."""
    half = x.shape[1] // 2
    turned = torch.empty_like(x)
    for n, position in enumerate(positions):
        for i in range(half):
            turn = complex(float(x[n, i]), float(x[n, i + half])) * cmath.exp(1j * position * base ** (-i / half))
            turned[n, i], turned[n, i + half] = turn.real, turn.imag
    return turned


def slope(head: int, heads: int) -> float:
    """Press et al. 2022, 3, and the authors' rule for head counts that are no power of two."""
    if heads & (heads - 1) == 0:
        return 2.0 ** (-8 * (head + 1) / heads)
    lower = 1 << (heads.bit_length() - 1)
    return slope(head, lower) if head < lower else slope(2 * (head - lower), 2 * lower)


def t5_bucket(distance: int, buckets: int, furthest: int, two_sided: bool) -> int:
    """Raffel et al. 2020, 2.1: near distances exactly, far ones on a logarithmic scale."""
    first = 0
    if two_sided:
        buckets //= 2
        first = buckets if distance > 0 else 0
        distance = abs(distance)
    else:
        distance = max(-distance, 0)
    exact = buckets // 2
    if distance < exact:
        return first + distance
    far = exact + int(math.log(distance / exact) / math.log(furthest / exact) * (buckets - exact) + 1e-9)
    return first + min(far, buckets - 1)


def visible(attend: Attend, query: int, key: int) -> bool:
    if attend.mask == "causal":
        return key <= query and (attend.window is None or query - key < attend.window)
    assert attend.mask == "open", f"{attend.mask}: write it here, by itself"
    return True


def position_score(weighed: Weighed, attend: Attend, address: str, head: int, query: int, key: int) -> float:
    """What positions add to a score."""
    if attend.positions in ("none", "rotary"):
        return 0.0
    if attend.positions == "alibi":
        return -slope(head, attend.heads) * abs(query - key)
    assert attend.positions == "buckets", f"{attend.positions}: write it here, by itself"
    table = weighed.get(f"{address}.buckets")
    assert table is not None
    number = t5_bucket(key - query, attend.buckets, attend.bucket_distance, attend.mask == "open")
    return float(table[number, head])


def attention(weighed: Weighed, attend: Attend, address: str, states: Tensor, attended: Tensor) -> Tensor:
    """Vaswani et al. 2017, 3.2, head by head; a query that sees nothing gets zero from each head."""
    width = attend.head_width
    query, key, value = (
        weighed.linear(f"{address}.{name}", x)
        for name, x in (("query", states), ("key", attended), ("value", attended))
    )
    scale = 1 / math.sqrt(width) if attend.scale is None else attend.scale
    outputs = []
    for head in range(attend.heads):
        shared = head // (attend.heads // (attend.key_heads or attend.heads))
        q, k, v = (x[:, h * width : (h + 1) * width] for x, h in ((query, head), (key, shared), (value, shared)))
        if attend.positions == "rotary":
            q = rotated(q, list(range(len(q))), attend.rotary_base)
            k = rotated(k, list(range(len(k))), attend.rotary_base)
        output = torch.zeros(len(q), width, dtype=torch.float64)
        for i in range(len(q)):
            seen = [j for j in range(len(k)) if visible(attend, i, j)]
            if seen:
                added = [position_score(weighed, attend, address, head, i, j) for j in seen]
                scores = scale * (k[seen] @ q[i]) + torch.tensor(added, dtype=torch.float64)
                exponents = torch.exp(scores - scores.max())
                output[i] = (exponents / exponents.sum()) @ v[seen]
        outputs.append(output)
    return weighed.linear(f"{address}.output", torch.cat(outputs, 1))


def run_block(weighed: Weighed, block: Block, address: str, states: Tensor, others: dict[str, Tensor]) -> Tensor:
    """One layer: attentions in order, then the feed-forward network, with a residual around each."""

    def residual(x: Tensor, layer, normal: str) -> Tensor:  # type: ignore[no-untyped-def]
        if block.place == "pre":
            return x + layer(weighed.norm(block.norm, normal, x))
        return weighed.norm(block.norm, normal, x + layer(x))

    for attend in block.attends:
        here = f"{address}.{attend.stream}"

        def attending(x: Tensor, attend: Attend = attend, here: str = here) -> Tensor:
            if attend.stream == block.stream:
                return attention(weighed, attend, here, x, x)
            other = others[attend.stream]
            if attend.own_norm:
                other = weighed.norm(block.norm, f"{here}.attended_norm", other)
            return attention(weighed, attend, here, x, other)

        states = residual(states, attending, f"{here}.norm")
    feed = block.feedforward
    if feed is None:
        return states

    def feeding(x: Tensor) -> Tensor:
        here, activation = f"{address}.feedforward", ACTIVATIONS[feed.activation]
        inner = weighed.linear(f"{here}.inner", x)
        inner = activation(weighed.linear(f"{here}.gate", x)) * inner if feed.gated else activation(inner)
        return weighed.linear(f"{here}.output", inner)

    return residual(states, feeding, f"{address}.feedforward.norm")


def forward(plan: Plan, tensors: Weights, row: dict[str, Row]) -> dict[str, Tensor]:
    """States of every stream [n, width], double, of one row of each stream."""
    weighed = Weighed(plan, tensors)
    now = {stream.name: embed(weighed, plan, stream.name, row[stream.name]) for stream in plan.streams}
    addresses = iter(plan.blocks())
    for step in plan.steps:
        if isinstance(step, FinalNorm):
            now[step.stream] = weighed.norm(step.norm, f"{step.stream}.norm", now[step.stream])
            continue
        before = dict(now)
        for _ in step.blocks:
            _, address, block = next(addresses)
            now[block.stream] = run_block(weighed, block, address, before[block.stream], before)
    return now


def logits(plan: Plan, tensors: Weights, states: dict[str, Tensor]) -> dict[str, Tensor]:
    """Logits of every head from one row's states: [n, outputs], or [1, outputs] of a head that reads rows."""
    weighed, made = Weighed(plan, tensors), {}
    for head in plan.heads:
        address = f"heads.{head.name}"
        x = states[head.streams[0]]
        if head.reads == "pooled":
            x = torch.full((1, 1), 1.0 if head.join == "product" else 0.0, dtype=torch.float64)
            for stream in head.streams:
                pool = plan.stream(stream).pool
                assert pool is not None
                read = states[stream][:1] if pool.reads == "first" else states[stream][-1:]
                read = ACTIVATIONS[pool.activation](weighed.linear(f"{stream}.pool", read))
                x = x * read if head.join == "product" else x + read
        elif head.reads == "first":
            x = x[:1]
        elif head.reads == "mean":
            x = x.mean(0, keepdim=True)
        if head.transform:
            x = ACTIVATIONS[head.transform](weighed.linear(f"{address}.transform", x))
            x = x if head.norm is None else weighed.norm(head.norm, f"{address}.norm", x)
        made[head.name] = weighed.linear(f"{address}.output", x * head.scale)
    return made
