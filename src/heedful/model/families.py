"""The four families, each one plan. No torch here.

Defaults follow each family's paper; the docstrings say where we differ. Named sizes are in presets.py.
"""

from __future__ import annotations

from typing import Any, Literal

from ..errors import UserError
from .plan import (
    Activation,
    Attend,
    Block,
    FeedForward,
    FinalNorm,
    Head,
    Norm,
    Patches,
    Plan,
    Pool,
    Regions,
    Step,
    Stream,
    Tie,
    Tokens,
)

Positions = Literal["sinusoidal", "learned", "rotary", "alibi", "buckets", "none"]
Place = Literal["pre", "post"]
ABSOLUTE = ("sinusoidal", "learned")


def encoder_decoder(
    *,
    vocab: int = 32000,
    target_vocab: int | None = None,
    width: int = 512,
    layers: int = 6,
    decoder_layers: int | None = None,
    heads: int = 8,
    key_heads: int | None = None,
    head_width: int | None = None,
    feedforward: int = 2048,
    activation: Activation = "relu",
    gated: bool = False,
    place: Place = "post",
    norm: Literal["layer", "rms"] = "layer",
    eps: float = 1e-5,
    positions: Positions = "sinusoidal",
    sinusoid: Literal["interleaved", "halves", "fairseq"] = "interleaved",
    capacity: int = 1024,
    offset: int = 0,
    scaled: bool = True,
    embedding_norm: bool = False,
    dropout: float = 0.1,
    attention_dropout: float = 0.0,
    bias: bool = True,
    output_bias: bool = False,
    tie: Literal["all", "target", "none"] = "all",
    edge: int | None = None,
    channels: int = 3,
) -> Plan:
    """The 2017 Transformer (Vaswani et al. 2017, figure 1): `target` attends to itself, then to the encoded `source`.

    `target_vocab` given means separate vocabularies, and the source embedding is not shared. `tie` "all" shares both
    embeddings and the output (3.4), "target" the target embedding and the output. Pre-norm adds a final norm a stream.
    With an `edge` the source is a picture in patches of edge x edge pixels, and the model a captioner.
    """
    shape = _Attends(heads, key_heads, head_width or width // heads, positions, bias, attention_dropout)
    normal, feed = (
        Norm(kind=norm, eps=eps),
        FeedForward(width=feedforward, activation=activation, gated=gated, bias=bias),
    )
    around: dict[str, Any] = {"feedforward": feed, "norm": normal, "place": place, "dropout": dropout}
    tokens: dict[str, Any] = {
        "positions": positions if positions in ABSOLUTE else "none",
        "capacity": capacity,
        "offset": offset,
        "sinusoid": sinusoid,
        "scaled": scaled,
        "norm": normal if embedding_norm else None,
        "dropout": dropout,
    }
    encoder = Block(stream="source", attends=(shape.own("source"),), **around)
    decoder = Block(stream="target", attends=(shape.own("target", "causal"), shape.other("source")), **around)
    depth = layers if decoder_layers is None else decoder_layers
    end = (place == "pre",)
    seen: Tokens | Patches = Tokens(vocab=vocab, **tokens)
    if edge is not None:
        seen = Patches(edge=edge, channels=channels, norm=normal, dropout=dropout)
    separate = target_vocab is not None or not isinstance(seen, Tokens)
    ties = _bucket_ties(positions, {"source": layers, "target": depth})
    if tie != "none":
        ties = (Tie(keep="target.embedding.tokens.weight", share="heads.next_token.output.weight"), *ties)
    if tie == "all" and not separate:
        ties = (Tie(keep="target.embedding.tokens.weight", share="source.embedding.tokens.weight"), *ties)
    return Plan(
        streams=(
            Stream(name="source", width=width, embedding=seen),
            Stream(name="target", width=width, embedding=Tokens(vocab=target_vocab or vocab, **tokens)),
        ),
        steps=(
            *(Step(blocks=(encoder,)) for _ in range(layers)),
            *(FinalNorm(stream="source", norm=normal) for needed in end if needed),
            *(Step(blocks=(decoder,)) for _ in range(depth)),
            *(FinalNorm(stream="target", norm=normal) for needed in end if needed),
        ),
        heads=(Head(name="next_token", streams=("target",), outputs=target_vocab or vocab, bias=output_bias),),
        ties=ties,
    )


def encoder(
    *,
    vocab: int = 30522,
    width: int = 768,
    layers: int = 12,
    heads: int = 12,
    key_heads: int | None = None,
    head_width: int | None = None,
    feedforward: int = 3072,
    activation: Activation = "gelu",
    gated: bool = False,
    place: Place = "post",
    norm: Literal["layer", "rms"] = "layer",
    eps: float = 1e-12,
    positions: Positions = "learned",
    capacity: int = 512,
    offset: int = 0,
    segments: int = 2,
    dropout: float = 0.1,
    attention_dropout: float = 0.1,
    bias: bool = True,
    pool: bool = True,
    outputs: int | None = None,
) -> Plan:
    """BERT (Devlin et al. 2019, 3): one open stream `text`, a tanh pool, the masked-token head, GELU in its erf form.

    Heads: `masked_token` (A.1), `next_sentence`; with `outputs` also `label` (one per row).
    """
    shape = _Attends(heads, key_heads, head_width or width // heads, positions, bias, attention_dropout)
    normal, feed = (
        Norm(kind=norm, eps=eps),
        FeedForward(width=feedforward, activation=activation, gated=gated, bias=bias),
    )
    block = Block(
        stream="text", attends=(shape.own("text"),), feedforward=feed, norm=normal, place=place, dropout=dropout
    )
    tokens = Tokens(
        vocab=vocab,
        positions="learned" if positions == "learned" else "sinusoidal" if positions == "sinusoidal" else "none",
        capacity=capacity,
        offset=offset,
        segments=segments,
        norm=normal,
        dropout=dropout,
    )
    pooled = Pool(width=width, activation="tanh") if pool else None
    heads_: tuple[Head, ...] = (masked_token("text", vocab, normal, activation),)
    if pool:
        heads_ += (pooled_label("next_sentence", ("text",), 2),)
        if outputs:
            heads_ += (pooled_label("label", ("text",), outputs, dropout),)
    return Plan(
        streams=(Stream(name="text", width=width, embedding=tokens, pool=pooled),),
        steps=(
            *(Step(blocks=(block,)) for _ in range(layers)),
            *(FinalNorm(stream="text", norm=normal) for _ in range(place == "pre")),
        ),
        heads=heads_,
        ties=(
            Tie(keep="text.embedding.tokens.weight", share="heads.masked_token.output.weight"),
            *_bucket_ties(positions, {"text": layers}),
        ),
        initialization="bert",
    )


def decoder(
    *,
    vocab: int = 50257,
    width: int = 768,
    layers: int = 12,
    heads: int = 12,
    key_heads: int | None = None,
    head_width: int | None = None,
    feedforward: int = 3072,
    activation: Activation = "gelu_tanh",
    gated: bool = False,
    place: Place = "pre",
    norm: Literal["layer", "rms"] = "layer",
    eps: float = 1e-5,
    positions: Positions = "learned",
    capacity: int = 1024,
    window: int | None = None,
    dropout: float = 0.1,
    attention_dropout: float = 0.1,
    bias: bool = True,
    tie: bool = True,
) -> Plan:
    """GPT-2 (Radford et al. 2019, 2.3): one causal stream `text`, pre-norm, final norm, GELU in its tanh form."""
    shape = _Attends(heads, key_heads, head_width or width // heads, positions, bias, attention_dropout)
    normal, feed = (
        Norm(kind=norm, eps=eps),
        FeedForward(width=feedforward, activation=activation, gated=gated, bias=bias),
    )
    block = Block(
        stream="text",
        attends=(shape.own("text", "causal", window),),
        feedforward=feed,
        norm=normal,
        place=place,
        dropout=dropout,
    )
    tokens = Tokens(
        vocab=vocab,
        positions="learned" if positions == "learned" else "sinusoidal" if positions == "sinusoidal" else "none",
        capacity=capacity,
        dropout=dropout,
    )
    ties = (Tie(keep="text.embedding.tokens.weight", share="heads.next_token.output.weight"),) if tie else ()
    return Plan(
        streams=(Stream(name="text", width=width, embedding=tokens),),
        steps=(
            *(Step(blocks=(block,)) for _ in range(layers)),
            *(FinalNorm(stream="text", norm=normal) for _ in range(place == "pre")),
        ),
        heads=(Head(name="next_token", streams=("text",), outputs=vocab),),
        ties=(*ties, *_bucket_ties(positions, {"text": layers})),
        initialization="gpt2",
    )


def two_streams(
    *,
    vocab: int = 30522,
    width: int = 768,
    layers: int = 12,
    heads: int = 12,
    feedforward: int = 3072,
    capacity: int = 512,
    segments: int = 2,
    picture_width: int = 1024,
    picture_layers: int = 6,
    picture_heads: int = 8,
    picture_feedforward: int = 1024,
    features: int = 2048,
    regions: int = 1601,
    edge: int | None = None,
    channels: int = 3,
    picture_capacity: int = 0,
    picture_positions: Literal["none", "buckets"] = "none",
    co_width: int = 1024,
    co_heads: int = 8,
    text_before: tuple[int, ...] = (6, 7, 8, 9, 10, 11),
    picture_before: tuple[int, ...] = (0, 1, 2, 3, 4, 5),
    activation: Activation = "gelu",
    place: Place = "post",
    eps: float = 1e-12,
    dropout: float = 0.1,
    attention_dropout: float = 0.1,
    initialization: Literal["bert", "transformer"] = "bert",
) -> Plan:
    """ViLBERT (Lu et al. 2019, 3.1): `text` and `picture`, joined by co-attention before the layers named.

    A co-attention step holds two blocks; each attends to the other stream as it was when the step began. `capacity`
    is the number of text positions; `features` and `regions` are the sizes of a region's vector and of the
    detector's classes. With an `edge` the picture is cut into patches of edge x edge pixels instead, as ViLT's (Kim
    et al. 2021, 3.1), each with its box, and with `picture_capacity` learned positions; `picture_positions` "buckets"
    lets patches see how far others are, counted line by line. Pre-norm streams, which train from nothing more easily,
    are normalised before the other one reads them, and at their ends. BERT's initialisation is made for a width of
    768: narrow streams begin so near to nothing that the product of two pooled vectors hardly learns; "transformer"
    goes by each matrix's size. We leave out the two projections per co-attention layer that the official code holds
    and never uses.
    """
    normal = Norm(eps=eps)
    around: dict[str, Any] = {"norm": normal, "place": place, "dropout": dropout}
    text_feed = FeedForward(width=feedforward, activation=activation)
    picture_feed = FeedForward(width=picture_feedforward, activation=activation)
    pre = place == "pre"
    text_shape = _Attends(heads, None, width // heads, "none", True, attention_dropout)
    picture_shape = _Attends(
        picture_heads, None, picture_width // picture_heads, picture_positions, True, attention_dropout
    )
    co_shape = _Attends(co_heads, None, co_width // co_heads, "none", True, attention_dropout)
    own_text = Step(blocks=(Block(stream="text", attends=(text_shape.own("text"),), feedforward=text_feed, **around),))
    own_picture = Step(
        blocks=(Block(stream="picture", attends=(picture_shape.own("picture"),), feedforward=picture_feed, **around),)
    )
    together = Step(
        blocks=(
            Block(stream="picture", attends=(co_shape.other("text", pre),), feedforward=picture_feed, **around),
            Block(stream="text", attends=(co_shape.other("picture", pre),), feedforward=text_feed, **around),
        )
    )
    steps: list[Step | FinalNorm] = []
    text_done = picture_done = 0
    for text_layer, picture_layer in zip(text_before, picture_before, strict=True):
        steps += [own_text] * (text_layer - text_done) + [own_picture] * (picture_layer - picture_done) + [together]
        text_done, picture_done = text_layer, picture_layer
    steps += [own_picture] * (picture_layers - picture_done) + [own_text] * (layers - text_done)
    steps += [FinalNorm(stream=stream, norm=normal) for stream in ("text", "picture") if pre]
    tokens = Tokens(
        vocab=vocab, positions="learned", capacity=capacity, segments=segments, norm=normal, dropout=dropout
    )
    seen: Regions | Patches = Regions(features=features, norm=normal, dropout=dropout)
    if edge is not None:
        seen = Patches(edge=edge, channels=channels, capacity=picture_capacity, norm=normal, dropout=dropout)
    pool = Pool(width=co_width, activation="relu")
    region = Head(
        name="masked_region",
        streams=("picture",),
        outputs=regions,
        transform=activation,
        norm=normal,
        bias=True,
        objective="distribution",
    )
    return Plan(
        streams=(
            Stream(name="text", width=width, embedding=tokens, pool=pool),
            Stream(name="picture", width=picture_width, embedding=seen, pool=pool),
        ),
        steps=tuple(steps),
        heads=(
            masked_token("text", vocab, normal, activation),
            region,
            pooled_label("alignment", ("text", "picture"), 2, dropout),
        ),
        ties=(Tie(keep="text.embedding.tokens.weight", share="heads.masked_token.output.weight"),),
        initialization=initialization,
    )


def masked_token(stream: str, vocab: int, norm: Norm, activation: Activation) -> Head:
    """The masked-token head (Devlin et al. 2019, A.1): dense, activation, norm, tied output with a bias."""
    return Head(name="masked_token", streams=(stream,), outputs=vocab, transform=activation, norm=norm, bias=True)


def pooled_label(name: str, streams: tuple[str, ...], outputs: int, dropout: float = 0.0) -> Head:
    """One label a row from the pooled vectors of the streams (multiplied where there are two)."""
    return Head(name=name, streams=streams, outputs=outputs, reads="pooled", bias=True, dropout=dropout)


def token_label(stream: str, outputs: int, dropout: float = 0.0) -> Head:
    """One label a token (tagging); spans are the same with two outputs, start and end (Devlin et al. 2019, 4.2)."""
    return Head(name="token_label", streams=(stream,), outputs=outputs, bias=True, dropout=dropout)


class _Attends:
    """Sizes shared by the attentions of a stack."""

    def __init__(
        self, heads: int, key_heads: int | None, head_width: int, positions: str, bias: bool, dropout: float
    ) -> None:
        if key_heads is not None and heads % key_heads:
            raise UserError(f"model: {heads} heads cannot share {key_heads} key heads evenly; choose a divisor")
        self.sizes: dict[str, Any] = {
            "heads": heads, "key_heads": key_heads, "head_width": head_width, "bias": bias, "dropout": dropout
        }  # fmt: skip
        self.positions: Any = "none" if positions in ABSOLUTE else positions

    def own(self, stream: str, mask: Literal["open", "causal"] = "open", window: int | None = None) -> Attend:
        return Attend(stream=stream, mask=mask, window=window, positions=self.positions, **self.sizes)

    def other(self, stream: str, own_norm: bool = False) -> Attend:
        return Attend(stream=stream, own_norm=own_norm, **self.sizes)


def _bucket_ties(positions: str, depths: dict[str, int]) -> tuple[Tie, ...]:
    """T5 keeps one table of relative buckets per stack (Raffel et al. 2020, 2.1)."""
    if positions != "buckets":
        return ()
    return tuple(
        Tie(keep=f"{stream}.0.{stream}.buckets", share=f"{stream}.{layer}.{stream}.buckets")
        for stream, depth in depths.items()
        for layer in range(1, depth)
    )


FAMILIES = {
    "encoder-decoder": encoder_decoder,
    "encoder": encoder,
    "decoder": decoder,
    "two-streams": two_streams,
}
