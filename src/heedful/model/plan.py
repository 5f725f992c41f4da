"""A Transformer as data: named streams and an ordered plan of steps. No torch here.

A block lists the streams it attends to, in order, and then feeds forward. Which streams it lists is all that tells
an encoder from a decoder from two streams joined by co-attention; there is no other notion of a family.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct, structs

Activation = Literal["relu", "gelu", "gelu_tanh", "gelu_quick", "silu", "tanh", "none"]


class Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every piece of a plan is: an immutable value that refuses unknown fields when read from a file."""


class Norm(Part, frozen=True):
    """Layer normalisation (Ba et al. 2016) or root-mean-square normalisation (Zhang & Sennrich 2019, no bias)."""

    kind: Literal["layer", "rms"] = "layer"
    eps: float = 1e-5


class Attend(Part, frozen=True):
    """One attention of a block. `stream` is what it attends to; every size is explicit and none follows from another.

    `window` limits how many positions back a causal attention sees. `scale` multiplies query . key and is
    head_width ** -0.5 unless given (T5: 1). `own_norm` normalises the other stream before it is read (pre-norm).
    """

    stream: str
    heads: int
    head_width: int
    key_heads: int | None = None
    mask: Literal["open", "causal"] = "open"
    window: int | None = None
    positions: Literal["none", "rotary", "alibi", "buckets"] = "none"
    rotary_base: float = 10000.0
    buckets: int = 32
    bucket_distance: int = 128
    scale: float | None = None
    bias: bool = True
    own_norm: bool = False
    dropout: float = 0.0

    @property
    def kv_heads(self) -> int:
        return self.key_heads or self.heads

    @property
    def inner(self) -> int:
        """Width of all queries together."""
        return self.heads * self.head_width

    @property
    def kv_inner(self) -> int:
        """Width of all keys (or all values) together."""
        return self.kv_heads * self.head_width


class FeedForward(Part, frozen=True):
    """Position-wise network (Vaswani et al. 2017, 3.3); `gated` multiplies by a second projection (Shazeer 2020)."""

    width: int
    activation: Activation = "relu"
    gated: bool = False
    bias: bool = True


class Block(Part, frozen=True):
    """One layer of one stream: attend in the order listed, then feed forward; a residual around each."""

    stream: str
    attends: tuple[Attend, ...]
    feedforward: FeedForward | None = None
    norm: Norm = Norm()
    place: Literal["pre", "post"] = "post"
    dropout: float = 0.0


class Step(Part, frozen=True, tag="step"):
    """Blocks that run side by side: each reads other streams as they were when the step began, its own stream live."""

    blocks: tuple[Block, ...]


class FinalNorm(Part, frozen=True, tag="final-norm"):
    """A stream's last normalisation (pre-norm stacks need one)."""

    stream: str
    norm: Norm = Norm()


class Tokens(Part, frozen=True, tag="tokens"):
    """Token embedding, with absolute positions and segments added.

    `offset` is added to every position (2 in BART and RoBERTa, whose tables hold two rows more). `sinusoid`: sines and
    cosines interleaved (Vaswani et al. 2017, 3.5) or in two halves (Marian; "fairseq": with wave lengths that end at
    10000 x 2 pi exactly, M2M100). `scaled` multiplies the token vector by sqrt(width) (3.4). With `tasks` the second
    token of a row is the number of a task, which has a vector of its own, and neither position nor segment (12-in-1:
    Lu et al. 2020, 3.2); the positions of those after it are as if it were not there.
    """

    vocab: int
    positions: Literal["none", "learned", "sinusoidal"] = "sinusoidal"
    capacity: int = 1024
    offset: int = 0
    sinusoid: Literal["interleaved", "halves", "fairseq"] = "interleaved"
    scaled: bool = False
    segments: int = 0
    tasks: int = 0
    norm: Norm | None = None
    dropout: float = 0.0


class Regions(Part, frozen=True, tag="regions"):
    """Picture regions: a feature vector and a box (x1, y1, x2, y2, area; all in 0..1), each projected, then added.

    `box` is how many numbers of it are read. `apart` normalises both and takes their mean (LXMERT: Tan & Bansal 2019,
    2.1).
    """

    features: int
    box: int = 5
    apart: bool = False
    norm: Norm | None = Norm()
    dropout: float = 0.0


class Patches(Part, frozen=True, tag="patches"):
    """Square picture patches of `edge` x `edge` pixels, projected, with their box as in Regions.

    `capacity` positions are learned besides (ViT: Dosovitskiy et al. 2021, 3.1): a sum of boxes alone cannot say "the
    patch beside this one" before a layer has bent it. With a `box` of 0 there is nothing else. `first` puts a learned
    vector in the place of each row's first patch (ViT's class token); `bias` is that of the pixels' projection.
    """

    edge: int
    channels: int = 3
    box: int = 5
    capacity: int = 0
    first: bool = False
    bias: bool = True
    norm: Norm | None = Norm()
    dropout: float = 0.0


class Pool(Part, frozen=True):
    """A vector for a whole row: its first (or last) token, projected (BERT: tanh; ViLBERT: ReLU; CLIP: no more)."""

    width: int
    activation: Activation = "tanh"
    bias: bool = True
    reads: Literal["first", "last"] = "first"


class Stream(Part, frozen=True):
    """A named sequence of states [tokens, width]."""

    name: str
    width: int
    embedding: Tokens | Regions | Patches
    pool: Pool | None = None


class Head(Part, frozen=True):
    """What is read off the streams at the end, and its loss.

    `reads` "tokens": one answer per selected token of `streams[0]`; "pooled": one per row, from the product (or what
    `join` says) of the pooled vectors of `streams`; "first", "mean": one per row, from the state of its first token or
    the mean of them all. `together` rows that follow each other are read as one, side by side (ViLBERT: two pictures).
    `transform` puts dense + activation + norm before the output (BERT's masked-token head), `hidden` wide if that is
    not the width that is read. No `outputs`: the answer is what is read.

    `objective` "classes" is cross-entropy over `outputs`; "distribution" the KL divergence from a given distribution
    (ViLBERT's masked regions); "several" a yes or no for each output; "values" half the squared error; "span" a first
    and a last token of the row; "contrast" likeness to a partner, whose cosines are multiplied by `sharpness`: the
    second half of the rows, or the same rows of a second stream. `before` is the step before which the head reads the
    streams; None: after the last.
    """

    name: str
    streams: tuple[str, ...]
    outputs: int
    reads: Literal["tokens", "pooled", "first", "mean"] = "tokens"
    join: Literal["product", "sum"] = "product"
    together: int = 1
    transform: Activation | None = None
    hidden: int | None = None
    norm: Norm | None = Norm()
    bias: bool = False
    scale: float = 1.0
    objective: Literal["classes", "distribution", "several", "values", "span", "contrast"] = "classes"
    before: int | None = None
    sharpness: float = 20.0
    dropout: float = 0.0


class Tie(Part, frozen=True):
    """Parameters that are one and the same; a prefix shares everything below it. Files hold `keep` only."""

    keep: str
    share: str


class Plan(Part, frozen=True):
    """Streams, steps in order of execution, heads and ties: the whole architecture."""

    streams: tuple[Stream, ...]
    steps: tuple[Step | FinalNorm, ...]
    heads: tuple[Head, ...] = ()
    ties: tuple[Tie, ...] = ()
    initialization: Literal["transformer", "bert", "gpt2"] = "transformer"

    def stream(self, name: str) -> Stream:
        for stream in self.streams:
            if stream.name == name:
                return stream
        raise ValueError(f"the plan has no stream {name!r}; it has {', '.join(s.name for s in self.streams)}")

    @property
    def is_causal(self) -> bool:
        """Whether some stream is seen from the left only, as that of a decoder."""
        return any(attend.mask == "causal" for _, _, block in self.blocks() for attend in block.attends)

    @property
    def apart(self) -> int:
        """How many steps run before any stream reads another: until there, each can be encoded alone."""
        for number, step in enumerate(self.steps):
            if isinstance(step, Step) and any(a.stream != one.stream for one in step.blocks for a in one.attends):
                return number
        return len(self.steps)

    def with_heads(self, *heads: Head) -> Plan:
        """The same trunk under other heads; ties with heads that are gone go with them."""
        names = {f"heads.{head.name}" for head in heads}
        kept = lambda address: not address.startswith("heads.") or ".".join(address.split(".")[:2]) in names
        ties = tuple(tie for tie in self.ties if kept(tie.keep) and kept(tie.share))
        return structs.replace(self, heads=heads, ties=ties)

    def with_dropout(self, dropout: float | None = None, attention: float | None = None) -> Plan:
        """The same with another dropout of embeddings and blocks, or of attention weights; no parameter changes."""
        around = {} if dropout is None else {"dropout": dropout}
        inside = {} if attention is None else {"dropout": attention}

        def block(given: Block) -> Block:
            attends = tuple(structs.replace(attend, **inside) for attend in given.attends)
            return structs.replace(given, attends=attends, **around)

        streams = tuple(
            structs.replace(stream, embedding=structs.replace(stream.embedding, **around)) for stream in self.streams
        )
        steps = tuple(
            structs.replace(step, blocks=tuple(map(block, step.blocks))) if isinstance(step, Step) else step
            for step in self.steps
        )
        return structs.replace(self, streams=streams, steps=steps)

    def blocks(self) -> Iterator[tuple[int, str, Block]]:
        """(step, address, block) in order of execution; `target.3` is the fourth block of stream `target`."""
        count = {stream.name: 0 for stream in self.streams}
        for number, step in enumerate(self.steps):
            if isinstance(step, Step):
                for block in step.blocks:
                    yield number, f"{block.stream}.{count[block.stream]}", block
                    count[block.stream] += 1

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every parameter a file holds, by address: tied ones once, under the name that is kept."""
        from .shapes import parameter_shapes

        return parameter_shapes(self)


def attention_scale(attend: Attend) -> float:
    """What query . key is multiplied by (Vaswani et al. 2017, 3.2.1)."""
    return attend.scale if attend.scale is not None else 1.0 / math.sqrt(attend.head_width)
