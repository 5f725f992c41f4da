"""heedful's models as ONNX graphs, for runtimes without torch. The nodes are written from the plan, not traced.

Three forms:

- whole: `model.onnx`, all streams at once, their last states and what every head says;
- decoder (GPT): `model.onnx`, whose tokens go on where past keys and values ended;
- encoder-decoder: `encoder_model.onnx` gives the keys and values that every decoder block reads of the source, once;
  `decoder_model.onnx` takes them, and goes on as a decoder does.

A past may have the length 0, so the first step and all others are one graph. Rows may be padded anywhere
(`attention_mask`); a row without any token is read as nothing: attention gives zeros, never NaN.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ...data.parallel import load_tokenizers
from ...errors import UserError
from ...model.files import read_config
from ...model.plan import Attend, Block, FinalNorm, Head, Part, Patches, Plan, Regions, Step, Stream, Tokens
from ...text.tokenizer import Tokenizer
from ..scratch import scratch
from ..tokenizers import Framed, files_of
from .ends import enter, give_states, say
from .graph import OPSET, Graph, Parameters, library, refusal
from .walk import Lane, Pair, Walk

BESIDE = 2**30  # bytes of weights from which on they are a file of their own: a graph alone may have 2 GB

# The fields of a plan's parts that are written. Another must have its default: what is new is refused until it is here.
WRITTEN = {
    "Plan": "streams steps heads ties initialization",
    "Stream": "name width embedding pool",
    "Tokens": "vocab positions capacity offset sinusoid scaled segments tasks norm dropout",
    "Regions": "features box apart norm dropout",
    "Patches": "edge channels box capacity first bias norm dropout",
    "Pool": "width activation bias reads",
    "Step": "blocks",
    "FinalNorm": "stream norm",
    "Block": "stream attends feedforward norm place dropout",
    "Attend": "stream heads head_width key_heads mask window positions rotary_base buckets bucket_distance scale bias "
    "own_norm dropout",
    "FeedForward": "width activation gated bias",
    "Norm": "kind eps",
    "Head": "name streams outputs reads join together transform hidden norm bias scale objective before sharpness "
    "dropout",
    "Tie": "keep share",
}  # fmt: skip

# What tokenizer.json puts around a text by itself.
FRAMED: dict[str, Framed] = {"whole": "both", "decoder": "none", "encoder-decoder": "end"}
USE = {
    "whole": [
        "attention_mask is 1 where a row has a token and 0 where it is padded, on either side.",
        "States and answers of slots that pad mean nothing.",
    ],
    "decoder": [
        "First run: the prompts as input_ids, padded on the left where they are unequal; attention_mask is 1 where a "
        "row has a token, 0 where it is padded; every past_key_values.* of length 0.",
        "Then: the newest ids as input_ids [batch, 1], attention_mask one longer, and every present.* as "
        "past_key_values.*. The likeliest next id is the argmax of logits[:, -1]; a row ends with its end id.",
    ],
    "encoder-decoder": [
        "Run encoder_model.onnx once; attention_mask is 1 where a row has a token, 0 where it is padded. Give its "
        "cross.*, and the mask as encoder_attention_mask, to every run of decoder_model.onnx.",
        "First run of the decoder: a start id as input_ids [batch, 1], every past_key_values.* of length 0.",
        "Then: the newest ids as input_ids [batch, 1], and every present.* as past_key_values.*. The likeliest next id "
        "is the argmax of logits[:, -1]; a row ends with its end id.",
    ],
}

PICTURES: dict[type, str] = {
    Patches: "pixels: squares of a picture line by line, the numbers of each channel by channel; the first slot of a "
    "row is for the whole picture, as it was in training.",
    Regions: "features: the vectors of a picture's regions, in any order.",
}


def write(folder: Path, out: Path, heads: Sequence[str] | None = None) -> list[str]:
    """A model's folder as ONNX in the new folder `out`, whole or not at all; what is there, in lines.

    `heads` are those to write (None: all): a runtime computes what all of them say, whichever output is asked for.
    Besides graphs, `out` has the tokenizers and a config.json: inputs and outputs, what ids are for, how to use it, and
    the `settings` of the model's own config.json. UserError where a value of the plan has no form here.
    """
    library()
    plan, extra = read_config(folder)
    check(plan)
    digest = extra.pop("weights", {})
    parameters = Parameters(folder, plan, digest.get("xxh3_128") if isinstance(digest, dict) else None)
    if heads is not None:
        known = {head.name: head for head in plan.heads}
        if unknown := [name for name in heads if name not in known]:
            raise UserError(f"{folder}: no head is called {unknown[0]!r}; it has {', '.join(known) or 'none'}")
        plan = plan.with_heads(*(known[name] for name in heads))
    if out.exists():
        raise UserError(f"{out}: is there already; choose another name, or remove it")
    tokenizers = _tokenizers(folder, extra)
    with scratch(out) as partial:
        form, files = graphs(plan, parameters, partial)
        words = files_of(tokenizers, FRAMED[form])
        told = {
            "format": "heedful-onnx", "written_by": f"heedful {version('heedful')}", "form": form, "opset": OPSET,
            "use": _use(form, plan), "files": files, "settings": extra,
            "tokenizers": {side: _ids(own) for side, own in tokenizers.items()},
        }  # fmt: skip
        words["config.json"] = msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n"
        for name, content in words.items():
            (partial / name).parent.mkdir(exist_ok=True)
            (partial / name).write_bytes(content)
        partial.rename(out)
    lines = [f"{name}: {_short(file['inputs'])} -> {_short(file['outputs'])}" for name, file in files.items()]
    return [*lines, f"{', '.join(sorted(words))}; config.json tells how to use them"]


def _use(form: str, plan: Plan) -> list[str]:
    kinds = dict.fromkeys(type(stream.embedding) for stream in plan.streams)
    lines = [*USE[form], *(PICTURES[kind] for kind in kinds if kind in PICTURES)]
    if any(not isinstance(stream.embedding, Tokens) and stream.embedding.box for stream in plan.streams):
        lines.append("boxes: x1, y1, x2, y2 and area of each, as shares of the picture.")
    return lines


def _tokenizers(folder: Path, extra: Mapping[str, Any]) -> dict[str, Tokenizer]:
    """A model's: {"": one}, {"source": ..., "target": ...}, or none."""
    if isinstance(extra.get("tokenizers"), dict):
        return load_tokenizers(folder, extra["tokenizers"])
    return {"": Tokenizer.load(folder / "tokenizer.json")} if extra.get("tokenizer") else {}


def _ids(own: Tokenizer) -> dict[str, Any]:
    """What ids are for, and whether a text to go on with begins with the start (`opens`)."""
    named = {"pad": own.pad, "start": own.start, "end": own.end, "unknown": own.unknown, "mask": own.mask}
    return {**named, "opens": own.opens, "tags": {name: own.tag(name) for name in own.tags}}


def check(part: Any, where: str = "plan") -> None:
    """UserError names the first value of a plan that has no form here."""
    if isinstance(part, tuple):
        for one in part:
            check(one, where)
    elif isinstance(part, Part):
        kind = type(part).__name__
        if kind not in WRITTEN:
            raise refusal(where, kind)
        given = part.__struct_defaults__
        defaults = (object(),) * (len(part.__struct_fields__) - len(given)) + given
        for name, default in zip(part.__struct_fields__, defaults, strict=True):
            value = getattr(part, name)
            if name not in WRITTEN[kind].split() and value != default:
                raise refusal(f"{where}: {kind}.{name}", value)
            check(value, f"{where}: {kind}.{name}")
        if isinstance(part, Head) and part.together > 1 and part.reads == "tokens":
            raise refusal(f"{where}: Head.together of tokens", part.together)


def _short(values: Mapping[str, Any]) -> str:
    """Names, with those that differ in a number once."""
    return ", ".join(dict.fromkeys(re.sub(r"\.\d+\.", ".N.", name) for name in values))


# ---- forms ----------------------------------------------------------------------------------------------------------


@dataclass
class Decoding:
    """What is decoded: the stream that the head `next_token` reads, its attentions, and those to the one other stream,
    by address and number of the block."""

    stream: Stream
    own: dict[str, tuple[int, Attend]] = field(default_factory=dict)
    cross: dict[str, tuple[int, Block, Attend]] = field(default_factory=dict)
    source: Stream | None = None


def decoding(plan: Plan) -> Decoding | None:
    """None where a plan cannot be decoded step by step, or has a head that reads anything else."""
    if not any(head.name == "next_token" for head in plan.heads):
        return None
    found = Decoding(plan.stream(plan.heads[0].streams[0]))
    name = found.stream.name
    if any(head.streams != (name,) or head.reads != "tokens" or head.before is not None for head in plan.heads):
        return None
    if not isinstance(found.stream.embedding, Tokens) or found.stream.pool is not None:
        return None
    others = [stream for stream in plan.streams if stream.name != name]
    for _, address, block in plan.blocks():
        for attend in block.attends:
            if block.stream != name:
                if attend.stream == name:
                    return None  # a source that reads what is decoded
            elif attend.stream != name:
                found.cross[f"{address}.{attend.stream}"] = int(address.split(".")[1]), block, attend
            elif attend.mask == "causal":
                found.own[f"{address}.{name}"] = int(address.split(".")[1]), attend
            else:
                return None
    found.source = others[0] if others else None
    if not found.own or len(others) > 1 or not _is_finished_first(plan, found):
        return None
    return found


def _is_finished_first(plan: Plan, found: Decoding) -> bool:
    """Whether all steps of the source come before the first that reads it."""
    if found.source is None:
        return True
    name, decoded = found.source.name, found.stream.name
    own, reading = [-1], []
    for number, step in enumerate(plan.steps):
        blocks = step.blocks if isinstance(step, Step) else ()
        if any(block.stream == name for block in blocks) or (isinstance(step, FinalNorm) and step.stream == name):
            own.append(number)
        if any(block.stream == decoded and attend.stream == name for block in blocks for attend in block.attends):
            reading.append(number)
    return bool(reading) and max(own) < min(reading)


def graphs(plan: Plan, parameters: Parameters, out: Path) -> tuple[str, dict[str, Any]]:
    """The form, and what every file takes and gives."""
    found = decoding(plan)
    makes: dict[str, Callable[[Graph], None]]
    if found is None:
        form, makes = "whole", {"model": lambda graph: _whole(graph, plan)}
    elif found.source is None:
        form, makes = "decoder", {"model": lambda graph: _decoder(graph, plan, found)}
    else:
        form, makes = "encoder-decoder", {
            "encoder_model": lambda graph: _encoder(graph, plan, found),
            "decoder_model": lambda graph: _decoder(graph, plan, found),
        }  # fmt: skip
    files = {}
    for name, make in makes.items():
        graph = Graph(parameters, out / f"{name}.onnx.data" if parameters.size > BESIDE else None)
        make(graph)
        graph.save(out / f"{name}.onnx")
        files[f"{name}.onnx"] = graph.signature()
    return form, files


def _whole(graph: Graph, plan: Plan) -> None:
    """All streams, their last states, their pools and all heads."""
    walk = Walk(graph, plan)
    before = {stream.name: f"{stream.name}." if len(plan.streams) > 1 else "" for stream in plan.streams}
    for stream in plan.streams:
        enter(walk, stream, before[stream.name])
    done = 0
    for last in sorted({head.before for head in plan.heads}, key=lambda last: (last is None, last)):
        walk.run(done, last)
        for head in plan.heads:
            if head.before == last:
                say(walk, head, head.name, f"{before[head.streams[0]].replace('.', '_')}sequence")
        done = len(plan.steps) if last is None else last
    walk.run(done)
    for stream in plan.streams:
        give_states(walk, stream, before[stream.name])


def _encoder(graph: Graph, plan: Plan, found: Decoding) -> None:
    """The source, and what the decoder reads of it."""
    assert found.source is not None
    walk = Walk(graph, plan)
    enter(walk, found.source)
    walk.run()
    give_states(walk, found.source)
    for here, (number, block, attend) in found.cross.items():
        graph.at = here
        pair = walk.key_value(here, block, attend, walk.states[found.source.name])
        for name, value in zip(_pair(f"cross.{number}"), pair, strict=True):
            graph.output(name, value, *_held(attend, "sequence"))


def _decoder(graph: Graph, plan: Plan, found: Decoding) -> None:
    """The next tokens of rows whose past is known; without a source, rows may be padded."""
    past = {here: _taken(graph, f"past_key_values.{n}", attend, "past") for here, (n, attend) in found.own.items()}
    settled = {here: _taken(graph, f"cross.{n}", attend, "source") for here, (n, _, attend) in found.cross.items()}
    walk = Walk(graph, plan, past, settled)
    if found.source is not None:
        mask = graph.input("encoder_attention_mask", "int64", "batch", "source")
        walk.lanes[found.source.name] = Lane(graph.cast(mask, np.bool_))
    enter(walk, found.stream, past=next(iter(past.values()))[0], masked=found.source is None)
    walk.run()
    for head in plan.heads:
        say(walk, head, "logits" if head.name == "next_token" else head.name)
    for here, (number, attend) in found.own.items():
        for name, value in zip(_pair(f"present.{number}"), walk.present[here], strict=True):
            graph.output(name, value, *_held(attend, "total"))


def _taken(graph: Graph, stem: str, attend: Attend, length: str) -> Pair:
    """Inputs for keys and values."""
    key, value = (graph.input(name, "float32", *_held(attend, length)) for name in _pair(stem))
    return key, value


def _pair(stem: str) -> Pair:
    return f"{stem}.key", f"{stem}.value"


def _held(attend: Attend, length: str) -> tuple[int | str, ...]:
    return "batch", attend.kv_heads, length, attend.head_width
