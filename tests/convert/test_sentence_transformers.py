"""Folders of sentence-transformers, of today and of before: a text's vector, there and back."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from against.checkpoints import BERT, CASES, LENGTHS, loaded, sentences
from laws.closeness import assert_close, assert_same_bits
from safetensors.torch import load_file, save_file

from heedful.convert.exporting import convert_out
from heedful.convert.importing import convert_in, opened
from heedful.convert.layout import layout
from heedful.errors import UserError
from heedful.model.embeddings import TokenInput

WIDTH, OUT = BERT["hidden_size"], 7
TANH, IDENTITY = "torch.nn.modules.activation.Tanh", "torch.nn.modules.linear.Identity"
POOLINGS = {
    "mean": {"word_embedding_dimension": WIDTH, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True},
    "cls": {"embedding_dimension": WIDTH, "pooling_mode": "cls", "include_prompt": True},
}  # fmt: skip
DENSE: dict[str, dict[str, Any] | None] = {
    "bare": None, "tanh": {"in_features": WIDTH, "out_features": OUT, "bias": True, "activation_function": TANH},
    "matrix": {"in_features": WIDTH, "out_features": OUT, "bias": False, "activation_function": IDENTITY},
}  # fmt: skip


def folder(path: Path, pooling: str, dense: str, encoder: str = "bert-trunk", **more: dict[str, Any]) -> Path:
    """A folder as theirs; `more` are other files by name, of which "." stands for "__"."""
    CASES[encoder].made().save_pretrained(path)
    kinds = ["Transformer", "Pooling", *(["Dense"] if DENSE[dense] else []), "Normalize"]
    modules = [
        {"idx": number, "name": str(number), "path": f"{number}_{kind}" if number else "",
         "type": f"sentence_transformers.models.{kind}"} for number, kind in enumerate(kinds)
    ]  # fmt: skip
    files: dict[str, Any] = {
        "modules.json": modules, "sentence_bert_config.json": {"max_seq_length": 16, "do_lower_case": False},
        "1_Pooling/config.json": POOLINGS[pooling],
    }  # fmt: skip
    if DENSE[dense]:
        files["2_Dense/config.json"] = DENSE[dense]
        (path / "2_Dense").mkdir()
        tensors = {"linear.weight": torch.randn(OUT, WIDTH), "linear.bias": torch.randn(OUT)}
        if dense == "matrix":
            del tensors["linear.bias"]
        save_file(tensors, path / "2_Dense" / "model.safetensors")
    for name, tree in {**files, **more}.items():
        place = path / name.replace("__", ".")
        place.parent.mkdir(exist_ok=True)
        place.write_text(json.dumps(tree))
    return path


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("dense", DENSE)
def test_vectors(pooling: str, dense: str, tmp_path: Path) -> None:
    """The mean of all states or the first, through a layer or not."""
    path = folder(tmp_path, pooling, dense)
    found = opened(path)
    assert (found.layout, found.reading.task, found.reading.extra) == (
        "sentence_transformers", "embed", {"longest": 16, "normalize": True}
    )  # fmt: skip
    model = loaded(found)
    ids, mask, flat, rows = sentences(LENGTHS, 0)
    with torch.no_grad():
        states = CASES["bert-trunk"].made()(ids, attention_mask=mask.long()).last_hidden_state
        wanted = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True) if pooling == "mean" else states[:, 0]
        if dense != "bare":
            layer = load_file(path / "2_Dense" / "model.safetensors")
            wanted = torch.nn.functional.linear(wanted, layer["linear.weight"], layer.get("linear.bias"))
            wanted = wanted.tanh() if dense == "tanh" else wanted
        got = model.logits("embedding", *model.encode({"text": TokenInput(flat, rows)}))
    assert_close("sentence-transformers: vectors", got, wanted)


@pytest.mark.parametrize("encoder", ["bert-trunk", "roberta-trunk", "distilbert-trunk"])
@pytest.mark.parametrize("dense", DENSE)
def test_there_and_back(encoder: str, dense: str, tmp_path: Path) -> None:
    """The same bits in the same files, which we read as the same."""
    theirs = folder(tmp_path / "theirs", "mean", dense, encoder)
    convert_in(theirs, tmp_path / "ours")
    convert_out(tmp_path / "ours", tmp_path / "back", {})
    for part in ("", *(["2_Dense"] if DENSE[dense] else [])):
        assert_same_bits(*(load_file(at / part / "model.safetensors") for at in (tmp_path / "back", theirs)))
    again, before = opened(tmp_path / "back"), opened(theirs)
    assert again.reading.plan == before.reading.plan
    assert again.reading.extra == before.reading.extra
    assert json.loads((tmp_path / "back" / "config.json").read_text())["model_type"] == before.config.tree["model_type"]
    names = lambda at: [one["path"] for one in json.loads((at / "modules.json").read_text())]
    assert names(tmp_path / "back") == names(theirs)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"1_Pooling/config.json": {"pooling_mode": "max"}}, "pooling_mode_max"),
    ({"1_Pooling/config.json": {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}}, "one of them"),
    ({"1_Pooling/config.json": {"pooling_mode_mean_tokens": True, "include_prompt": False}}, "'include_prompt'"),
    ({"2_Dense/config.json": {"in_features": WIDTH, "out_features": OUT, "activation_function": "a.SiLU"}}, "'SiLU'"),
    ({"2_Dense/config.json": {"in_features": WIDTH, "out_features": OUT + 1, "activation_function": TANH}}, "shape"),
    ({"config_sentence_transformers.json": {"prompts": {"query": "q: "}, "default_prompt_name": "query"}}, "'q: '"),
    ({"modules.json": [{"path": "", "type": "a.Transformer"}, {"path": "1_Pooling", "type": "a.LSTM"}]}, "LSTM"),
    ({"modules.json": [{"path": "../..", "type": "a.Transformer"}]}, "'../..'"),
    ({"modules.json": {"path": ""}}, "not a list of modules"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "word"), REFUSED, ids=[word for _, word in REFUSED])
def test_what_we_lack(files: dict[str, Any], word: str, tmp_path: Path) -> None:
    path = folder(tmp_path / "theirs", "mean", "tanh", **files)
    with pytest.raises(UserError) as caught:
        convert_in(path, tmp_path / "ours")
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ours").exists()


def test_prompts_are_told(tmp_path: Path) -> None:
    prompts = {"prompts": {"query": "query: ", "document": ""}, "default_prompt_name": None}
    path = folder(tmp_path, "mean", "bare", **{"config_sentence_transformers.json": prompts})
    assert opened(path).reading.notes == ("texts may begin with: 'query: '",)


@pytest.mark.parametrize("dense", DENSE)
def test_against_the_library(dense: str, tmp_path: Path) -> None:
    """Its vectors of texts are ours, and it opens what we write."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pytest.importorskip("sentence_transformers")
        logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
        path = folder(tmp_path / "theirs", "mean", dense)
        letters = [chr(97 + i) for i in range(25)]
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{one}" for one in letters)]
        (path / "vocab.txt").write_text("\n".join([*words, *map(str, range(BERT["vocab_size"] - len(words)))]) + "\n")
        (path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
        texts = ["abc d", "cab", "d"]
        wanted = theirs.SentenceTransformer(str(path), device="cpu").encode(texts, convert_to_tensor=True)
        found = opened(path)
        (tokenizer,) = layout(found.layout).tokenizers(path, found.config).values()
        convert_in(path, tmp_path / "ours")
        convert_out(tmp_path / "ours", tmp_path / "back", {"": tokenizer})
        again = theirs.SentenceTransformer(str(tmp_path / "back"), device="cpu").encode(texts, convert_to_tensor=True)
    assert torch.equal(again, wanted)
    from heedful.tasks.embed.embedder import load

    vectors = torch.from_numpy(load(tmp_path / "ours").embed(texts))
    assert_close("sentence-transformers: texts", vectors, wanted)
