"""What transformers cannot say of a model is refused by name, every mistake has its line, and nothing is written."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from heedful.cli import app
from heedful.errors import UserError
from heedful.model.families import decoder, encoder_decoder
from heedful.model.model import Model
from heedful.tasks.converting import convert
from heedful.tasks.finding import save_model

from . import theirs
from .test_converting_out import PLANS, SIZES, VOCAB, translator, words

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "rotary": ({"positions": "rotary"}, 'marian .*positions = "rotary"; it computes "none"'),
    "alibi": ({"positions": "alibi"}, 'marian .*positions = "alibi"; it computes "none"'),
    "gated": ({"gated": True}, r"marian has no place for source\.0\.feedforward\.gate\.weight"),
    "key heads": ({"key_heads": 2}, r"marian has no place for .*\.key_heads = 2; it computes 4"),
    "head width": ({"head_width": 8}, r"marian has no place for .*\.head_width = 8; it computes 6"),
    "rms": ({"norm": "rms"}, r'marian has no place for .*\.norm\.kind = "rms"; it computes "layer"'),
    "eps": ({"eps": 1e-3}, r"marian has no place for .*\.norm\.eps = 0\.001; it computes 1e-05"),
    "scale": ({"positions": "buckets", "place": "pre", "norm": "rms", "bias": False, "scaled": False},
              r"t5 has no place for .*\.scale = 0\.40\d+; it computes 1\.0"),
    "learned": ({"positions": "learned"}, 'marian .*positions = "learned"; it computes "sinusoidal"'),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_layout_says_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options, word = REFUSED[name]
    translator(tmp_path / "ours", encoder_decoder(vocab=VOCAB, **SIZES, **options))
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(app, ["convert", "ours", "there"])
    assert found.exit_code == 2
    (line,) = found.stderr.strip().split("\n")
    assert re.search(word, line), line
    assert len(line) < 400
    assert os.listdir(tmp_path) == ["ours"]


@pytest.mark.parametrize(
    ("options", "word"),
    [({"window": 8}, r"gpt2 has no place for .*window = 8"), ({"positions": "rotary"}, 'positions = "rotary"'),
     ({"gated": True}, "gate"), ({"norm": "rms"}, '"rms"'), ({"place": "post"}, '"post"')],
)  # fmt: skip
def test_decoders_too(options: dict[str, Any], word: str, tmp_path: Path) -> None:
    own = words("bpe", prose=True)
    model = Model(decoder(vocab=own.vocab_size, **SIZES, **options), 1)
    save_model(tmp_path / "ours", model, "write", own, {"context": 8})
    with pytest.raises(UserError, match=word) as caught:
        convert(tmp_path / "ours", tmp_path / "there")
    assert "\n" not in str(caught.value)


def test_ends_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line each, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    translator(Path("ours"), PLANS["post-norm"][1])
    theirs.gpt2(Path("gpt2"))
    Path("file").write_text("x")
    Path("locked").mkdir()
    before = sorted(os.listdir())
    asked = [
        (["ours", "file"], "file: is there already; name a new one"),
        (["none", "out"], "none: no such folder; a model is a folder with config.json and its weights"),
        (["file", "out"], "file: no such folder"), (["locked", "out"], "no config"),
        (["ours", "file/out"], "file/out: cannot be written: Not a directory"),
        (["gpt2", "file/out"], "file/out: cannot be written: Not a directory"),
        (["ours", "out", "--to", "nonsense"], "--to nonsense: no layout is called so; "),
        (["ours", "out", "--to", "bret"], "--to bret: no layout is called so; did you mean 'bert'?"),
        (["ours", "out", "--to", "heedful"], "ours: is a model of heedful already"),
        (["ours", "out", "--to", "gpt2"], "gpt2"), (["ours", "out", "--to", "vit"], "vit"),
        (["ours", "out", "--languages", "en"], "--languages en: two codes with a comma between: en,de"),
        (["ours", "out", "--languages", "en,de"], "--languages says nothing of this; leave it out"),
        (["gpt2", "out", "--to", "marian"], "the layout marian asks for a stream 'source'"),
        (["gpt2\0", "out"], "null byte"), (["ours", "out\0"], "null byte"), (["ours", "x" * 300], "File name too long"),
        (["ours", ""], ": is there already"),
    ]  # fmt: skip
    for words_, message in asked:
        found = CliRunner().invoke(app, ["convert", *words_])
        assert found.exit_code == 2, (words_, found.exception)
        assert found.stderr.count("\n") == 1
        assert message in found.stderr, words_
    assert sorted(os.listdir()) == before


def test_there_and_back_through_another_layout(tmp_path: Path) -> None:
    """In one step, and with the weights it had."""
    theirs.bert(tmp_path / "bert")
    lines = convert(tmp_path / "bert", tmp_path / "there", "roberta")
    assert [line.split(": ")[1].split(",")[0] for line in lines] == ["bert", "roberta"]
    assert json.loads((tmp_path / "there" / "config.json").read_text())["architectures"] == ["RobertaForMaskedLM"]
    assert sorted(os.listdir(tmp_path)) == ["bert", "there"]
