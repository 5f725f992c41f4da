"""Models written as ONNX and run by onnxruntime, beside heedful's own answers. Skips where either is not installed."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
import torch
from laws import cases
from laws.closeness import assert_all_close, assert_close
from torch import Tensor

from heedful.convert import onnx as exchange
from heedful.model.model import Model
from heedful.model.plan import Plan

onnx = pytest.importorskip("onnx", reason="the extra 'exchange' is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

Feeds = dict[str, npt.NDArray[Any]]
Padding = typing.Literal["right", "left", "holes"]
PADDINGS: tuple[Padding, ...] = ("right", "left", "holes")


class Written:
    """A model written as ONNX and run by onnxruntime."""

    def __init__(self, model: Model, where: Path, extra: Mapping[str, Any] | None = None) -> None:
        self.model, self.plan, self.out = model, model.plan, where / "onnx"
        model.save(where / "model", extra)
        self.lines = exchange.write(where / "model", self.out)
        self.config = msgspec.json.decode((self.out / "config.json").read_bytes())
        self.sessions: dict[str, Any] = {}
        for file in self.config["files"]:
            onnx.checker.check_model(str(self.out / file), full_check=True)
            options = runtime.SessionOptions()
            options.intra_op_num_threads, options.log_severity_level = 1, 3
            session = runtime.InferenceSession(str(self.out / file), options, providers=["CPUExecutionProvider"])
            self.sessions[file.removesuffix(".onnx")] = session

    def run(self, feeds: Feeds, file: str = "model") -> dict[str, Tensor]:
        session = self.sessions[file]
        wanted = [one.name for one in session.get_inputs()]
        assert set(wanted) == set(feeds)
        names = [one.name for one in session.get_outputs()]
        return dict(zip(names, map(torch.from_numpy, session.run(None, feeds)), strict=True))

    def empty(self, rows: int) -> Feeds:
        """Past keys and values of length 0."""
        file = "decoder_model" if "decoder_model" in self.sessions else "model"
        shapes = {one.name: one.shape for one in self.sessions[file].get_inputs()}
        return {
            name: np.zeros((rows, shape[1], 0, shape[3]), np.float32)
            for name, shape in shapes.items()
            if name.startswith("past_key_values.")
        }


def slots(lengths: Sequence[int], how: Padding, more: int = 2) -> npt.NDArray[np.bool_]:
    """Which slots hold tokens [rows, longest + more]."""
    width, rng = max(lengths) + more, np.random.default_rng(5)
    mask = np.zeros((len(lengths), width), np.bool_)
    for row, length in enumerate(lengths):
        places = {"right": range(length), "left": range(width - length, width),
                  "holes": sorted(rng.choice(width, length, replace=False))}[how]  # fmt: skip
        mask[row, list(places)] = True
    return mask


def padded(made: Plan, rows: cases.Rows, how: Padding, streams: Sequence[str] | None = None) -> tuple[Feeds, dict]:
    """Inputs by name, with noise where there is no token, and the masks by stream."""
    feeds: Feeds = {}
    masks = {}
    names = {"ids": "input_ids", "segments": "token_type_ids"}
    for stream in streams or rows:
        before = "" if len(streams or rows) == 1 else f"{stream}."
        mask = masks[stream] = slots([cases.length(row) for row in rows[stream]], how)
        feeds[f"{before}attention_mask"] = mask.astype(np.int64)
        sizes = made.stream(stream).embedding
        for name in rows[stream][0]:
            if name == "boxes" and not sizes.box:
                continue
            real = torch.cat([row[name] for row in rows[stream]]).numpy()
            array = np.random.default_rng(6).integers(0, 2, (*mask.shape, *real.shape[1:])).astype(real.dtype)
            array[mask] = real
            feeds[before + names.get(name, name)] = array
    return feeds, masks


def expected(model: Model, rows: cases.Rows) -> dict[str, Tensor]:
    """What heedful says of the rows, packed, by the names of ONNX outputs."""
    made, found = model.plan, {}
    before = {stream.name: f"{stream.name}." if len(made.streams) > 1 else "" for stream in made.streams}
    inputs = cases.packed(rows)
    layouts = {name: given.layout for name, given in inputs.items()}
    begun = {name: model.streams[name].embedding(given) for name, given in inputs.items()}
    last = model.run(begun, layouts)
    for stream in made.streams:
        found[f"{before[stream.name]}last_hidden_state"] = last[stream.name]
        if stream.pool is not None:
            found[f"{before[stream.name]}pooler_output"] = model.pooled(stream.name, last, layouts)
    for head in made.heads:
        logits = model.logits(head.name, model.run(begun, layouts, last=head.before), layouts)
        if head.objective == "contrast":
            logits = torch.nn.functional.normalize(logits, dim=-1)
        if head.objective == "contrast" and len(head.streams) > 1:
            parts = logits.chunk(len(head.streams))
            found |= {f"{head.name}.{stream}": part for stream, part in zip(head.streams, parts, strict=True)}
        else:
            found[head.name] = logits
    return found


def assert_whole(written: Written, rows: cases.Rows, how: Padding) -> None:
    """All outputs of the form "whole" equal heedful's."""
    feeds, masks = padded(written.plan, rows, how)
    given = written.run(feeds)
    heads = {head.name: head for head in written.plan.heads}
    for name, answer in given.items():
        assert torch.isfinite(answer).all(), name
        stream = name.split(".")[0] if "." in name and name.split(".")[0] in masks else next(iter(masks))
        reads = "tokens" if name.endswith("last_hidden_state") else heads[name].reads if name in heads else "pooled"
        if name in heads:
            stream = heads[name].streams[0]
        if reads == "tokens":
            given[name] = answer[torch.from_numpy(masks[stream])]
    assert_all_close(f"onnx == heedful, {how}", given, expected(written.model, rows))


def assert_decoding(written: Written, rows: cases.Rows, how: Padding) -> None:
    """Logits of whole rows, and of the same rows in two parts, equal heedful's."""
    model, found = written.model, exchange.decoding(written.plan)
    assert found is not None
    name, source = found.stream.name, found.source
    wanted = expected(model, rows)["next_token"]
    feeds, masks = padded(written.plan, rows, how if source is None else "right", [name])
    mask, file = masks[name], "model"
    if source is not None:
        given, seen = padded(written.plan, rows, how, [source.name])
        settled = written.run(given, "encoder_model")
        states = settled.pop("last_hidden_state")[torch.from_numpy(seen[source.name])]
        assert_close(
            f"onnx encoder == heedful, {how}", states, expected(model, rows)[f"{source.name}.last_hidden_state"]
        )
        del feeds["attention_mask"]
        feeds |= {one: value.numpy() for one, value in settled.items() if one.startswith("cross.")}
        feeds["encoder_attention_mask"], file = given["attention_mask"], "decoder_model"
    whole = written.run({**feeds, **written.empty(len(mask))}, file)
    assert_close(f"onnx logits == heedful, {how}", whole["logits"][torch.from_numpy(mask)], wanted)
    cut = mask.shape[1] // 2
    along = [one for one in ("input_ids", "token_type_ids") if one in feeds]
    first = {**feeds, **{one: feeds[one][:, :cut] for one in along}, **written.empty(len(mask))}
    if source is None:
        first["attention_mask"] = feeds["attention_mask"][:, :cut]
    begun = written.run(first, file)
    past = {
        one.replace("present", "past_key_values"): value.numpy() for one, value in begun.items() if "present" in one
    }
    rest = written.run({**feeds, **{one: feeds[one][:, cut:] for one in along}, **past}, file)
    both = torch.cat([begun["logits"], rest["logits"]], 1)
    assert_close(f"onnx cached == heedful, {how}", both[torch.from_numpy(mask)], wanted)


def initializers(file: Path) -> dict[str, npt.NDArray[Any]]:
    """The weights in a graph."""
    tensors = onnx.load(file).graph.initializer
    return {one.name: onnx.numpy_helper.to_array(one) for one in tensors if not one.name.startswith("constant.")}
