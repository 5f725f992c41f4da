"""Settings of a checkpoint that are easy to overlook: each changes the model, is told in a line, or is refused."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from against.checkpoints import transformers
from foreign_examples import wordpiece, write
from safetensors.torch import load_file, save_file

from heedful.convert.exporting import convert_out
from heedful.convert.importing import convert_in, opened
from heedful.convert.scratch import scratch
from heedful.errors import UserError
from heedful.model.files import read_config
from heedful.model.model import load
from heedful.show import show

SIZES: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12,
    "max_position_embeddings": 24,
}  # fmt: skip
TRANSLATOR: dict[str, Any] = {
    "vocab_size": 40, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 12, "decoder_ffn_dim": 12, "max_position_embeddings": 24,
    "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
}  # fmt: skip


def bert(folder: Path, **settings: Any) -> Path:
    """A masked language model without a tokenizer."""
    config = transformers.BertConfig(vocab_size=40, **SIZES)
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    change(folder / "config.json", **settings)
    return folder


def sentences(folder: Path, normalize: bool = True, lowers: bool = False, cased: bool = True) -> Path:
    """A folder of sentence-transformers."""
    words = wordpiece(lowercase=not cased)
    write(folder, vocab__txt=words, tokenizer_config__json={"do_lower_case": not cased})
    vocab = len(words.rstrip("\n").split("\n"))
    transformers.BertModel(transformers.BertConfig(vocab_size=vocab, **SIZES)).save_pretrained(folder)
    kinds = ["Transformer", "Pooling", *(["Normalize"] if normalize else [])]
    modules = [{"path": f"{n}_{kind}" if n else "", "type": f"models.{kind}"} for n, kind in enumerate(kinds)]
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 20, "do_lower_case": lowers}))
    return folder


def change(path: Path, **settings: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


def test_lower_case_before_a_cased_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="do_lower_case"):
        convert_in(sentences(tmp_path / "cased", lowers=True), tmp_path / "out")
    convert_in(sentences(tmp_path / "lowered", lowers=True, cased=False), tmp_path / "fine")


@pytest.mark.parametrize("normalize", [True, False])
def test_vectors_that_are_not_scaled_are_told_and_go_back_so(tmp_path: Path, normalize: bool) -> None:
    lines = convert_in(sentences(tmp_path / "in", normalize), tmp_path / "ours")
    assert any("length 1" in line for line in lines) != normalize
    convert_out(tmp_path / "ours", tmp_path / "back", {})
    kinds = [one["type"].rpartition(".")[2] for one in json.loads((tmp_path / "back" / "modules.json").read_text())]
    assert kinds == ["Transformer", "Pooling", *(["Normalize"] if normalize else [])]


@pytest.mark.parametrize("pad", [0, 1, 5])
def test_positions_of_m2m100_begin_behind_the_padding(tmp_path: Path, pad: int) -> None:
    config = transformers.M2M100Config(**{**TRANSLATOR, "pad_token_id": pad})
    transformers.M2M100ForConditionalGeneration(config).save_pretrained(tmp_path / "in")
    plan = opened(tmp_path / "in").plan
    assert [stream.embedding.offset for stream in plan.streams] == [pad + 1, pad + 1]
    convert_in(tmp_path / "in", tmp_path / "ours")
    convert_out(tmp_path / "ours", tmp_path / "back", {})
    assert json.loads((tmp_path / "back" / "config.json").read_text())["pad_token_id"] == pad


def test_numbers_of_eight_bits_are_refused_by_name(tmp_path: Path) -> None:
    folder = bert(tmp_path / "in")
    tensors = load_file(folder / "model.safetensors")
    name = "bert.encoder.layer.0.output.dense.weight"
    tensors[name] = tensors[name].to(torch.float8_e4m3fn)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(UserError, match=rf"{name}.*float8_e4m3fn"):
        convert_in(folder, tmp_path / "out")


def test_the_precision_that_is_told_is_that_of_the_tensors(tmp_path: Path) -> None:
    folder = bert(tmp_path / "in")
    transformers.BertForMaskedLM.from_pretrained(folder).half().save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["dtype"] == "float16"
    convert_in(folder, tmp_path / "ours")
    convert_out(tmp_path / "ours", tmp_path / "same", {})
    model, extra = load(tmp_path / "ours")
    model.save(tmp_path / "trained", extra)  # as after training: fp32
    convert_out(tmp_path / "trained", tmp_path / "more", {})
    told = [json.loads((tmp_path / name / "config.json").read_text())["dtype"] for name in ("same", "more")]
    assert told == ["float16", "float32"]
    again = transformers.BertForMaskedLM.from_pretrained(tmp_path / "more")
    assert {parameter.dtype for parameter in again.parameters()} == {torch.float32}


def test_sources_are_as_long_as_there_are_positions(tmp_path: Path) -> None:
    transformers.BartForConditionalGeneration(transformers.BartConfig(**TRANSLATOR)).save_pretrained(tmp_path / "in")
    change(tmp_path / "in" / "generation_config.json", max_length=20)
    convert_in(tmp_path / "in", tmp_path / "ours")
    assert read_config(tmp_path / "ours")[1]["decoding"]["longest"] == 22


def test_rules_and_dropouts_without_a_place_are_told(tmp_path: Path) -> None:
    config = transformers.BartConfig(**TRANSLATOR, activation_dropout=0.25)
    transformers.BartForConditionalGeneration(config).save_pretrained(tmp_path / "in")
    change(tmp_path / "in" / "generation_config.json", suppress_tokens=[7], min_new_tokens=4, bad_words_ids=[[1]])
    told = "\n".join(convert_in(tmp_path / "in", tmp_path / "ours"))
    for part in ("suppress_tokens = [7]", "min_new_tokens = 4", "activation_dropout = 0.25"):
        assert part in told
    assert "bad_words_ids" not in told  # padding is never said here


def test_dropouts_are_those_of_their_places(tmp_path: Path) -> None:
    sizes = {"vocab_size": 40, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 24}
    config = transformers.GPT2Config(**sizes, embd_pdrop=0.4, resid_pdrop=0.3)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
    plan = opened(tmp_path / "gpt2").plan
    assert (plan.streams[0].embedding.dropout, next(plan.blocks())[2].dropout) == (0.4, 0.3)
    convert_in(tmp_path / "gpt2", tmp_path / "ours")
    convert_out(tmp_path / "ours", tmp_path / "back", {})
    told = json.loads((tmp_path / "back" / "config.json").read_text())
    assert (told["embd_pdrop"], told["resid_pdrop"]) == (0.4, 0.3)
    small = {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 12, "max_position_embeddings": 24}
    config = transformers.DistilBertConfig(vocab_size=40, **small, dropout=0.05, seq_classif_dropout=0.2)
    for kind, dropout in (("TokenClassification", 0.05), ("SequenceClassification", 0.2)):
        getattr(transformers, f"DistilBertFor{kind}")(config).save_pretrained(tmp_path / kind)
        assert opened(tmp_path / kind).plan.heads[0].dropout == dropout


def test_what_is_written_about_a_model_goes_with_it(tmp_path: Path) -> None:
    folder = bert(tmp_path / "in")
    (folder / "README.md").write_bytes(b"\xff\xfe card")
    (folder / "LICENSE").write_text("MIT")
    convert_in(folder, tmp_path / "ours")
    convert_out(tmp_path / "ours", tmp_path / "back", {})
    assert (tmp_path / "back" / "README.md").read_bytes() == b"\xff\xfe card"
    assert (tmp_path / "ours" / "LICENSE").read_text() == "MIT"


def test_two_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    """One of them is there in the end, whole, and nothing else."""
    folder, told = bert(tmp_path / "in"), list[str]()

    def run() -> None:
        try:
            convert_in(folder, tmp_path / "ours")
        except UserError as error:
            told.append(str(error))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 3
    assert all("ours" in line for line in told)
    load(tmp_path / "ours")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "ours"]


def test_a_scratch_folder_goes_whatever_happens(tmp_path: Path) -> None:
    def interrupted() -> None:
        with scratch(tmp_path / "out") as partial:
            (partial / "file").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="cannot be written"), scratch(tmp_path / "nowhere" / "out"):
        pass


def test_what_has_no_end_is_not_read(tmp_path: Path) -> None:
    for name in ("pipe", "device"):
        (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / "pipe" / "config.json")
    (tmp_path / "device" / "config.json").symlink_to("/dev/zero")
    for name in ("pipe", "device"):
        with pytest.raises(UserError, match="not a regular file"):
            convert_in(tmp_path / name, tmp_path / "out")
        with pytest.raises(UserError, match="not a regular file"):
            show(str(tmp_path / name))


def test_numbers_that_are_none_are_told(tmp_path: Path) -> None:
    folder = bert(tmp_path / "in")
    tensors = load_file(folder / "model.safetensors")
    name = "bert.encoder.layer.0.output.dense.weight"
    tensors[name][0, 0] = float("nan")
    save_file(tensors, folder / "model.safetensors")
    assert any("not finite" in line and name in line for line in convert_in(folder, tmp_path / "out"))


def test_a_tokenizer_that_is_too_large_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = sentences(tmp_path / "in")
    monkeypatch.setattr("heedful.text.foreign_files.LARGEST", 10)
    with pytest.raises(UserError, match="larger than 10 bytes"):
        convert_in(folder, tmp_path / "out")
