"""The official ViLBERT code's numbers (vilbert-tiny/, see its README) from a packed model with its weights.

Theirs is a padded batch with two attention masks; ours has only the real tokens and regions.
"""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from laws.closeness import assert_close, gradients
from laws.looking import Keeper
from safetensors.torch import load_file
from torch import Tensor

from heedful.convert.importing import Checkpoint, opened
from heedful.model.embeddings import Input, RegionInput, TokenInput
from heedful.model.heads import Labels, LossSums
from heedful.model.layout import Layout
from heedful.model.plan import Plan

from .checkpoints import loaded

HERE = Path(__file__).parent / "vilbert-tiny"
KERNELS = pytest.mark.parametrize("which", ["explicit", "fused"])
STREAMS = {"text": "text", "picture": "image"}
# The official code makes these for every co-attention layer and never uses them.
DEAD = tuple(f"biOutput.q_dense{number}.{kind}" for number in (1, 2) for kind in ("weight", "bias"))


@functools.cache
def given() -> dict[str, Tensor]:
    return load_file(HERE / "inputs.safetensors")


@functools.cache
def outputs() -> dict[str, Tensor]:
    return load_file(HERE / "outputs.safetensors")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Their files as a folder that we open."""
    folder = tmp_path_factory.mktemp("vilbert")
    shutil.copy(HERE / "config.json", folder)
    shutil.copy(HERE / "state_dict.safetensors", folder / "model.safetensors")
    return opened(folder)


def blocks(made: Plan, stream: str) -> tuple[list[int], list[int]]:
    """Numbers of a stream's co-attention blocks, and of its own blocks."""
    co, own = [], []
    for _, address, block in made.blocks():
        if block.stream == stream:
            (co if block.attends[0].stream != stream else own).append(int(address.split(".")[1]))
    return co, own


def masks() -> dict[str, Tensor]:
    """Which slots of their batch are real."""
    return {"text": given()["attention_mask"].bool(), "picture": given()["image_attention_mask"].bool()}


def inputs() -> dict[str, Input]:
    real = masks()
    layouts = {stream: Layout.packed(mask.sum(1).numpy()) for stream, mask in real.items()}
    for mask in real.values():  # rows are padded at their end
        assert torch.equal(mask, torch.arange(mask.shape[1]) < mask.sum(1, keepdim=True))
    text, picture = real["text"], real["picture"]
    return {
        "text": TokenInput(given()["input_txt"][text], layouts["text"], given()["token_type_ids"][text]),
        "picture": RegionInput(given()["input_imgs"][picture], given()["image_loc"][picture], layouts["picture"]),
    }


def labels() -> dict[str, Labels]:
    """Labels of what is masked. Region labels cover regions 1 and on: the whole-picture row has none."""
    real = masks()
    words = given()["masked_lm_labels"][real["text"]]
    spoken = (words != -1).nonzero().view(-1)
    none = torch.zeros(len(real["picture"]), 1, dtype=torch.bool)
    hidden = torch.cat([none, given()["image_label"] == 1], 1)
    assert not (hidden & ~real["picture"]).any()
    targets = torch.cat([torch.zeros_like(given()["image_target"][:, :1]), given()["image_target"]], 1)
    return {
        "masked_token": Labels(words[spoken], spoken),
        "masked_region": Labels(targets[hidden], hidden[real["picture"]].nonzero().view(-1)),
        "alignment": Labels(given()["next_sentence_label"]),
    }


def mean(sums: LossSums) -> Tensor:
    return sums.loss / sums.count


@KERNELS
def test_streams_pools_and_scores(found: Checkpoint, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heedful.model.kernels.choose", lambda *_: which)
    ours, wanted = loaded(found), outputs()
    with torch.no_grad():
        states, layouts = ours.encode(inputs())
        for stream, theirs in STREAMS.items():
            real = masks()[stream]
            assert_close("ViLBERT: streams", states[stream], wanted[f"{theirs}_sequence_output"][real])
            assert_close("ViLBERT: pools", ours.pooled(stream, states, layouts), wanted[f"{theirs}_pooled"])
        for head, theirs, stream in (
            ("masked_token", "prediction_scores_text", "text"), ("masked_region", "prediction_scores_image", "picture")
        ):  # fmt: skip
            assert_close("ViLBERT: scores", ours.logits(head, states, layouts), wanted[theirs][masks()[stream]])
        assert_close("ViLBERT: alignment", ours.logits("alignment", states, layouts), wanted["alignment_score"])


def test_every_attention_map(found: Checkpoint) -> None:
    """Of both streams and of co-attention in both directions; what pads has weight 0."""
    ours, keeper, compared = loaded(found), Keeper(lambda address: address.endswith(".weights")), 0
    with torch.no_grad():
        ours.encode(inputs(), probe=keeper)
    for stream, theirs in STREAMS.items():
        other = next(name for name in STREAMS if name != stream)
        co, own = blocks(found.plan, stream)
        maps = {f"{stream}.{block}.{stream}": f"attn.{theirs}.{i}" for i, block in enumerate(own)}
        for i, block in enumerate(co):
            maps[f"{stream}.{block}.{other}"] = f"attn.co.{i}.{theirs}_queries_{STREAMS[other]}_keys"
        for address, name in maps.items():
            attended = address.rsplit(".", 1)[1]
            lengths = [mask.sum(1).tolist() for mask in (masks()[stream], masks()[attended])]
            for row, weights in keeper.weights(f"{address}.weights").items():
                queries, keys = lengths[0][row], lengths[1][row]
                assert_close(
                    "ViLBERT: attention", weights[:, :queries, :keys], outputs()[name][row, :, :queries, :keys]
                )
                assert float(weights[:, :queries, keys:].abs().sum()) == 0.0
            compared += 1
    assert compared == len([name for name in outputs() if name.startswith("attn.")]) == len(keeper.seen)


def test_states_after_each_co_attention(found: Checkpoint) -> None:
    ours, keeper = loaded(found), Keeper(lambda address: address.endswith(".feedforward.after"))
    with torch.no_grad():
        ours.encode(inputs(), probe=keeper)
    for stream, theirs in STREAMS.items():
        for i, block in enumerate(blocks(found.plan, stream)[0]):
            (states,) = keeper.seen[f"{stream}.{block}.feedforward.after"]
            assert_close("ViLBERT: after co-attention", states, outputs()[f"after_co.{i}.{theirs}"][masks()[stream]])


@KERNELS
def test_losses_and_gradients(found: Checkpoint, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The three losses, and the norm of every parameter's gradient of their sum."""
    monkeypatch.setattr("heedful.model.kernels.choose", lambda *_: which)
    ours, wanted = loaded(found), outputs()
    sums = ours(inputs(), labels())
    for head, theirs in (
        ("masked_token", "masked_lm_loss"), ("masked_region", "masked_image_loss"), ("alignment", "alignment_loss")
    ):  # fmt: skip
        assert_close("ViLBERT: losses", mean(sums[head]), wanted[theirs].view(()))
    torch.stack([mean(part) for part in sums.values()]).sum().backward()

    got, read = gradients(ours), set()
    names = {name: pair.theirs for pair in found.reading.rules.pairs(found.plan).values() for name in pair.ours}
    for name, gradient in got.items():
        theirs = names[name]
        norm = wanted[f"gradnorm.{theirs}"].view(())
        assert_close("ViLBERT: gradient norms", gradient.norm(), norm)
        # Small gradients too, as far as single precision carries: in double precision theirs are 0.07 % off at worst.
        # A key's bias moves all scores of a query alike: its gradient is 0 but for rounding.
        if not name.endswith(".key.bias"):
            assert np.isclose(float(gradient.norm()), float(norm), rtol=2e-3), f"{name}: {gradient.norm()}, not {norm}"
        read.add(f"gradnorm.{theirs}")
    left = {name for name in wanted if name.startswith("gradnorm.") and name not in read}
    assert all(name.endswith(DEAD) or name == "gradnorm.cls.predictions.decoder.weight" for name in left), left
