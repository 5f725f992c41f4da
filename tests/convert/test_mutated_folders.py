"""Checkpoints whose settings or tensors were changed: each is refused in a line, or converted to a model that loads."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from heedful.convert.importing import convert_in
from heedful.errors import UserError
from heedful.model.model import load

transformers = pytest.importorskip("transformers")

COMMON = {"vocab_size": 61, "num_attention_heads": 4, "max_position_embeddings": 24, "intermediate_size": 24}
ENCODER = {**COMMON, "hidden_size": 16, "num_hidden_layers": 2, "pad_token_id": 1}
TRANSLATOR = {
    "vocab_size": 61, "d_model": 16, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 20, "max_position_embeddings": 24,
    "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
}  # fmt: skip
SEEN = {"num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 24, "image_size": 16, "patch_size": 8}
READ = {**COMMON, "hidden_size": 16, "num_hidden_layers": 1}
BOTH = {
    **COMMON, "hidden_size": 16, "l_layers": 1, "x_layers": 1, "r_layers": 1, "visual_feat_dim": 12,
    "num_qa_labels": 7, "num_object_labels": 5, "num_attr_labels": 6,
}  # fmt: skip
MADE = {
    "BertForPreTraining": ("BertConfig", ENCODER),
    "RobertaForSequenceClassification": ("RobertaConfig", ENCODER),
    "GPT2LMHeadModel": ("GPT2Config", {"vocab_size": 61, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 24}),
    "MarianMTModel": ("MarianConfig", TRANSLATOR),
    "BartForConditionalGeneration": ("BartConfig", TRANSLATOR),
    "T5ForConditionalGeneration": (
        "T5Config", {"vocab_size": 61, "d_model": 16, "d_kv": 4, "d_ff": 24, "num_layers": 2, "num_heads": 4}
    ),
    "ViTForImageClassification": ("ViTConfig", {**SEEN, "hidden_size": 16}),
    "CLIPModel": (
        "CLIPConfig", {"text_config": READ, "vision_config": {**SEEN, "hidden_size": 20}, "projection_dim": 12}
    ),
    "LxmertForPreTraining": ("LxmertConfig", BOTH),
}  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 7, 10**9, 2**40, -5, 1.5, 1e300, "", "x", "relu", [], [1], [0, 1, 2], {},
    {"a": 1}, "\u202e\x00\x1b[31m", [[1]], "gelu",
]  # fmt: skip
HOSTILE = ["../../etc/passwd", "a/b", "\u202eevil", "x\x1b[31m", "heads.label.output.weight", " ", "a" * 400]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("originals")
    for name, (config, sizes) in MADE.items():
        getattr(transformers, name)(getattr(transformers, config)(**sizes)).save_pretrained(root / name)
    golden = Path(__file__).parents[1] / "against" / "vilbert-tiny"
    (root / "vilbert").mkdir()
    shutil.copy(golden / "config.json", root / "vilbert")
    shutil.copy(golden / "state_dict.safetensors", root / "vilbert" / "model.safetensors")
    return sorted(root.iterdir())


def mutate(folder: Path, draw: random.Random) -> str:
    """Change one thing of a folder; what it was."""
    kind = draw.choice(["value", "value", "value", "key", "drop", "rename", "shape", "dtype", "add"])
    if kind in ("value", "key"):
        return f"{kind} {_change_settings(folder / 'config.json', kind, draw)}"
    tensors = load_file(folder / "model.safetensors")
    name = draw.choice(sorted(tensors))
    match kind:
        case "drop":
            del tensors[name]
        case "rename":
            tensors[name[:-1] + draw.choice("xyz")] = tensors.pop(name)
        case "shape":
            flat = tensors[name].reshape(-1)
            tensors[name] = draw.choice([flat[: max(1, len(flat) - 2)], flat[None]]).clone()
        case "dtype":
            others = [torch.int64, torch.float16, torch.bfloat16, torch.float64, torch.bool]
            tensors[name] = tensors[name].to(draw.choice(others))
        case _:
            tensors[draw.choice(HOSTILE)] = torch.zeros(2)
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / "model.safetensors")
    return f"{kind} {name}"


def _change_settings(path: Path, kind: str, draw: random.Random) -> str:
    tree = json.loads(path.read_text())
    inner = [value for value in tree.values() if isinstance(value, dict) and value]
    chosen = draw.choice(inner) if inner and draw.random() < 0.5 else tree
    key = draw.choice(sorted(chosen))
    if kind == "key":
        del chosen[key]
    else:
        chosen[key] = draw.choice(VALUES)
    path.write_text(json.dumps(tree))
    return f"{key} = {chosen.get(key)!r}"


def outcome(folder: Path, out: Path) -> str:
    """ "loaded" or "refused"; anything else is raised."""
    try:
        convert_in(folder, out)
    except UserError as error:
        told = str(error)
        assert len(told) < 1000
        assert told.isprintable(), told
        assert not out.exists()
        return "refused"
    model, _ = load(out)
    assert all(torch.isfinite(tensor).all() for tensor in model.tensors().values())
    return "loaded"


def outcomes(folders: list[Path], place: Path, numbers: range) -> Counter[str]:
    found: Counter[str] = Counter()
    for number in numbers:
        draw = random.Random(number)
        copy, out = place / "changed", place / "out"
        shutil.copytree(draw.choice(folders), copy)
        what = mutate(copy, draw)
        try:
            found[outcome(copy, out)] += 1
        except Exception as error:
            raise AssertionError(f"mutation {number} ({what}) raised {type(error).__name__}: {error}") from error
        shutil.rmtree(copy)
        shutil.rmtree(out, ignore_errors=True)
    return found


def test_each_is_refused_or_loaded(folders: list[Path], tmp_path: Path) -> None:
    found = outcomes(folders, tmp_path, range(200))
    assert min(found["refused"], found["loaded"]) > 20


def test_a_billion_layers_take_no_memory(folders: list[Path], tmp_path: Path) -> None:
    for folder in folders:
        settings = json.loads((folder / "config.json").read_text())
        depths = [key for key in settings if "layer" in key and type(settings[key]) is int and "fixed" not in key]
        for key in depths:
            shutil.copytree(folder, tmp_path / "changed")
            (tmp_path / "changed" / "config.json").write_text(json.dumps({**settings, key: 10**9}))
            assert outcome(tmp_path / "changed", tmp_path / "out") == "refused", key
            shutil.rmtree(tmp_path / "changed")


@pytest.mark.slow
def test_five_thousand(folders: list[Path], tmp_path: Path) -> None:
    print(outcomes(folders, tmp_path, range(1000, 6000)))
