"""A package holds what Argos Translate needs, and what it does with it gives heedful's own translations."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from heedful.config import Decoding
from heedful.convert import argos
from heedful.convert.ctranslate2 import vocabularies
from heedful.errors import UserError
from heedful.model.model import Model
from heedful.tasks.translate.answers import Answer
from heedful.tasks.translate.translator import Translator
from heedful.text.foreign import Foreign, Roles, Way
from heedful.text.pipeline import BYTES
from heedful.text.tokenizer import Tokenizer

from .random_models import LINES, model_of, plan, save, tokenizer_of

ctranslate2 = pytest.importorskip("ctranslate2", reason="CTranslate2 is in every package; it is an extra")
sentencepiece = pytest.importorskip("sentencepiece", reason="SentencePiece is in every package; it is an extra")

NAME = "translate-en_de-1_0"
SENTENCES = [" ".join([*line.split()[number:], *line.split()[:number]]) for line in LINES for number in range(5)]
LONGEST = 15

WITH_ARGOS = """
import sys
import argostranslate.package, argostranslate.sbd, argostranslate.translate
argostranslate.package.install_from_path(sys.argv[1])
argostranslate.sbd.MiniSBDSentencizer.split_sentences = lambda self, text: [text]  # which would fetch a model
for line in sys.stdin.buffer.read().decode().split("\\n"):
    answer = argostranslate.translate.translate(line, "en", "de")
    sys.stdout.buffer.write((answer + "\\n").encode())
"""


def as_argos_does(package: Path) -> list[str]:
    """What argostranslate 1.11 does to sentences (`apply_packaged_translation`, `SentencePieceTokenizer`), but for the
    length penalty, and the shortest and longest length of a translation."""
    with zipfile.ZipFile(package) as packed:
        packed.extractall(package.parent / "installed")
    folder = package.parent / "installed" / NAME
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "sentencepiece.model"))
    translator = ctranslate2.Translator(str(folder / "model"), inter_threads=1, intra_threads=1)
    found = translator.translate_batch(
        processor.encode(SENTENCES, out_type=str), replace_unknowns=True, max_batch_size=32, batch_type="tokens",
        beam_size=4, num_hypotheses=1, length_penalty=0, return_scores=True,
        min_decoding_length=0, max_decoding_length=LONGEST,
    )  # fmt: skip
    texts = [processor.decode_pieces(one.hypotheses[0]) for one in found]
    return [text.replace("▁", " ").replace("_", " ").removeprefix(" ") for text in texts]


def answers(model: Model, source: Tokenizer, target: Tokenizer, tag: str | None = None, **given: Any) -> list[Answer]:
    translator = Translator(model, {"source": source, "target": target}, [tag] if tag else [], Decoding())
    options = translator.options(
        **{"beam": 4, "length_penalty": "hf", "alpha": 0.0, "max_ratio": 0.0, "max_extra": LONGEST, **given}
    )
    return translator.answer(SENTENCES, tag, options, protect=False, split="never")


def same(theirs: list[str], own: list[Answer]) -> None:
    assert theirs == [one.text.replace("_", " ") for one in own]
    assert len(set(theirs)) > len(own) // 4, "the example says the same of everything"


@pytest.fixture
def tokenizer() -> Tokenizer:
    return tokenizer_of()


def model_for(source: Tokenizer, target: Tokenizer, ending: float = 0.3) -> Model:
    """A model that says neither bytes, which would spell nothing, nor <unk>: as one that has learnt something."""
    sizes = {"vocab": source.vocab_size, "target_vocab": target.vocab_size}
    model = model_of(plan("encoder-decoder", place="pre", decoder_layers=1, **sizes), ending)
    unsaid = [target.unknown, *(target.ids[byte] for byte in BYTES if byte in target.ids)]
    with torch.no_grad():
        model.heads["next_token"].output.weight[unsaid] = 0
    return model


# ---- what is in it --------------------------------------------------------------------------------------------------


def test_what_is_in_a_package(tokenizer: Tokenizer, tmp_path: Path) -> None:
    folder = save(tmp_path / "model", model_for(tokenizer, tokenizer), tokenizer)
    (folder / "README.md").write_text("# A card\n", "utf-8")
    package = tmp_path / "a.argosmodel"
    said = argos.write(folder, package, "en", "de")
    assert said[0].startswith(f"{package}: ")
    with zipfile.ZipFile(package) as packed:
        assert packed.testzip() is None
        names = ["README.md", "metadata.json", "sentencepiece.model"]
        names += [f"model/{name}" for name in ("config.json", "model.bin", "shared_vocabulary.json")]
        assert sorted(packed.namelist()) == sorted(f"{NAME}/{name}" for name in names)
        assert packed.read(f"{NAME}/README.md") == b"# A card\n"
        metadata = json.loads(packed.read(f"{NAME}/metadata.json"))
        words = json.loads(packed.read(f"{NAME}/model/shared_vocabulary.json"))
        processor = sentencepiece.SentencePieceProcessor(model_proto=packed.read(f"{NAME}/sentencepiece.model"))
    assert metadata == {
        "package_version": "1.0", "argos_version": "1.11", "type": "translate", "from_code": "en",
        "from_name": "English", "to_code": "de", "to_name": "German",
    }  # fmt: skip
    assert [processor.id_to_piece(token) for token in range(processor.get_piece_size())] == words
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.argosmodel", "model"]


def test_the_same_again_and_smaller(tokenizer: Tokenizer, tmp_path: Path) -> None:
    folder = save(tmp_path / "model", model_for(tokenizer, tokenizer), tokenizer)
    packages = [tmp_path / f"{name}.argosmodel" for name in "abc"]
    for package, quantization in zip(packages, (None, None, "int8"), strict=True):
        argos.write(folder, package, "en", "xx", quantization)  # type: ignore[arg-type]
    first, second, small = (package.read_bytes() for package in packages)
    assert first == second
    assert len(small) < 0.8 * len(first)
    with zipfile.ZipFile(packages[0]) as packed:
        assert b"A translator trained with heedful." in packed.read("translate-en_xx-1_0/README.md")
        assert json.loads(packed.read("translate-en_xx-1_0/metadata.json"))["to_name"] == "xx"


# ---- what is done with it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bpe", "unigram", "characters"])
def test_its_translations_are_ours(kind: str, tmp_path: Path) -> None:
    tokenizer = tokenizer_of(kind)
    model = model_for(tokenizer, tokenizer)
    argos.write(save(tmp_path / "model", model, tokenizer), tmp_path / "a.argosmodel", "en", "de")
    same(as_argos_does(tmp_path / "a.argosmodel"), answers(model, tokenizer, tokenizer))


def test_each_side_has_its_own_words(tmp_path: Path) -> None:
    """The one SentencePiece model knows the source's; what it does not know it leaves as it is written."""
    source, target = tokenizer_of(size=400), tokenizer_of("unigram", size=360)
    words = vocabularies({"source": source, "target": target})
    assert set(words["target"]) - set(words["source"]), "the example has such pieces"
    model = model_for(source, target)
    argos.write(save(tmp_path / "model", model, source, target), tmp_path / "a.argosmodel", "en", "de")
    same(as_argos_does(tmp_path / "a.argosmodel"), answers(model, source, target))


def test_one_language_of_several(tmp_path: Path) -> None:
    tokenizer = tokenizer_of(tags=["<2de>", "<2fr>"])
    model = model_for(tokenizer, tokenizer)
    save(tmp_path / "model", model, tokenizer, tags=["<2de>", "<2fr>"])
    with pytest.raises(UserError, match=r"a package one; choose a tag: <2de>, <2fr>"):
        argos.write(tmp_path / "model", tmp_path / "a.argosmodel", "en", "de")
    argos.write(tmp_path / "model", tmp_path / "a.argosmodel", "en", "de", tag="<2de>")
    theirs = as_argos_does(tmp_path / "a.argosmodel")
    same(theirs, answers(model, tokenizer, tokenizer, "<2de>"))
    assert theirs != [one.text for one in answers(model, tokenizer, tokenizer, "<2fr>")]


def test_a_sentencepiece_model_that_was_taken_over(tmp_path: Path) -> None:
    """It goes into the package as it is."""
    content = sentencepiece_model()
    roles = Roles(start=0, end=2, pad=0, unknown=3, mask=None, between=1, opens=True, tags={}, size=100)
    tokenizer = Foreign({"spm.model": content}, Way(reader="sentencepiece", model="spm.model"), roles)
    model = model_for(tokenizer, tokenizer)
    argos.write(save(tmp_path / "model", model, tokenizer), tmp_path / "a.argosmodel", "en", "de")
    with zipfile.ZipFile(tmp_path / "a.argosmodel") as packed:
        assert packed.read(f"{NAME}/sentencepiece.model") == content
        assert json.loads(packed.read(f"{NAME}/model/config.json"))["decoder_start_token"] == "<pad>"


def sentencepiece_model() -> bytes:
    """Of 100 pieces, with padding, start, end and unknown at 0, 1, 2 and 3."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES * 3), model_writer=written, vocab_size=100, pad_id=0, bos_id=1, eos_id=2,
        unk_id=3, minloglevel=2,
    )  # fmt: skip
    return written.getvalue()


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("argostranslate") is None, reason="argostranslate is not installed")
def test_argostranslate_installs_it_and_says_what_we_say(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = model_for(tokenizer, tokenizer, ending=0.6)
    argos.write(save(tmp_path / "model", model, tokenizer), tmp_path / "a.argosmodel", "en", "de")
    homes = {name: str(tmp_path / name) for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")}
    done = subprocess.run(
        [sys.executable, "-c", WITH_ARGOS, str(tmp_path / "a.argosmodel")],
        input="\n".join(SENTENCES).encode(), capture_output=True, check=True,
        env={**os.environ, **homes, "ARGOS_COMPUTE_TYPE": "float32"},
    )  # fmt: skip
    theirs = done.stdout.decode().split("\n")[:-1]
    own = answers(model, tokenizer, tokenizer, length_penalty="average", alpha=0.2, max_extra=256)
    pairs = list(zip(theirs, own, strict=True))
    # It bans empty translations, and cuts those of 256 tokens, which we end.
    ended = [(text, one) for text, one in pairs if one.text and len(one.pieces[0].hypothesis.ids) < 255]
    same([text for text, _ in ended], [one for _, one in ended])
    assert len(ended) > len(SENTENCES) // 2


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "source", "target", "what"),
    [
        ("a.argosmodel", "../en", "de", "no code of a language"),
        ("a.argosmodel", "en", "", "no code of a language"),
        ("a.argosmodel", "en", "en", "source and target must differ"),
        ("a.zip", "en", "de", "files that end in .argosmodel"),
        ("there.argosmodel", "en", "de", "is there already"),
    ],
)
def test_names_that_cannot_be(name: str, source: str, target: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "there.argosmodel").touch()
    with pytest.raises(UserError, match=what):
        argos.write(tmp_path / "model", tmp_path / name, source, target)
    assert [path.name for path in tmp_path.iterdir()] == ["there.argosmodel"]


def test_text_in_front_of_every_source(tokenizer: Tokenizer, tmp_path: Path) -> None:
    save(tmp_path / "model", model_for(tokenizer, tokenizer), tokenizer, prefix="summarise:")
    with pytest.raises(UserError, match="reads 'summarise:' before every source"):
        argos.write(tmp_path / "model", tmp_path / "a.argosmodel", "en", "de")


@pytest.mark.parametrize("kinds", [("bytes", "bytes"), ("bpe", "bytes")])
def test_bytes_cannot_be_told(kinds: tuple[str, str], tmp_path: Path) -> None:
    source, target = (tokenizer_of(kind, size=300) for kind in kinds)
    save(tmp_path / "model", model_for(source, target), source, target)
    with pytest.raises(UserError, match="of kind 'bytes' cannot be told as a SentencePiece model"):
        argos.write(tmp_path / "model", tmp_path / "a.argosmodel", "en", "de")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_model_that_does_not_translate(tokenizer: Tokenizer, tmp_path: Path) -> None:
    save(tmp_path / "model", Model(plan("decoder", tokenizer.vocab_size)), tokenizer)
    with pytest.raises(UserError, match="no translator"):
        argos.write(tmp_path / "model", tmp_path / "a.argosmodel", "en", "de")
