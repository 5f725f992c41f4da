"""ViLBERT's two layouts: names that neither library writes any more, heads of 12-in-1 and of MMF, task tokens.

What they compute is told once more, in plain torch, one pair at a time, on tensors by their official names.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from against.checkpoints import loaded
from laws.closeness import assert_close, assert_same_bits
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from heedful.convert.exporting import convert_out
from heedful.convert.importing import convert_in, opened
from heedful.errors import UserError
from heedful.model.embeddings import RegionInput, TokenInput
from heedful.model.layout import Layout

OFFICIAL = Path(__file__).parents[1] / "against" / "vilbert-tiny"
CONFIG: dict[str, Any] = {
    "vocab_size": 61, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 20,
    "hidden_act": "gelu", "max_position_embeddings": 18, "type_vocab_size": 2, "v_feature_size": 11,
    "v_target_size": 9, "v_hidden_size": 28, "v_num_hidden_layers": 2, "v_num_attention_heads": 2,
    "v_intermediate_size": 26, "v_hidden_act": "gelu", "bi_hidden_size": 30, "bi_num_attention_heads": 3,
    "t_biattention_id": [1, 2], "v_biattention_id": [0, 1],
}  # fmt: skip
TASKS, LENGTHS, REGIONS = 5, [6, 3, 7, 2], [4, 5, 2, 3]
Tensors = dict[str, Tensor]


def linear(name: str, outputs: int, inputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (outputs, inputs)
    yield f"{name}.bias", (outputs,)


def normal(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def after(name: str, width: int, inner: int, number: str = "") -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from linear(f"{name}.dense{number}", width, inner)
    yield from normal(f"{name}.LayerNorm{number}", width)


def trunk(c: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the official trunk."""
    text, picture, both = c["hidden_size"], c["v_hidden_size"], c["bi_hidden_size"]
    yield "embeddings.word_embeddings.weight", (c["vocab_size"], text)
    yield "embeddings.position_embeddings.weight", (c["max_position_embeddings"], text)
    yield "embeddings.token_type_embeddings.weight", (c["type_vocab_size"], text)
    yield from normal("embeddings.LayerNorm", text)
    yield from linear("v_embeddings.image_embeddings", picture, c["v_feature_size"])
    yield from linear("v_embeddings.image_location_embeddings", picture, 5)
    yield from normal("v_embeddings.LayerNorm", picture)
    for stack, width, inner, layers in (
        ("layer", text, c["intermediate_size"], c["num_hidden_layers"]),
        ("v_layer", picture, c["v_intermediate_size"], c["v_num_hidden_layers"]),
    ):
        for i in range(layers):
            for part in ("query", "key", "value"):
                yield from linear(f"encoder.{stack}.{i}.attention.self.{part}", width, width)
            yield from after(f"encoder.{stack}.{i}.attention.output", width, width)
            yield from linear(f"encoder.{stack}.{i}.intermediate.dense", inner, width)
            yield from after(f"encoder.{stack}.{i}.output", width, inner)
    for i in range(len(c["t_biattention_id"])):
        here = f"encoder.c_layer.{i}"
        for number, width, letter, inner in (
            ("1", picture, "v", c["v_intermediate_size"]), ("2", text, "t", c["intermediate_size"])
        ):  # fmt: skip
            for part in ("query", "key", "value"):
                yield from linear(f"{here}.biattention.{part}{number}", both, width)
            yield from after(f"{here}.biOutput", width, both, number)
            yield from linear(f"{here}.biOutput.q_dense{number}", width, both)
            yield from linear(f"{here}.{letter}_intermediate.dense", inner, width)
            yield from after(f"{here}.{letter}_output", width, inner)
    yield from linear("t_pooler.dense", both, text)
    yield from linear("v_pooler.dense", both, picture)


def pretraining(c: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "cls.predictions.bias", (c["vocab_size"],)
    yield from after("cls.predictions.transform", c["hidden_size"], c["hidden_size"])
    yield from after("cls.imagePredictions.transform", c["v_hidden_size"], c["v_hidden_size"])
    yield from linear("cls.imagePredictions.decoder", c["v_target_size"], c["v_hidden_size"])
    yield from linear("cls.bi_seq_relationship", 2, c["bi_hidden_size"])


def twelve_in_one(c: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    both = c["bi_hidden_size"]
    for name, inputs, outputs in (
        ("vil_prediction", both, 13), ("vil_prediction_gqa", both, 10), ("vil_binary_prediction", 2 * both, 2)
    ):  # fmt: skip
        yield from linear(f"{name}.logit_fc.0", 2 * both, inputs)
        yield from normal(f"{name}.logit_fc.2", 2 * both)
        yield from linear(f"{name}.logit_fc.3", outputs, 2 * both)
    yield from linear("vil_logit", 1, both)
    yield from linear("vil_tri_prediction", 3, both)
    yield from linear("vision_logit", 1, c["v_hidden_size"])
    yield from linear("linguisic_logit", 1, c["hidden_size"])


def drawn(shapes: Iterator[tuple[str, tuple[int, ...]]], prefix: str = "") -> Tensors:
    made = {f"{prefix}{name}": 0.3 * torch.randn(shape) for name, shape in shapes}
    return {name: tensor + 1 if "LayerNorm" in name and name.endswith("weight") else tensor
            for name, tensor in made.items()}  # fmt: skip


class Official:
    """The official forward pass of one pair: `c` its settings, `of` its tensors under `stem`."""

    def __init__(self, c: dict[str, Any], of: Tensors, stem: str) -> None:
        self.c, self.of, self.stem = c, of, stem

    def linear(self, name: str, states: Tensor) -> Tensor:
        return functional.linear(states, self.of[f"{name}.weight"], self.of[f"{name}.bias"])

    def norm(self, name: str, states: Tensor) -> Tensor:
        return functional.layer_norm(
            states, states.shape[-1:], self.of[f"{name}.weight"], self.of[f"{name}.bias"], 1e-12
        )

    def attend(self, query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
        split = lambda states: states.view(len(states), heads, -1).transpose(0, 1)
        query, key, value = split(query), split(key), split(value)
        weights = (query @ key.transpose(1, 2) / query.shape[-1] ** 0.5).softmax(-1)
        return (weights @ value).transpose(0, 1).flatten(1)

    def feed(self, inner: str, output: str, states: Tensor) -> Tensor:
        made = self.linear(f"{output}.dense", functional.gelu(self.linear(f"{inner}.dense", states)))
        return self.norm(f"{output}.LayerNorm", made + states)

    def alone(self, here: str, states: Tensor, heads: int) -> Tensor:
        query, key, value = (self.linear(f"{here}.attention.self.{part}", states) for part in ("query", "key", "value"))
        seen = self.linear(f"{here}.attention.output.dense", self.attend(query, key, value, heads))
        states = self.norm(f"{here}.attention.output.LayerNorm", seen + states)
        return self.feed(f"{here}.intermediate", f"{here}.output", states)

    def together(self, here: str, picture: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        part = lambda name, states: self.linear(f"{here}.biattention.{name}", states)
        heads = self.c["bi_num_attention_heads"]
        for_text = self.attend(part("query2", text), part("key1", picture), part("value1", picture), heads)
        for_picture = self.attend(part("query1", picture), part("key2", text), part("value2", text), heads)
        out = f"{here}.biOutput"
        picture = self.norm(f"{out}.LayerNorm1", self.linear(f"{out}.dense1", for_picture) + picture)
        text = self.norm(f"{out}.LayerNorm2", self.linear(f"{out}.dense2", for_text) + text)
        return (
            self.feed(f"{here}.v_intermediate", f"{here}.v_output", picture),
            self.feed(f"{here}.t_intermediate", f"{here}.t_output", text),
        )

    def run(self, ids: Tensor, segments: Tensor, task: Tensor | None, features: Tensor, boxes: Tensor) -> Tensors:
        """States of both streams, and both pooled vectors."""
        here, c = f"{self.stem}embeddings", self.c
        table = lambda name: self.of[f"{here}.{name}_embeddings.weight"]
        text = table("word")[ids] + table("position")[: len(ids)] + table("token_type")[segments]
        if task is not None:
            text = torch.cat([text[:1], table("task")[task][None], text[1:]])
        text = self.norm(f"{here}.LayerNorm", text)
        here = f"{self.stem}v_embeddings"
        picture = self.linear(f"{here}.image_embeddings", features)
        picture = self.norm(f"{here}.LayerNorm", picture + self.linear(f"{here}.image_location_embeddings", boxes))
        done = {"layer": 0, "v_layer": 0}

        def until(stack: str, last: int, states: Tensor, heads: int) -> Tensor:
            for number in range(done[stack], last):
                states = self.alone(f"{self.stem}encoder.{stack}.{number}", states, heads)
            done[stack] = last
            return states

        heads, picture_heads = c["num_attention_heads"], c["v_num_attention_heads"]
        for number, (t, v) in enumerate(zip(c["t_biattention_id"], c["v_biattention_id"], strict=True)):
            text = until("layer", t, text, heads)
            picture = until("v_layer", v, picture, picture_heads)
            picture, text = self.together(f"{self.stem}encoder.c_layer.{number}", picture, text)
        picture = until("v_layer", c["v_num_hidden_layers"], picture, picture_heads)
        text = until("layer", c["num_hidden_layers"], text, heads)
        pooled = lambda name, states: self.linear(f"{self.stem}{name}_pooler.dense", states[0]).relu()
        return {"text": text, "picture": picture, "t": pooled("t", text), "v": pooled("v", picture)}

    def perceptron(self, name: str, fused: Tensor) -> Tensor:
        """SimpleClassifier."""
        hidden = self.norm(f"{name}.logit_fc.2", functional.gelu(self.linear(f"{name}.logit_fc.0", fused)))
        return self.linear(f"{name}.logit_fc.3", hidden)

    def transformed(self, name: str, states: Tensor) -> Tensor:
        """BertPredictionHeadTransform."""
        return self.norm(f"{name}.LayerNorm", functional.gelu(self.linear(f"{name}.dense", states)))


def pairs(tasks: int) -> tuple[list[tuple[Any, ...]], dict[str, Any]]:
    """Random pairs: for the official pass, one by one, and for ours, packed; with `tasks`, each of a task."""
    each = []
    for length, regions in zip(LENGTHS, REGIONS, strict=True):
        task = torch.randint(0, tasks, ()) if tasks else None
        each.append((torch.randint(0, 61, (length,)), torch.randint(0, 2, (length,)), task,
                     torch.randn(regions, 11), torch.rand(regions, 5)))  # fmt: skip
    put = lambda row, token: row if token is None else torch.cat([row[:1], token[None], row[1:]])
    ids = torch.cat([put(ids, task) for ids, _, task, _, _ in each])
    segments = torch.cat([put(segments, None if task is None else task * 0) for _, segments, task, _, _ in each])
    words = Layout.packed(np.array(LENGTHS) + bool(tasks))
    regions = RegionInput(
        torch.cat([one[3] for one in each]), torch.cat([one[4] for one in each]), Layout.packed(np.array(REGIONS))
    )
    return each, {"text": TokenInput(ids, words, segments), "picture": regions}


def written(folder: Path, config: dict[str, Any], tensors: Tensors) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder


def tied(tensors: Tensors) -> Tensors:
    """With the masked-token output, which is the embedding."""
    return {**tensors, "cls.predictions.decoder.weight": tensors["bert.embeddings.word_embeddings.weight"].clone()}


@pytest.mark.parametrize("method", ["mul", "sum"])
@pytest.mark.parametrize("tasks", [0, TASKS])
def test_twelve_in_one(method: str, tasks: int, tmp_path: Path) -> None:
    """States, pools, and every head of 12-in-1, with task tokens and without, fused in both ways."""
    config = {**CONFIG, "fusion_method": method}
    tensors = {**drawn(trunk(config), "bert."), **drawn(pretraining(config)), **drawn(twelve_in_one(config))}
    if tasks:
        tensors["bert.embeddings.task_embeddings.weight"] = torch.randn(tasks, 24)
        config["task_specific_tokens"] = True
    found = opened(written(tmp_path, config, tied(tensors)))
    assert found.layout == "vilbert"
    assert found.reading.task == "ask"
    model, official = loaded(found), Official(config, tensors, "bert.")
    each, inputs = pairs(tasks)
    with torch.no_grad():
        states, layouts = model.encode(inputs)
        runs = [official.run(*one) for one in each]
        for stream, pool in (("text", "t"), ("picture", "v")):
            assert_close("12-in-1: states", states[stream], torch.cat([run[stream] for run in runs]))
            pooled = torch.stack([run[pool] for run in runs])
            assert_close("12-in-1: pools", model.pooled(stream, states, layouts), pooled)
        text, picture = (torch.cat([run[stream] for run in runs]) for stream in ("text", "picture"))
        t, v = (torch.stack([run[pool] for run in runs]) for pool in ("t", "v"))
        fused = t * v if method == "mul" else t + v
        decoder = tensors["bert.embeddings.word_embeddings.weight"]
        words = official.transformed("cls.predictions.transform", text)
        wanted = {
            "label": official.perceptron("vil_prediction", fused),
            "gqa": official.perceptron("vil_prediction_gqa", fused),
            "two_pictures": official.perceptron("vil_binary_prediction", fused.view(-1, 2 * fused.shape[1])),
            "entailment": official.linear("vil_tri_prediction", fused),
            "fits": official.linear("vil_logit", fused),
            "region_score": official.linear("vision_logit", picture),
            "token_score": official.linear("linguisic_logit", text),
            "alignment": official.linear("cls.bi_seq_relationship", fused),
            "masked_token": functional.linear(words, decoder, tensors["cls.predictions.bias"]),
            "masked_region": official.linear(
                "cls.imagePredictions.decoder", official.transformed("cls.imagePredictions.transform", picture)
            ),
        }
        assert wanted.keys() == model.heads.keys()
        for head, logits in wanted.items():
            assert_close(f"12-in-1: {head}", model.logits(head, states, layouts), logits)


@pytest.mark.parametrize("stem", ["model.", "bert."])
@pytest.mark.parametrize("two", [False, True])
def test_mmf(stem: str, two: bool, tmp_path: Path) -> None:
    """MMF's names, today's and older: an output of its own for words, one classifier, of one picture or of two."""
    both = CONFIG["bi_hidden_size"] * (2 if two else 1)
    tensors = {**drawn(trunk(CONFIG), f"{stem}bert."), **drawn(pretraining(CONFIG), stem)}
    tensors |= drawn(linear("cls.predictions.decoder", 61, 24), stem)
    tensors[f"{stem}cls.predictions.decoder.bias"] = tensors[f"{stem}cls.predictions.bias"].clone()
    tensors |= drawn(after("classifier.0", both, both), stem) | drawn(linear("classifier.1", 7, both), stem)
    folder = written(tmp_path / "theirs", CONFIG, tensors)
    found = opened(folder)
    assert found.layout == "mmf"
    model, official = loaded(found), Official(CONFIG, tensors, f"{stem}bert.")
    each, inputs = pairs(0)
    with torch.no_grad():
        states, layouts = model.encode(inputs)
        runs = [official.run(*one) for one in each]
        assert_close("MMF: states", states["text"], torch.cat([run["text"] for run in runs]))
        fused = torch.stack([run["t"] * run["v"] for run in runs]).view(-1, both)
        wanted = official.linear(f"{stem}classifier.1", official.transformed(f"{stem}classifier.0", fused))
        assert_close("MMF: classifier", model.logits("label", states, layouts), wanted)
        words = official.transformed(f"{stem}cls.predictions.transform", states["text"])
        wanted = official.linear(f"{stem}cls.predictions.decoder", words)
        assert_close("MMF: words", model.logits("masked_token", states, layouts), wanted)
    # Written back it has today's names, and the dead tensors are zeros.
    convert_in(folder, tmp_path / "ours")
    convert_out(tmp_path / "ours", tmp_path / "back", {})
    back = load_file(tmp_path / "back" / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if not name.endswith("cls.predictions.decoder.bias")}
    today = {f"model.{name.removeprefix(stem)}": tensor for name, tensor in kept.items()}
    assert_same_bits(back, {name: tensor * (".q_dense" not in name) for name, tensor in today.items()})
    assert opened(tmp_path / "back").plan == found.plan


def test_official_there_and_back(tmp_path: Path) -> None:
    """Every bit of the official code's own file, but for what it never reads: that is told, and written as zeros."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    shutil.copy(OFFICIAL / "config.json", theirs)
    shutil.copy(OFFICIAL / "state_dict.safetensors", theirs / "model.safetensors")
    lines = convert_in(theirs, tmp_path / "ours")
    assert "12 tensors are left out, as the original code never uses them" in "\n".join(lines)
    assert "q_dense" in "\n".join(lines)
    convert_out(tmp_path / "ours", tmp_path / "back", {})
    given = load_file(theirs / "model.safetensors")
    del given["cls.predictions.decoder.weight"]  # the embedding again
    back = load_file(tmp_path / "back" / "model.safetensors")
    assert_same_bits(back, {name: tensor * (".q_dense" not in name) for name, tensor in given.items()})
    config = json.loads((OFFICIAL / "config.json").read_text())
    assert config.items() <= json.loads((tmp_path / "back" / "config.json").read_text()).items()
    again = opened(tmp_path / "back")
    assert again.plan == opened(theirs).plan
    assert again.layout == "vilbert"


def test_twelve_in_one_there_and_back(tmp_path: Path) -> None:
    config = {**CONFIG, "task_specific_tokens": True, "fusion_method": "sum"}
    tensors = {**drawn(trunk(config), "bert."), **drawn(pretraining(config)), **drawn(twelve_in_one(config))}
    tensors["bert.embeddings.task_embeddings.weight"] = torch.randn(TASKS, 24)
    convert_in(written(tmp_path / "theirs", config, tied(tensors)), tmp_path / "ours")
    convert_out(tmp_path / "ours", tmp_path / "back", {})
    back = load_file(tmp_path / "back" / "model.safetensors")
    assert_same_bits(back, {name: tensor * (".q_dense" not in name) for name, tensor in tensors.items()})


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"dynamic_attention": True}, "'dynamic_attention'"), ({"with_coattention": False}, "'with_coattention'"),
    ({"in_batch_pairs": True}, "'in_batch_pairs'"), ({"model": "roberta"}, "'model'"),
    ({"fusion_method": "text"}, "'fusion_method'"), ({"v_hidden_act": "relu"}, "'v_hidden_act'"),
    ({"t_biattention_id": [1]}, "are not of one length"), ({"t_biattention_id": [2, 1]}, "'t_biattention_id'"),
    ({"v_biattention_id": [0, 9]}, "'v_biattention_id'"), ({"visual_target": 2}, "'visual_target'"),
    ({"task_specific_tokens": True}, "'task_specific_tokens'"), ({"bi_num_attention_heads": None}, "missing"),
]  # fmt: skip


@pytest.mark.parametrize("stem", ["", "model."])
@pytest.mark.parametrize(("config", "word"), REFUSED, ids=[next(iter(config)) for config, _ in REFUSED])
def test_settings_that_we_lack(config: dict[str, Any], word: str, stem: str, tmp_path: Path) -> None:
    tensors = {**drawn(trunk(CONFIG), f"{stem}bert."), **drawn(pretraining(CONFIG), stem)}
    with pytest.raises(UserError) as caught:
        convert_in(written(tmp_path / "theirs", {**CONFIG, **config}, tensors), tmp_path / "ours")
    assert word in str(caught.value)
    assert not (tmp_path / "ours").exists()


def test_tensors_of_another_network(tmp_path: Path) -> None:
    """Heads of the first release are weight-normalised, and gates of dynamic attention have no place."""
    tensors = tied({**drawn(trunk(CONFIG), "bert."), **drawn(pretraining(CONFIG))})
    for name, message in (
        ("vil_prediction.main.0.weight_g", "weight-normalised"),
        ("bert.encoder.v_layer.0.attention.self.dyLinear_q.weight", "dyLinear_q.weight' is unknown"),
    ):
        folder = written(tmp_path / "theirs", CONFIG, {**tensors, name: torch.ones(3)})
        with pytest.raises(UserError, match=message):
            convert_in(folder, tmp_path / "ours")


def test_what_regression_of_regions_is_scored_by(tmp_path: Path) -> None:
    tensors = tied({**drawn(trunk(CONFIG), "bert."), **drawn(pretraining(CONFIG))})
    found = opened(written(tmp_path, {**CONFIG, "visual_target": 1}, tensors))
    heads = {head.name: head.objective for head in found.plan.heads}
    assert heads == {"masked_token": "classes", "masked_region": "values", "alignment": "classes"}
