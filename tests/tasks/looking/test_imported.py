"""Models of other libraries are looked into like our own, and see what those see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import heedful

from .. import theirs
from . import tiny


def attentions(made: theirs.Theirs, text: str, **options: Any) -> Any:
    model = type(made.model).from_pretrained(made.folder, attn_implementation="eager").eval()
    given = made.tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        return given["input_ids"][0].tolist(), model(**given, **options, output_attentions=True)


def test_berts_masked_words(tmp_path: Path) -> None:
    made = theirs.bert(tmp_path / "bert")
    text = "the quick [MASK] fox ."
    record = heedful.look(theirs.converted(made.folder), text, what_if=True).record
    ids, found = attentions(made, text)
    line = record.lines["text"]
    assert len(line) == len(ids)
    assert "[MASK]" in line.words
    assert [line.words[0], line.words[-1]] == ["[CLS]", "[SEP]"]
    for layer, weights in zip(record.kind("text.text").layers, found.attentions, strict=True):
        assert np.allclose(layer.weights, weights[0].numpy(), atol=1e-5)
    assert record.what_if


def test_gpt2s_next_words(tmp_path: Path) -> None:
    made = theirs.gpt2(tmp_path / "gpt2")
    folder = theirs.converted(made.folder)
    text = "hello world, the"
    record = heedful.look(folder, text, length=6, what_if=False).record
    assert record.answer == heedful.load(folder).write(text, length=6, temperature=0.0)
    ids, found = attentions(made, text)
    for layer, weights in zip(record.kind("text.text").layers, found.attentions, strict=True):
        assert np.allclose(layer.weights[:, : len(ids), : len(ids)], weights[0].numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("maker", "tag"), [(theirs.marian, None), (theirs.nllb, "eng_Latn-deu_Latn"), (theirs.t5, None)]
)
def test_translators_with_framing(maker: Callable[..., theirs.Theirs], tag: str | None, tmp_path: Path) -> None:
    made = maker(tmp_path / "theirs")
    loaded = heedful.load(theirs.converted(made.folder))
    text = "The quick brown fox jumps"
    record = heedful.look(loaded, text, tag=tag, what_if=True).record
    (found,) = loaded.answer([text], tag, split="never")
    assert record.answer == found.text
    assert [one.logprob for one in record.said] == [token.logprob for token in found.tokens]
    assert record.lines["source"].control[-1]
    ids = found.pieces[0].source
    start = loaded.frame(tag).decoding(loaded.options()).start
    said = [*found.pieces[0].hypothesis.ids]
    model = type(made.model).from_pretrained(made.folder, attn_implementation="eager").eval()
    read = [start, *said][: min(len(record.lines["target"]), theirs.PLACES)]
    with torch.no_grad():
        theirs_found = model(
            input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([read]), output_attentions=True
        )
    for layer, weights in zip(record.kind("target.source").layers, theirs_found.cross_attentions, strict=True):
        assert np.allclose(layer.weights[:, : len(read)], weights[0].numpy(), atol=1e-5)


def test_clip_looks_at_text_and_picture_apart(tmp_path: Path) -> None:
    loaded = heedful.load(theirs.converted(theirs.clip(tmp_path / "clip").folder))
    picture = tiny.picture(tmp_path)
    record = heedful.look(loaded, "a red fox", picture=picture, what_if=True).record
    assert [kind.name for kind in record.kinds] == ["text.text", "picture.picture"]
    (found,) = loaded.match(loaded.captions(["a red fox"]), loaded.pictures([str(picture)]))[0]
    assert record.answers[0].guesses[0].probability == pytest.approx(found.score, abs=1e-6)
    assert {run.where[0] for run in record.what_if if run.what == "word"} == {"text", "picture"}
    shown = {view.kind for view in record.views if view.name == "occlusion"}
    assert shown == {"text.text", "picture.picture"}


def test_lxmert_is_asked_about_regions(tmp_path: Path) -> None:
    made = theirs.lxmert(tmp_path / "lxmert")
    folder = theirs.converted(made.folder)
    features = theirs.features(tmp_path / "f.safetensors", ["a.png"], heedful.load(folder).sight.features)
    record = heedful.look(folder, "what is it ?", picture="a.png", features=features, what_if=True).record
    assert record.answer == heedful.load(folder).ask_many([("a.png", "what is it ?")], 5, features)[0].answer
    line = record.lines["picture"]
    assert line.words[0] == "region 1"
    assert {"text.picture", "picture.text"} <= {kind.name for kind in record.kinds}
