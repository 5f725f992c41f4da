"""heedful's encoder-decoders and decoders written for CTranslate2: model.bin, config.json and the vocabularies.

Its tokens are the pieces of our tokenizer, control tokens without the space in front. It puts the end behind every
source, as training does, and begins every translation with the start. Its `length_penalty=p` is our "average" with
`alpha=p` (and for p = 0 also with `patience=inf`), but that it cuts what reaches the longest length, where we must end.
It bans empty translations unless told `min_decoding_length=0`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args

import msgspec
import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from ..data.parallel import SIDES, load_tokenizers
from ..errors import UserError
from ..model.attention import Attention
from ..model.embeddings import TokenEmbedding
from ..model.feedforward import FeedForward
from ..model.heads import Head
from ..model.model import Model, load
from ..model.plan import Attend, Block, FinalNorm, Norm, Part, Plan, Step, Tokens, attention_scale
from ..model.plan import FeedForward as FeedForwardPlan
from ..model.plan import Head as HeadPlan
from ..model.positions import sinusoids
from ..text.pipeline import control
from ..text.tokenizer import Tokenizer
from .scratch import scratch
from .tokenizers import files_of

Quantization = Literal["int8", "float16"]

# Its names of activations.
ACTIVATIONS = {
    "relu": "RELU", "gelu": "GELU", "gelu_tanh": "GELUTanh", "gelu_quick": "GELUSigmoid", "silu": "SWISH",
    "tanh": "Tanh",
}  # fmt: skip

# The fields of a plan's parts that it can say, or that do not matter to it. Others must be what they are by default.
KNOWN: dict[type[Part], str] = {
    Tokens: "vocab positions capacity offset sinusoid scaled norm dropout",
    Attend: "stream heads head_width key_heads mask positions rotary_base buckets bucket_distance scale bias dropout",
    FeedForwardPlan: "width activation gated bias",
    Block: "stream attends feedforward norm place dropout",
    HeadPlan: "name streams outputs norm bias scale dropout",
}

# Positions to write where ours have no end: it cuts sources at as many tokens unless it is told otherwise.
POSITIONS = 1024


class Words(msgspec.Struct):
    """What config.json says of tokenizers, tags, the text in front of every source, and another library's ways."""

    tokenizers: dict[str, str] = {}
    tokenizer: str = ""
    tags: tuple[str, ...] = ()
    prefix: str = ""
    framing: dict[str, Any] = {}


def write(
    folder: Path, out: Path, quantization: Quantization | None = None, tag: str | None = None, *, texts: bool = True
) -> list[str]:
    """Write the model in a folder to the new folder `out`, whole or not at all; what there is to know, in lines.

    CTranslate2 takes words, not texts; with `texts` the tokenizers lie beside the model. With a `tag` (of a model with
    several target languages) it puts that in front of every source by itself. UserError names all that it lacks, before
    anything is written.
    """
    specs = library()
    if quantization not in (None, *get_args(Quantization)):
        raise UserError(f"quantization {quantization!r} is not known; there are {', '.join(get_args(Quantization))}")
    if out.exists():
        raise UserError(f"{out}: is there already; choose another name, or remove it")
    model, extra = load(folder)
    if missing := list(lacking(model.plan)):
        raise UserError(f"{folder}: cannot be written for CTranslate2, which lacks: {'; '.join(missing)}")
    known, tokenizers = words_of(folder, extra)
    spec = _model(specs, model)
    _say(spec, model.plan, tokenizers, tag)
    spec.validate()
    spec.optimize(quantization)
    with scratch(out) as partial:
        spec.save(str(partial))
        for name, content in files_of(tokenizers, "end").items() if texts else ():
            (partial / name).parent.mkdir(exist_ok=True)
            (partial / name).write_bytes(content)
        partial.rename(out)
    return list(_told(out, model.plan, known, tokenizers["source"], tag))


def library() -> ModuleType:
    """ctranslate2.specs; UserError where it is not installed."""
    try:
        from ctranslate2 import specs
    except ImportError:
        raise UserError("what is written for CTranslate2 needs it: pip install 'heedful[exchange]'") from None
    return specs  # type: ignore[no-any-return]


def words_of(folder: Path, extra: Mapping[str, Any]) -> tuple[Words, dict[str, Tokenizer]]:
    """What a model's config.json says of its words, and its tokenizers by side: both the same where it has one."""
    try:
        known = msgspec.convert(extra, Words)
    except msgspec.ValidationError as error:
        raise UserError(f"{folder / 'config.json'}: {error}") from None
    fingerprints = known.tokenizers or dict.fromkeys(SIDES, known.tokenizer)
    if not all(fingerprints.get(side) for side in SIDES):
        raise UserError(f"{folder}: its config.json names no tokenizer, and CTranslate2 needs the words of a model")
    if known.framing:
        raise UserError(
            f"{folder}: frames its sources in another library's way ({', '.join(known.framing)}); not built"
        )
    tokenizers = load_tokenizers(folder, fingerprints)
    if len({tokenizer.pieces([tokenizer.end])[0] for tokenizer in tokenizers.values()}) > 1:
        raise UserError(f"{folder}: sources and answers end with different tokens; CTranslate2 knows one end")
    return known, tokenizers


def vocabularies(tokenizers: Mapping[str, Tokenizer]) -> dict[str, list[str]]:
    """The tokens of each side, by id. A control token has a space in front where a piece of text is spelt like it."""
    pieces = {side: one.pieces(range(one.vocab_size)) for side, one in tokenizers.items()}
    texts = {name for side, one in tokenizers.items() for n, name in enumerate(pieces[side]) if one.is_text(n)}
    spelt = lambda one, token, name: name if one.is_text(token) or name not in texts else control(name)
    return {side: [spelt(one, n, name) for n, name in enumerate(pieces[side])] for side, one in tokenizers.items()}


def _told(out: Path, plan: Plan, known: Words, tokenizer: Tokenizer, tag: str | None) -> Iterator[str]:
    """What somebody who uses the folder must know."""
    pair = len(plan.streams) == 2
    size = (out / "model.bin").stat().st_size / 1e6
    yield f"{out}: {size:,.1f} MB, for ctranslate2.{'Translator' if pair else 'Generator'}"
    if not pair and tokenizer.opens:
        yield f"a text begins with {tokenizer.pieces([tokenizer.start])[0]}"
    if known.tags and tag is None:
        yield f"every source begins with the token of its target language: {', '.join(known.tags)}"
    if known.prefix.strip():
        yield f"every source begins with: {' '.join(tokenizer.pieces(tokenizer.encode(known.prefix.strip())))}"
    if any(a.stream != block.stream and a.kv_heads != a.heads for _, _, block in plan.blocks() for a in block.attends):
        yield "shared key heads of attention between streams need CTranslate2 4.7 or newer"


# ---- what it lacks --------------------------------------------------------------------------------------------------


def lacking(plan: Plan) -> Iterator[str]:
    """What of a plan CTranslate2 cannot say."""
    names = tuple(stream.name for stream in plan.streams)
    head = next((head for head in plan.heads if head.name == "next_token"), None)
    tokens = [stream.embedding for stream in plan.streams if isinstance(stream.embedding, Tokens)]
    if (
        head is None or head.streams != names[-1:] or names not in (("source", "target"), ("text",))
        or len(tokens) < len(names)
    ):  # fmt: skip
        yield f"a model of {' and '.join(names)} that is neither encoder-decoder nor decoder of tokens"
        return
    if unfit := list(_unfit(plan, names)):
        yield from unfit
        return
    blocks = [block for _, _, block in plan.blocks()]
    attends = [attend for block in blocks for attend in block.attends]
    feeds = [block.feedforward for block in blocks if block.feedforward]
    parts: dict[str, list[Any]] = {
        "an embedding": tokens, "an attention": attends, "a feed-forward network": feeds, "a layer": blocks,
        "the head": [head],
    }  # fmt: skip
    for what, some in parts.items():
        yield from dict.fromkeys(f"{what} with {field}" for part in some for field in _unknown(part))
    yield from _unlike("layers", "epsilons of norms", [norm.eps for norm in _norms(plan)])
    for name in names:
        yield from _of_one_kind(plan, name)


def _unfit(plan: Plan, names: tuple[str, ...]) -> Iterator[str]:
    """Steps in another order than all layers and the last norm of an encoder, then of a decoder; and other layers."""
    found = [
        (step.stream, True) if isinstance(step, FinalNorm) else (step.blocks[0].stream, False) for step in plan.steps
    ]
    several = any(isinstance(step, Step) and len(step.blocks) > 1 for step in plan.steps)
    in_order = sorted(found, key=lambda one: (names.index(one[0]), one[1]))
    counts = [(found.count((name, False)), found.count((name, True))) for name in names]
    if several or found != in_order or not all(layers and norms < 2 for layers, norms in counts):
        yield "this order of layers"
    decoder = names[-1]
    usual = {name: [(other, "open") for other in names if other != decoder] for name in names}
    usual[decoder] = [(decoder, "causal"), *usual[decoder]]
    for _, address, block in plan.blocks():
        if [(attend.stream, attend.mask) for attend in block.attends] != usual[block.stream]:
            yield f"what {address} attends to"
        if block.feedforward is None:
            yield f"{address} without a feed-forward network"
        elif block.feedforward.activation not in ACTIVATIONS:
            yield f"the activation {block.feedforward.activation!r}"


def _unknown(part: Part) -> Iterator[str]:
    """Fields of a part that it cannot say and that are not what they are by default."""
    for field in msgspec.structs.fields(part):
        value = getattr(part, field.name)
        if field.name not in KNOWN[type(part)].split() and value != field.default:
            yield f"{field.name} = {value!r}"


def _of_one_kind(plan: Plan, name: str) -> Iterator[str]:
    """What it sets once for all layers of a stream, where they differ; and positions that it lacks."""
    blocks = [block for _, _, block in plan.blocks() if block.stream == name]
    own, feeds = [block.attends[0] for block in blocks], [block.feedforward for block in blocks if block.feedforward]
    every = [attend for block in blocks for attend in block.attends]
    values: dict[str, list[Any]] = {
        "heads": [attend.heads for attend in every],
        "head widths": [attend.head_width for attend in every],
        "key heads": [attend.kv_heads for attend in every],
        "positions": [attend.positions for attend in own],
        "rotary bases": [attend.rotary_base for attend in own],
        "activations": [feed.activation for feed in feeds],
        "gates": [feed.gated for feed in feeds],
        "places of norms": [block.place for block in blocks],
        "kinds of norms": [norm.kind for norm in _norms(plan, name)],
    }
    for what, some in values.items():
        yield from _unlike(f"{name} layers", what, some)
    if blocks[0].place == "post" and any(isinstance(step, FinalNorm) and step.stream == name for step in plan.steps):
        yield f"a norm behind the post-norm layers of {name}"
    embedding = plan.stream(name).embedding
    if own[0].positions != "none" and isinstance(embedding, Tokens) and embedding.positions != "none":
        yield f"{embedding.positions} positions beside those of attention"
    if own[0].positions == "alibi" and own[0].mask == "open":
        yield "ALiBi in an encoder"
    if own[0].positions == "buckets" and name == "text":
        yield "relative buckets under a prompt"  # it counts them from the prompt's end
    kept = [number for number in range(len(blocks)) if f"{name}.{number}.{name}.buckets" in plan.shapes()]
    if len(kept) > 1 or len({(attend.buckets, attend.bucket_distance) for attend in own}) > 1:
        yield f"relative buckets that differ from layer to layer in {name}"


def _unlike(layers: str, what: str, values: list[Any]) -> Iterator[str]:
    if len(set(values)) > 1:
        yield f"{layers} with different {what} ({', '.join(map(str, sorted(set(values))))})"


def _norms(plan: Plan, name: str | None = None) -> list[Norm]:
    """The norms of a stream, or of all."""
    of = lambda stream: name in (None, stream)
    embedded = [stream.embedding.norm for stream in plan.streams if of(stream.name) and stream.embedding.norm]
    last = [step.norm for step in plan.steps if isinstance(step, FinalNorm) and of(step.stream)]
    return [*embedded, *(block.norm for _, _, block in plan.blocks() if of(block.stream)), *last]


# ---- the model ------------------------------------------------------------------------------------------------------


def _model(specs: ModuleType, model: Model) -> Any:
    """Its description of a model, weights included."""
    encoder = _stack(specs, model, "source") if "source" in model.streams else None
    decoder = _stack(specs, model, "target" if encoder else "text")
    head = model.heads["next_token"]
    assert isinstance(head, Head)
    assert isinstance(head.output, nn.Linear)
    _linear(decoder.projection, head.output)
    decoder.scale_outputs = np.float32(head.plan.scale)
    return specs.TransformerSpec(encoder, decoder) if encoder else specs.TransformerDecoderModelSpec(decoder)


def _stack(specs: ModuleType, model: Model, stream: str) -> Any:
    """The layers of a stream, with its embedding and its last norm."""
    modules = model.streams[stream]
    blocks = [block for step in model.steps for _, block in step if block.plan.stream == stream]
    first, own = blocks[0].plan, blocks[0].plan.attends[0]
    embedding, feed = modules.embedding, first.feedforward
    assert isinstance(embedding, TokenEmbedding)
    assert feed is not None
    decodes = own.mask == "causal"
    given: dict[str, Any] = {
        "pre_norm": first.place == "pre", "no_final_norm": not hasattr(modules, "norm"),
        "activation": specs.Activation[ACTIVATIONS[feed.activation]], "ffn_glu": feed.gated,
        "rms_norm": first.norm.kind == "rms", "layernorm_embedding": embedding.norm is not None,
        "relative_attention_bias": own.positions == "buckets",
        "rotary_dim": own.head_width if own.positions == "rotary" else None, "rotary_interleave": False,
        "rotary_base": own.rotary_base, "num_heads_kv": own.kv_heads, "head_dim": own.head_width,
    }  # fmt: skip
    if decodes:
        given |= {"alibi": own.positions == "alibi", "with_encoder_attention": len(first.attends) == 2}
    build = specs.TransformerDecoderSpec if decodes else specs.TransformerEncoderSpec
    spec = build(len(blocks), own.heads, **given)
    (spec.embeddings if decodes else spec.embeddings[0]).weight = _array(embedding.tokens.weight)
    spec.scale_embeddings = embedding.sizes.scaled
    if own.positions == "none":
        spec.position_encodings.encodings = _positions(embedding)
    if embedding.norm is not None:
        _norm(spec.layernorm_embedding, embedding.norm)
    if hasattr(modules, "norm"):
        _norm(spec.layer_norm, modules.norm)
    for layer, block in zip(spec.layer, blocks, strict=True):
        for attention in block.attentions:
            _attention(layer.self_attention if attention.own else layer.attention, attention)
        assert block.feedforward is not None
        _feedforward(layer.ffn, block.feedforward)
    return spec


def _positions(embedding: TokenEmbedding) -> npt.NDArray[np.float32]:
    """The vector of each position; without one it would add sinusoids of its own."""
    sizes, width = embedding.sizes, embedding.tokens.embedding_dim
    if embedding.positions is not None:
        return _array(embedding.positions.weight[sizes.offset :])
    rows = max(sizes.capacity, POSITIONS)
    if sizes.positions == "none":
        return np.zeros((rows, width), np.float32)
    return _array(sinusoids(rows + sizes.offset, width, sizes.sinusoid)[sizes.offset :])


def _attention(spec: Any, attention: Attention) -> None:
    attend = attention.attend
    _norm(spec.layer_norm, attention.norm)
    spec.queries_scale = np.float32(attention_scale(attend))
    inputs = [attention.input] if attention.own else [attention.query, attention.key_value]
    for one, linear in zip(spec.linear, [*inputs, attention.output], strict=True):
        _linear(one, linear)
    if attend.positions == "buckets":
        spec.relative_attention_bias = _array(attention.buckets)
        spec.relative_attention_max_distance = np.int32(attend.bucket_distance)


def _feedforward(spec: Any, feed: FeedForward) -> None:
    _norm(spec.layer_norm, feed.norm)
    _linear(spec.linear_0, feed.gate or feed.inner)
    if feed.gate is not None:
        _linear(spec.linear_0_noact, feed.inner)
    _linear(spec.linear_1, feed.output)


def _norm(spec: Any, norm: nn.Module) -> None:
    assert isinstance(norm, nn.LayerNorm | nn.RMSNorm)
    spec.gamma = _array(norm.weight)
    if isinstance(norm, nn.LayerNorm):
        spec.beta = _array(norm.bias)


def _linear(spec: Any, linear: nn.Linear) -> None:
    spec.weight = _array(linear.weight)
    if linear.bias is not None:
        spec.bias = _array(linear.bias)


def _array(tensor: Tensor) -> npt.NDArray[np.float32]:
    return tensor.detach().float().numpy()


# ---- its words ------------------------------------------------------------------------------------------------------


def _say(spec: Any, plan: Plan, tokenizers: Mapping[str, Tokenizer], tag: str | None) -> None:
    """Vocabularies, as long as the embeddings; the control tokens; and what is added to a source."""
    source, target = (tokenizers[side] for side in SIDES)
    words, config = vocabularies(tokenizers), spec.config
    config.bos_token, config.eos_token = words["target"][target.start], words["target"][target.end]
    config.unk_token, config.layer_norm_epsilon = words["target"][target.unknown], _norms(plan)[0].eps
    sizes = [stream.embedding.vocab for stream in plan.streams if isinstance(stream.embedding, Tokens)]
    if len(sizes) == 1:
        spec.register_vocabulary(_filled(words["target"], sizes[0]))
        return
    config.decoder_start_token, config.add_source_eos = config.bos_token, True
    if tag is not None:
        config.bos_token, config.add_source_bos = words["source"][source.tag(tag)], True
    spec.register_source_vocabulary(_filled(words["source"], sizes[0]))
    spec.register_target_vocabulary(_filled(words["target"], sizes[1]))


def _filled(words: list[str], size: int) -> list[str]:
    """With names for the rows of an embedding that no token has."""
    return [*words, *(f"<unused{number}>" for number in range(len(words), size))]
