"""Languages of other libraries' translators are told as there; and models whose SentencePiece is numbered otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from foreign_examples import LINES, sentencepieces, write

import heedful
from heedful.convert.languages import NAMED
from heedful.errors import UserError
from heedful.text import foreign_files

from . import theirs
from .test_converting_on import trained
from .theirs import FAIRSEQ, Theirs, logits, ours, same_answers, transformers

TEXTS = ["The quick brown fox jumps.", "Playing, played and plays: the players", "Größe und Straße.", "x"]


@pytest.fixture(scope="module", autouse=True)
def in_this_process() -> Iterator[None]:
    """What tests/text does with other processes need not be done again."""
    apart, foreign_files.try_out = foreign_files.try_out, foreign_files.tried
    yield
    foreign_files.try_out = apart


def several(folder: Path) -> Theirs:
    """A Marian of two target languages."""
    made = theirs.marian(folder)
    listed = json.loads((folder / "vocab.json").read_bytes())
    del listed["<pad>"]
    names = [*listed, ">>fra<<", ">>zho_Hans<<", "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({name: number for number, name in enumerate(names)}))
    tokenizer = transformers.MarianTokenizer.from_pretrained(folder)
    ids = {"pad_token_id": len(names) - 1, "eos_token_id": 0, "bos_token_id": 0,
           "decoder_start_token_id": len(names) - 1, "forced_eos_token_id": 0}  # fmt: skip
    assert made.tokenizer.pad_token_id != tokenizer.pad_token_id
    return theirs.saved(folder, "MarianMTModel", tokenizer, **{**theirs.MARIAN, **ids, "scale_embedding": True})


def test_marian_of_several_targets(tmp_path: Path) -> None:
    made = several(tmp_path / "marian")
    translator = ours(made)
    code = translator.tokenizers["source"].tag(">>fra<<")
    for text in TEXTS:
        wanted = made.tokenizer(f">>fra<< {text}")["input_ids"]
        assert wanted[0] == code
        assert translator.encode(f">>fra<< {text}") == wanted
        assert translator.encode(text, "fra") == translator.encode(text, ">>fra<<") == wanted
        assert translator.encode(text) == made.tokenizer(text)["input_ids"]
        assert translator.encode(text, "zho_Hans")[0] == code + 1
    marked = [f">>fra<< {text}" for text in TEXTS]
    same_answers(translator, made, marked, None, {})
    assert translator.translate(TEXTS, "fra", split="never") == translator.translate(marked, split="never")
    with pytest.raises(UserError, match=r"tag 'fre' is not one of this model's target languages: did you mean 'fra'"):
        translator.translate(TEXTS, "fre")


def test_camembert_from_its_pieces(tmp_path: Path) -> None:
    write(tmp_path / "c", **{FAIRSEQ: sentencepieces()})
    tokenizer = transformers.CamembertTokenizer.from_pretrained(tmp_path / "c")
    sizes: dict[str, Any] = {**theirs.BERT, "pad_token_id": 1, "bos_token_id": 5, "eos_token_id": 6}
    made = theirs.saved(tmp_path / "c", "CamembertForMaskedLM", tokenizer, **sizes)
    filler, text = ours(made), "hello <mask> there the dog"
    assert not (made.folder / "tokenizer.json").exists()
    ids = tokenizer(text)["input_ids"]
    chances = logits(made, [text])[0, ids.index(tokenizer.mask_token_id)].softmax(-1)
    for guess in filler.fill(text, best=3).masks[0]:
        number = tokenizer.convert_tokens_to_ids(f"▁{guess.text}")
        assert guess.probability == pytest.approx(float(chances[number]), abs=1e-5)


def test_pegasus_from_its_pieces(tmp_path: Path) -> None:
    write(tmp_path / "p", spiece__model=sentencepieces(pad_id=0, eos_id=1, unk_id=2, bos_id=-1))
    tokenizer = transformers.PegasusTokenizer.from_pretrained(tmp_path / "p")
    ids = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0, "forced_eos_token_id": 1}
    made = theirs.saved(tmp_path / "p", "PegasusForConditionalGeneration", tokenizer, **theirs.MARIAN, **ids)
    with torch.no_grad():
        made.model.final_logits_bias[0, 1] = -6.0  # else it ends at once
    made.model.save_pretrained(made.folder)
    translator = ours(made)
    for text in LINES[:5]:
        assert translator.encode(text) == tokenizer(text)["input_ids"]
    same_answers(translator, made, TEXTS, None, {})


@pytest.mark.parametrize(("kind", "first"), [("MBart50Tokenizer", True), ("MBartTokenizerFast", False), ("", True)])
def test_mbart_goes_by_its_tokenizer(kind: str, first: bool, tmp_path: Path) -> None:
    """However many languages it lists (52, or 3); else by their number."""
    made = theirs.mbart50(tmp_path / "m")
    config = json.loads((made.folder / "tokenizer_config.json").read_bytes())
    config["tokenizer_class"] = kind
    if kind.startswith("MBart50"):
        few = ["de_DE", "en_XX", "fr_XX"]
        tree = json.loads((made.folder / "tokenizer.json").read_bytes())
        for token in tree["added_tokens"]:
            token["special"] = token["content"] in few or NAMED.fullmatch(token["content"]) is None
        (made.folder / "tokenizer.json").write_text(json.dumps(tree))
        config |= {"additional_special_tokens": few, "extra_special_tokens": few}
    (made.folder / "tokenizer_config.json").write_text(json.dumps(config))
    framing = ours(made).framing
    assert (framing.source, framing.begins) == (("first", False) if first else ("last", True))
    assert len(framing.codes) == (3 if kind.startswith("MBart50") else 52)


def test_nllb_of_old_names_the_source_last(tmp_path: Path) -> None:
    made = theirs.nllb(tmp_path / "nllb")
    tokenizer = transformers.NllbTokenizer.from_pretrained(
        made.folder, legacy_behaviour=True, src_lang="eng_Latn", tgt_lang="fra_Latn"
    )
    tokenizer.save_pretrained(made.folder)
    made = made._replace(tokenizer=tokenizer)
    assert json.loads((made.folder / "tokenizer_config.json").read_bytes())["legacy_behaviour"] is True
    translator, tag = ours(made), "eng_Latn-fra_Latn"
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        assert ids[-1] == tokenizer.convert_tokens_to_ids("eng_Latn")
        assert translator.encode(text, tag) == ids
    same_answers(translator, made, TEXTS, tag, {"source": "eng_Latn", "first": "fra_Latn"})


def test_training_on_with_a_target(tmp_path: Path) -> None:
    start = theirs.converted(several(tmp_path / "marian").folder)
    with pytest.raises(UserError, match="'fre' is not one"):
        trained("translate", start, tmp_path, 'data.tags=["fre"]')
    run = trained("translate", start, tmp_path, 'data.tags=["fra"]', "training.steps=2", name="french")
    again = heedful.load(run)
    assert again.encode("The dog", "fra")[0] == again.tokenizers["source"].tag(">>fra<<")
    assert again.tags == ()
