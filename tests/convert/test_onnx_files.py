"""What is written as ONNX: weights once, names, tokenizers, how to use them; and what is refused."""

from __future__ import annotations

import shutil
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tokenizers
import torch
from laws import cases
from msgspec import structs

from convert.onnx_runs import Written, assert_decoding, initializers, onnx, padded, runtime
from heedful.convert import onnx as exchange
from heedful.convert.onnx.walk import waves
from heedful.convert.stream import write as write_tensors
from heedful.data.parallel import save_tokenizers
from heedful.errors import UserError
from heedful.model import plan
from heedful.model.files import write_config
from heedful.model.model import Model
from heedful.model.plan import Head, Plan
from heedful.model.positions import sinusoids
from heedful.text.tokenizer import train_tokenizer


@pytest.mark.parametrize("name", ["encoder-learned-post", "decoder-buckets-pre", "hand-made"])
def test_a_weight_is_held_once(name: str, tmp_path: Path) -> None:
    """Under its name in heedful, tied or not; a matrix that is only multiplied lies turned."""
    written = Written(cases.model_of(name), tmp_path)
    held = initializers(written.out / "model.onnx")
    assert held.keys() == written.plan.shapes().keys()
    for address, tensor in written.model.tensors().items():
        assert np.array_equal(held[address], tensor) or np.array_equal(held[address].T, tensor), address
    constants = (one for one in onnx.load(written.out / "model.onnx").graph.initializer if one.name not in held)
    assert sum(one.ByteSize() for one in constants) < 3000


def test_only_the_heads_that_are_asked_for(tmp_path: Path) -> None:
    written = Written(cases.model_of("encoder-learned-post"), tmp_path)
    exchange.write(tmp_path / "model", tmp_path / "none", heads=())
    session = runtime.InferenceSession(str(tmp_path / "none" / "model.onnx"), providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_outputs()] == ["last_hidden_state", "pooler_output"]
    feeds, _ = padded(written.plan, cases.draw(written.plan), "left")
    assert np.array_equal(session.run(None, feeds)[0], written.run(feeds)["last_hidden_state"])
    assert not any(name.startswith("heads.") for name in initializers(tmp_path / "none" / "model.onnx"))
    with pytest.raises(UserError, match="no head is called 'label'; it has masked_token, next_sentence"):
        exchange.write(tmp_path / "model", tmp_path / "out", heads=("masked_token", "label"))


def test_large_models_keep_their_weights_in_a_file_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "BESIDE", 1000)
    written = Written(cases.model_of("encoder-decoder-learned-pre"), tmp_path)
    assert (written.out / "decoder_model.onnx.data").stat().st_size > 10 * 4096
    beside = [one for one in onnx.load(written.out / "decoder_model.onnx", load_external_data=False).graph.initializer
              if one.data_location == onnx.TensorProto.EXTERNAL]  # fmt: skip
    assert all(int(entry.value) % 4096 == 0 for one in beside for entry in one.external_data if entry.key == "offset")
    with torch.inference_mode():
        assert_decoding(written, cases.draw(written.plan), "left")


def test_what_is_written_tells_how_to_use_it(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(["a rose is a rose"] * 3, "characters", 300, tags=["<2de>"])
    (tmp_path / "model").mkdir()
    tokenizer.save(tmp_path / "model" / "tokenizer.json")
    extra = {"task": "write", "tokenizer": tokenizer.fingerprint}
    written = Written(cases.model_of("decoder-rotary-pre"), tmp_path, extra)
    config, heads = written.config, written.plan.steps[0].blocks[0].attends[0]
    ids = {"pad": 0, "start": 1, "end": 2, "unknown": 3, "mask": None}
    assert config["tokenizers"] == {"": {**ids, "opens": True, "tags": {"<2de>": 4}}}
    assert (config["form"], config["settings"]) == ("decoder", extra)
    file = config["files"]["model.onnx"]
    assert file["inputs"]["past_key_values.1.key"] == ["float32", "batch", heads.kv_heads, "past", heads.head_width]
    assert file["outputs"]["logits"] == ["float32", "batch", "sequence", 31]
    assert written.lines == [
        "model.onnx: past_key_values.N.key, past_key_values.N.value, input_ids, attention_mask -> "
        "logits, present.N.key, present.N.value",
        "config.json, tokenizer.json, tokenizer_config.json; config.json tells how to use them",
    ]
    alone = tokenizers.Tokenizer.from_file(str(written.out / "tokenizer.json"))
    assert alone.encode("a rose").ids == tokenizer.encode("a rose")


@pytest.mark.parametrize(("name", "kinds"), [("two-streams-post", ("features", "boxes")),
                                             ("two-streams-post-patches", ("pixels", "boxes"))])  # fmt: skip
def test_pictures_are_told_of(name: str, kinds: tuple[str, ...], tmp_path: Path) -> None:
    written = Written(cases.model_of(name), tmp_path)
    assert [line.split(":")[0] for line in written.config["use"][2:]] == list(kinds)
    assert {f"picture.{kind}" for kind in kinds} < set(written.config["files"]["model.onnx"]["inputs"])


def test_tokenizers_of_two_sides(tmp_path: Path) -> None:
    """The target's has a folder of its own; a source ends with its end."""
    sides = {side: train_tokenizer([f"a {side}"] * 3, "characters", 300) for side in ("source", "target")}
    (tmp_path / "model").mkdir()
    save_tokenizers(tmp_path / "model", sides)
    extra = {"tokenizers": {side: own.fingerprint for side, own in sides.items()}}
    written = Written(cases.model_of("encoder-decoder-alibi-pre"), tmp_path, extra)
    assert set(written.config["tokenizers"]) == {"source", "target"}
    for side, where in (("source", "."), ("target", "target")):
        alone = tokenizers.Tokenizer.from_file(str(written.out / where / "tokenizer.json"))
        assert alone.encode(f"a {side}").ids == [*sides[side].encode(f"a {side}"), 2]


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_weights_of_fewer_bits_are_written_in_fp32(kind: torch.dtype, tmp_path: Path) -> None:
    """As heedful computes with them."""
    model = Model(cases.small_plan("encoder")).eval()
    model.load_tensors({name: tensor.to(kind).float() for name, tensor in model.tensors().items()})
    tensors = {name: tensor.to(kind) for name, tensor in model.tensors().items()}
    (tmp_path / "model").mkdir()
    kinds = {name: (kind, tuple(tensor.shape)) for name, tensor in tensors.items()}
    digest = write_tensors(tmp_path / "model" / "model.safetensors", kinds, tensors.items())
    write_config(tmp_path / "model", model.plan, {"weights": {"xxh3_128": digest}})
    exchange.write(tmp_path / "model", tmp_path / "out")
    held = initializers(tmp_path / "out" / "model.onnx")
    for name, tensor in model.tensors().items():
        assert np.array_equal(held[name], tensor) or np.array_equal(held[name].T, tensor), name


@pytest.mark.parametrize("width", [1, 2, 7, 12])
@pytest.mark.parametrize("arrangement", typing.get_args(typing.get_type_hints(plan.Tokens)["sinusoid"]))
def test_waves(arrangement: str, width: int) -> None:
    """The sines of any position, however far."""
    frequency, ahead = waves(width, arrangement)
    found = np.sin(np.arange(5000)[:, None] * frequency + ahead).astype(np.float32)
    assert np.abs(found - sinusoids(5000, width, arrangement).numpy()).max() < 1e-6


# ---- refusals -------------------------------------------------------------------------------------------------------


class Zeros(exchange.Parameters):
    """The weights of a plan that no file can hold."""

    def __init__(self, made: Plan) -> None:
        self.shapes, self.ties = made.shapes(), []

    def read(self, name: str) -> npt.NDArray[np.float32]:
        return np.zeros(self.shapes[name], np.float32)


NEW: dict[str, Callable[[Plan], Plan]] = {
    "positions = 'spiral'": lambda made: _tokens(made, positions="spiral"),
    "sinusoid = 'spiral'": lambda made: _tokens(made, positions="sinusoidal", sinusoid="spiral"),
    "activation = 'spiral'": lambda made: _block(made, feedforward=plan.FeedForward(width=9, activation="spiral")),
    "place = 'spiral'": lambda made: _block(made, place="spiral"),
    "kind = 'spiral'": lambda made: _block(made, norm=plan.Norm(kind="spiral")),
    "mask = 'spiral'": lambda made: _attend(made, mask="spiral"),
    "text: positions = 'spiral'": lambda made: _attend(made, positions="spiral"),
    "heads.new: reads = 'spiral'": lambda made: _head(made, reads="spiral"),
    "heads.new: join = 'spiral'": lambda made: _head(made, reads="first", join="spiral"),
    "two inputs or outputs called 'last_hidden_state'": lambda made: _head(made, name="last_hidden_state"),
}


def _tokens(made: Plan, **given: Any) -> Plan:
    embedding = structs.replace(made.streams[0].embedding, **given)
    return structs.replace(made, streams=(structs.replace(made.streams[0], embedding=embedding),))


def _block(made: Plan, **given: Any) -> Plan:
    (step,) = made.steps
    return structs.replace(made, steps=(plan.Step(blocks=(structs.replace(step.blocks[0], **given),)),))


def _attend(made: Plan, **given: Any) -> Plan:
    return _block(made, attends=(structs.replace(made.steps[0].blocks[0].attends[0], **given),))


def _head(made: Plan, **given: Any) -> Plan:
    head = structs.replace(Head(name="new", streams=("text",), outputs=2), **given)
    return structs.replace(made, heads=(head,), ties=())


@pytest.mark.parametrize("said", NEW)
def test_unknown_values_are_refused_by_name(said: str, tmp_path: Path) -> None:
    made = NEW[said](cases.small_plan("encoder", layers=1))
    with pytest.raises(UserError) as error:
        exchange.graphs(made, Zeros(made), tmp_path)
    assert said in str(error.value)


def test_a_new_field_of_a_plan_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it has another value than its default."""
    made = cases.small_plan("encoder", layers=1, place="post", segments=2)
    known = exchange.WRITTEN["Tokens"].replace(" segments", "")
    monkeypatch.setitem(exchange.WRITTEN, "Tokens", known)
    with pytest.raises(UserError, match=r"^plan: Plan\.streams: Stream\.embedding: Tokens\.segments = 2 cannot be"):
        exchange.check(made)
    exchange.check(_tokens(made, segments=0))
    monkeypatch.delitem(exchange.WRITTEN, "Block")
    with pytest.raises(UserError, match=r"Step\.blocks = 'Block' cannot"):
        exchange.check(_tokens(made, segments=0))
    with pytest.raises(UserError, match=r"Head\.together of tokens = 2"):
        exchange.check(_head(made, together=2).heads)


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"pip install 'heedful\[exchange\]'"):
        exchange.write(tmp_path, tmp_path / "out")


def test_files_that_are_not_as_they_should_be(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    Model(cases.small_plan("encoder")).save(folder)
    (tmp_path / "full").mkdir()
    with pytest.raises(UserError, match="full: is there already"):
        exchange.write(folder, tmp_path / "full")
    Model(_head(cases.small_plan("encoder"), name="last_hidden_state")).save(tmp_path / "named")
    with pytest.raises(UserError, match="two inputs or outputs called 'last_hidden_state'"):
        exchange.write(tmp_path / "named", tmp_path / "out")
    shutil.copyfile(tmp_path / "named" / "model.safetensors", tmp_path / "other.safetensors")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(UserError, match="damaged"):
        exchange.write(folder, tmp_path / "out")
    (tmp_path / "other.safetensors").rename(weights)
    with pytest.raises(UserError, match=r"'heads\.masked_token\.[a-z.]+' has shape None; the plan says"):
        exchange.write(folder, tmp_path / "out")
    weights.unlink()
    with pytest.raises(UserError, match=r"model\.safetensors: cannot be read"):
        exchange.write(folder, tmp_path / "out")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["full", "model", "named"]
