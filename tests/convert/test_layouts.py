"""Checkpoints of `transformers` there and back: the same bits under the same names, and settings that mean the same.

What a layout cannot say is refused by name, in both directions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from against.checkpoints import CASES, CLIP, Case, imported, transformers
from laws.closeness import assert_same_bits
from safetensors.torch import load_file, save_file
from torch import Tensor

from heedful.convert.agreement import agree
from heedful.convert.exporting import convert_out
from heedful.convert.importing import convert_in, opened
from heedful.convert.layout import layout, layout_of, names
from heedful.convert.settings import ACTIVATIONS, Settings
from heedful.errors import UserError
from heedful.model.families import FAMILIES
from heedful.model.plan import Head, Plan

# Settings that change nothing a model computes, or are those of its tokenizer.
SILENT = {
    "bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "forced_eos_token_id", "problem_type",
    "transformers_version", "dtype", "_name_or_path", "architectures",
}  # fmt: skip


def there(name: str, folder: Path) -> tuple[Path, Path]:
    """A case's folder, as theirs writes it and as ours reads it."""
    theirs, ours = folder / "theirs", folder / "ours"
    CASES[name].made().save_pretrained(theirs)
    convert_in(theirs, ours)
    return theirs, ours


@pytest.mark.parametrize("name", CASES)
def test_there_and_back(name: str, tmp_path: Path) -> None:
    """The same bits under the same names, settings that mean the same; and theirs opens it without a word."""
    theirs, ours = there(name, tmp_path)
    convert_out(ours, tmp_path / "back", {})
    assert_same_bits(load_file(tmp_path / "back" / "model.safetensors"), load_file(theirs / "model.safetensors"))
    kind = getattr(transformers, CASES[name].model)
    model, told = kind.from_pretrained(tmp_path / "back", output_loading_info=True)
    assert not any(told.values()), told
    ids = {name for name in SILENT if name.endswith("_id")}
    assert meant(model.config, SILENT - ids) == meant(kind.config_class.from_pretrained(theirs), SILENT - ids)


def meant(config: Any, silent: set[str]) -> dict[str, Any]:
    """What settings of theirs say, in one way where there are several."""
    tree = {key: value for key, value in config.to_dict().items() if key not in silent}
    for key in ("text_config", "vision_config"):
        if key in tree:
            tree[key] = {name: value for name, value in tree[key].items() if name not in silent}
    for key in ("hidden_act", "activation", "activation_function"):
        if key in tree:
            tree[key] = ACTIVATIONS[tree[key]]
    if tree.get("model_type") == "gpt2":
        tree["n_inner"] = tree["n_inner"] or 4 * tree["n_embd"]
    return tree


@pytest.mark.parametrize("name", CASES)
def test_settings_of_a_plan_alone(name: str, tmp_path: Path) -> None:
    """What is written of a plan that came from nowhere is what the checkpoint's settings were."""
    case = CASES[name]
    case.made().save_pretrained(tmp_path)
    found = opened(tmp_path)
    written = layout(found.layout).writing(found.plan, found.reading.extra)
    agree(found.plan, written.plan, name)
    theirs_now = case.made().config
    made = type(theirs_now)(**{key: value for key, value in written.config.items() if key != "model_type"})
    given, wanted = meant(made, SILENT), meant(theirs_now, SILENT)
    # Of labels that are numbers, and of regions and answers that no head speaks of, nothing is known.
    unknown = {"num_qa_labels", "num_object_labels", "num_attr_labels"} if "label" not in name else set()
    different = {key for key in given if given[key] != wanted[key] and key not in unknown}
    assert not different, {key: (given[key], wanted[key]) for key in different}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["bert-pretraining", "gpt2", "pegasus", "clip"])
def test_dtype_is_kept(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    theirs, ours, back = (tmp_path / part for part in ("theirs", "ours", "back"))
    CASES[name].made().to(dtype).save_pretrained(theirs)
    convert_in(theirs, ours)
    assert {tensor.dtype for tensor in load_file(ours / "model.safetensors").values()} == {dtype}
    convert_out(ours, back, {})
    assert_same_bits(load_file(back / "model.safetensors"), load_file(theirs / "model.safetensors"))


@pytest.mark.parametrize("kind", ["sharded", "bin", "sharded bin", "in a module", "old norms"])
def test_however_the_tensors_lie(kind: str, tmp_path: Path) -> None:
    """The same model out of any file that theirs wrote, at any time."""
    model = CASES["bert-masked"].made()
    wanted = imported(model, tmp_path / "plain")[0].tensors()
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "config.json").write_bytes((tmp_path / "plain" / "config.json").read_bytes())
    tensors = load_file(tmp_path / "plain" / "model.safetensors")
    if kind == "sharded":
        model.save_pretrained(folder, max_shard_size="10KB")
        assert len(list(folder.glob("*.safetensors"))) > 2
    elif kind == "sharded bin":
        half = len(tensors) // 2
        parts = [dict(list(tensors.items())[:half]), dict(list(tensors.items())[half:])]
        files = [f"pytorch_model-0000{number}-of-00002.bin" for number in (1, 2)]
        for file, part in zip(files, parts, strict=True):
            torch.save(part, folder / file)
        where = {name: file for file, part in zip(files, parts, strict=True) for name in part}
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    else:
        torch.save(renamed(tensors, kind), folder / "pytorch_model.bin")
    convert_in(folder, tmp_path / "ours")
    assert_same_bits(load_file(tmp_path / "ours" / "model.safetensors"), wanted)


def renamed(tensors: dict[str, Tensor], kind: str) -> dict[str, Tensor]:
    """The tensors as other programs called them."""
    if kind == "in a module":
        return {f"module.{name}": tensor for name, tensor in tensors.items()}
    if kind == "old norms":
        old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        for today, then in old.items():
            tensors = {name.replace(today, then): tensor for name, tensor in tensors.items()}
    else:  # what was saved of a module holds shared tensors under each of their names, and what is no parameter
        tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"]
        tensors["cls.predictions.decoder.bias"] = tensors["cls.predictions.bias"]
        tensors["bert.embeddings.position_ids"] = torch.arange(18)[None]
    return tensors


# Tensors that files of other days hold besides: which case, which tensors.
BESIDES: dict[str, dict[str, Tensor]] = {
    "gpt2": {"transformer.h.0.attn.bias": torch.ones(1, 1, 18, 18).tril().bool(),
             "transformer.h.2.attn.masked_bias": torch.tensor(-1e4)},
    "t5": {"decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight": torch.randn(8, 5)},
    "bart": {"model.encoder.version": torch.tensor([3.0])},
    "vit": {"embeddings.mask_token": torch.zeros(1, 1, 24)},
    "clip": {"text_model.embeddings.position_ids": torch.arange(18)[None],
             "vision_model.embeddings.position_ids": torch.arange(10)[None]},
}  # fmt: skip


@pytest.mark.parametrize("name", BESIDES)
def test_what_old_files_hold_besides(name: str, tmp_path: Path) -> None:
    """Nothing learned: it is left out, and what is read is the same."""
    theirs, ours = there(name, tmp_path)
    save_file({**load_file(theirs / "model.safetensors"), **BESIDES[name]}, theirs / "model.safetensors")
    convert_in(theirs, tmp_path / "again")
    assert_same_bits(load_file(tmp_path / "again" / "model.safetensors"), load_file(ours / "model.safetensors"))


# (case, a tensor that files repeat, of which other)
SHARED = [
    ("gpt2", "lm_head.weight", "transformer.wte.weight"),
    ("bart", "model.decoder.embed_tokens.weight", "model.shared.weight"),
    ("t5", "encoder.embed_tokens.weight", "shared.weight"),
    ("bert-masked", "cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"),
    ("roberta-masked", "lm_head.decoder.bias", "lm_head.bias"),
    ("marian-own", "lm_head.weight", "model.decoder.embed_tokens.weight"),
]


@pytest.mark.parametrize(("name", "copy", "original"), SHARED)
def test_copies(name: str, copy: str, original: str, tmp_path: Path) -> None:
    """A tensor that is shared may be there twice, or under its other name; it may not be two."""
    theirs, ours = there(name, tmp_path)
    tensors, wanted = load_file(theirs / "model.safetensors"), load_file(ours / "model.safetensors")
    assert copy not in tensors

    def written(given: dict[str, Tensor], out: str) -> dict[str, Tensor]:
        save_file(given, theirs / "model.safetensors")
        convert_in(theirs, tmp_path / out)
        return load_file(tmp_path / out / "model.safetensors")

    assert_same_bits(written({**tensors, copy: tensors[original].clone()}, "twice"), wanted)
    if copy.endswith(".weight"):
        other = {copy if name == original else name: tensor for name, tensor in tensors.items()}
        assert_same_bits(written(other, "other"), wanted)
    with pytest.raises(UserError, match=f"'{copy}' is not the same as '{original}'"):
        written({**tensors, copy: tensors[original] + 1}, "two")
    assert not (tmp_path / "two").exists()


def test_tables_of_sines_are_checked(tmp_path: Path) -> None:
    """Files of Pegasus hold them, and files of Marian may; theirs, bit for bit, are ours. Others are refused."""
    theirs, _ = there("marian", tmp_path)
    tensors, name = load_file(theirs / "model.safetensors"), "model.encoder.embed_positions.weight"
    pegasus = imported(CASES["pegasus"].made(), tmp_path / "pegasus")[1]
    table = pegasus.weights[name]
    assert torch.equal(pegasus.reading.rules.known[name].make(), table)
    assert name not in tensors
    for shift, word in ((0.0, ""), (0.01, "does not hold what it should")):
        save_file({**tensors, name: table.clone() + shift}, theirs / "model.safetensors")
        if word:
            with pytest.raises(UserError, match=f"'{name}' {word}"):
                convert_in(theirs, tmp_path / f"shifted by {shift}")
        else:
            convert_in(theirs, tmp_path / f"shifted by {shift}")


# A layout's class of theirs with its defaults, which settings need not say.
DEFAULTS = {
    "bert": ("BertForMaskedLM", "BertConfig"), "roberta": ("RobertaForMaskedLM", "RobertaConfig"),
    "distilbert": ("DistilBertForMaskedLM", "DistilBertConfig"), "gpt2": ("GPT2LMHeadModel", "GPT2Config"),
    "marian": ("MarianMTModel", "MarianConfig"), "pegasus": ("PegasusForConditionalGeneration", "PegasusConfig"),
    "bart": ("BartForConditionalGeneration", "BartConfig"), "mbart": ("MBartForConditionalGeneration", "MBartConfig"),
    "m2m_100": ("M2M100ForConditionalGeneration", "M2M100Config"), "t5": ("T5ForConditionalGeneration", "T5Config"),
    "vit": ("ViTModel", "ViTConfig"), "clip": ("CLIPModel", "CLIPConfig"), "lxmert": ("LxmertModel", "LxmertConfig"),
}  # fmt: skip


class Named(dict[str, Tensor]):
    """Tensors that hold nothing, by name."""

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self[name].shape)

    def dtype(self, name: str) -> torch.dtype:
        return self[name].dtype


@pytest.mark.parametrize("kind", DEFAULTS)
def test_what_settings_leave_out(kind: str) -> None:
    """Settings that say nothing are those that say what theirs takes then."""
    model, config = DEFAULTS[kind]
    full = getattr(transformers, config)()
    tensors = Named({name: torch.empty(1) for name in ("final_logits_bias", "pooler.dense.weight", "lm_head.bias")})
    tensors["logit_scale"] = torch.tensor(2.6592)
    said = {"model_type": kind, "architectures": [model]}
    if "vocab_size" in full.to_dict():
        said["vocab_size"] = full.vocab_size  # which every file says
    plans = [
        layout(layout_of(Settings(tree, "config.json"), tensors)).reading(Settings(tree, "config.json"), tensors).plan
        for tree in ({**full.to_dict(), **said}, said)
    ]
    assert plans[0] == plans[1]


def test_clip_of_two_tables() -> None:
    """The first files say each tower's sizes twice; those that theirs takes are those that we take."""
    older = {**CLIP["text_config"], "num_attention_heads": 2, "layer_norm_eps": 1e-3}
    del older["intermediate_size"]
    tree = {"model_type": "clip", **CLIP, "text_config_dict": older, "vision_config_dict": None}
    tensors = Named(logit_scale=torch.tensor(2.6592))
    plans = [
        layout("clip").reading(Settings(one, "config.json"), tensors).plan
        for one in (tree, transformers.CLIPConfig(**tree).to_dict())
    ]
    assert plans[0] == plans[1]
    assert next(plans[0].blocks())[2].norm.eps == 1e-3


def refused(case: Case, config: dict[str, Any], folder: Path) -> str:
    """Why a checkpoint with these settings cannot be opened."""
    case.made().save_pretrained(folder)
    tree = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**tree, **config}))
    with pytest.raises(UserError) as caught:
        convert_in(folder, folder / "ours")
    message = str(caught.value)
    assert "\n" not in message
    assert not (folder / "ours").exists()
    return message


# What a config.json may ask for that we lack; the key that the message names, if not the first.
LACKING: list[tuple[str, dict[str, Any], str]] = [
    ("bert-trunk", {"position_embedding_type": "relative_key"}, ""), ("bert-trunk", {"is_decoder": True}, ""),
    ("bert-trunk", {"add_cross_attention": True}, ""), ("bert-trunk", {"hidden_act": "mish"}, ""),
    ("bert-trunk", {"hidden_size": 0}, ""), ("bert-trunk", {"num_hidden_layers": "3"}, ""),
    ("bert-trunk", {"hidden_dropout_prob": 1.0}, ""), ("bert-trunk", {"model_type": "deberta"}, ""),
    ("bert-trunk", {"model_type": None}, ""), ("bert-label", {"problem_type": "ranking"}, ""),
    ("bert-label", {"problem_type": "regression"}, ""), ("bert-label", {"id2label": {"1": "a", "3": "b"}}, ""),
    ("roberta-trunk", {"is_decoder": True}, ""), ("roberta-trunk", {"pad_token_id": 40}, ""),
    ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, ""), ("gpt2", {"scale_attn_weights": False}, ""),
    ("gpt2", {"reorder_and_upcast_attn": True}, ""), ("gpt2", {"add_cross_attention": True}, ""),
    ("gpt2", {"activation_function": ["gelu"]}, ""),
    ("marian", {"static_position_embeddings": False}, ""), ("marian", {"normalize_embedding": True}, ""),
    ("marian", {"normalize_before": True}, ""), ("pegasus", {"normalize_before": False}, ""),
    ("bart", {"normalize_before": True}, ""), ("bart", {"add_bias_logits": True}, ""),
    ("bart", {"tie_word_embeddings": False}, ""), ("mbart", {"add_final_layer_norm": False}, ""),
    ("m2m100", {"is_decoder": True}, ""), ("t5", {"feed_forward_proj": "gated-mish"}, ""),
    ("vit", {"qkv_bias": False}, ""), ("vit", {"image_size": [12, 16]}, ""), ("vit", {"image_size": 13}, ""),
    ("clip", {"vision_config": {**CLIP["vision_config"], "hidden_act": "mish"}}, "hidden_act"),
    ("lxmert", {"tie_word_embeddings": False}, ""), ("bart", {"max_position_embeddings": 2**30}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "config", "key"), LACKING, ids=[f"{n}-{next(iter(c))}" for n, c, _ in LACKING])
def test_settings_that_we_lack(name: str, config: dict[str, Any], key: str, tmp_path: Path) -> None:
    assert f"'{key or next(iter(config))}'" in refused(CASES[name], config, tmp_path)


@pytest.mark.parametrize("name", ["bert-masked", "gpt2", "marian", "t5", "vit", "clip", "lxmert"])
def test_tensors_that_do_not_fit(name: str, tmp_path: Path) -> None:
    """Each is named; nothing is left behind."""
    theirs, _ = there(name, tmp_path)
    tensors = load_file(theirs / "model.safetensors")
    first = next(name for name, tensor in tensors.items() if tensor.ndim == 2 and len(tensor) > 1)
    cut = tensors[first][1:].clone()
    for given, message in (
        ({**tensors, "odd.one": torch.zeros(2)}, "'odd.one' is unknown"),
        ({name: tensor for name, tensor in tensors.items() if name != first}, f"'{first}' is not there"),
        ({**tensors, first: cut}, f"'{first}' has shape"),
        ({**tensors, first: tensors[first].long()}, f"'{first}' holds torch.int64"),
    ):
        save_file(given, theirs / "model.safetensors")
        with pytest.raises(UserError, match=message.replace("(", r"\(")) as caught:
            convert_in(theirs, tmp_path / "refused")
        assert str(theirs) in str(caught.value)
        assert not list(tmp_path.glob("*refused*"))


def encoder(**more: Any) -> Plan:
    given = {"vocab": 31, "width": 24, "layers": 2, "heads": 4, "feedforward": 20, "capacity": 18, **more}
    return FAMILIES["encoder"](**given)


def translator(**more: Any) -> Plan:
    given = {"vocab": 31, "width": 24, "layers": 2, "heads": 4, "feedforward": 20, "capacity": 18, **more}
    return FAMILIES["encoder-decoder"](**given)


def headed(plan: Plan, **head: Any) -> Plan:
    return plan.with_heads(Head(streams=("text",), **head))


# Plans that a layout cannot say, and what of them it names.
UNSAID: list[tuple[str, Plan, str]] = [
    ("bert", encoder(place="pre"), "text.norm"),
    ("bert", encoder(norm="rms"), "kind = \"rms\""),
    ("bert", encoder(positions="rotary"), "positions"),
    ("bert", encoder(key_heads=2), "key_heads = 2"),
    ("bert", encoder(gated=True), "feedforward.gate"),
    ("bert", headed(encoder(), name="label", outputs=3, reads="mean", bias=True), 'heads.label.reads = "mean"'),
    ("bert", headed(encoder(), name="other", outputs=3), "the heads other"),
    ("distilbert", encoder(pool=False).with_heads(), "segments = 2"),
    ("gpt2", encoder().with_heads(), "text.embedding.segments"),
    ("gpt2", FAMILIES["decoder"](width=24, heads=4, vocab=31, layers=1, window=4), "window = 4"),
    ("gpt2", translator(), "a stream 'text'"),
    ("marian", translator(positions="learned"), "no place for"),
    ("marian", translator(place="pre", embedding_norm=True), "embedding.norm"),
    ("marian", translator(edge=4), "vocab"),
    ("bart", translator(), "positions = \"sinusoidal\""),
    ("m2m100", translator(place="pre", sinusoid="fairseq"), "offset = 0"),
    ("t5", translator(), "no place for"),
    ("vit", encoder(), "a stream 'picture'"),
    ("vilbert", encoder(), "a stream 'picture'"),
    ("clip", FAMILIES["two-streams"](width=24, heads=4, picture_width=24, vocab=31), "likeness"),
    ("lxmert", FAMILIES["two-streams"](width=24, heads=4, picture_width=24, vocab=31), "no place for"),
    ("sentence_transformers", encoder(), "one head"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "plan", "word"), UNSAID, ids=[f"{name}-{word}" for name, _, word in UNSAID])
def test_plans_that_a_layout_cannot_say(name: str, plan: Plan, word: str) -> None:
    with pytest.raises(UserError) as caught:
        agree(plan, layout(name).writing(plan, {"longest": 18}).plan, name)
    message = str(caught.value)
    assert word in message
    assert "\n" not in message
    assert len(message) < 300


def test_what_is_added_changes_nothing() -> None:
    """Plans without biases, segments or an offset are said by layouts that have them."""
    for name, plan in (
        ("bert", encoder(bias=False, segments=0).with_heads()),
        ("roberta", encoder(segments=0, pool=False, place="pre").with_heads()),
        ("gpt2", FAMILIES["decoder"](width=24, heads=4, vocab=31, layers=1, bias=False)),
        ("marian", translator(bias=False)),
        ("marian", translator(place="pre")),
        ("bart", translator(positions="learned", embedding_norm=True)),
    ):
        written = layout(name).writing(plan, {})
        agree(plan, written.plan, name)
        assert written.plan != plan


def test_every_layout_is_tested() -> None:
    """And says what its own class is called."""
    models = {layout_of(Settings(json_of(case), "config.json"), ()) for case in CASES.values()}
    others = {"sentence_transformers", "vilbert", "mmf"}  # which have no config.json of transformers
    assert models | others == set(names())
    assert all(hasattr(layout(name), "writing") for name in names())


def json_of(case: Case) -> dict[str, Any]:
    return json.loads(getattr(transformers, case.config)(**case.options).to_json_string())
