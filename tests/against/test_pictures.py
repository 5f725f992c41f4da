"""ViT, CLIP and LXMERT of `transformers`, with random weights read from the files they write: theirs is ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from laws.closeness import assert_close
from torch import Tensor

from heedful.model.embeddings import PatchInput, RegionInput, TokenInput
from heedful.model.heads import Labels
from heedful.model.layout import Layout

from .checkpoints import (
    IGNORED,
    KERNELS,
    LENGTHS,
    LOUD,
    PICTURES,
    VOCAB,
    after_each_step,
    compare_gradients,
    imported,
    mean,
    sentences,
)

SIDE, EDGE = 12, 4
SLOTS = 1 + (SIDE // EDGE) ** 2


def pictures(rows: int, channels: int = 3) -> tuple[Tensor, PatchInput]:
    """Pixels for them; their patches for us, row by row, after one that is never read."""
    pixels = torch.randn(rows, channels, SIDE, SIDE)
    cut = pixels.unfold(2, EDGE, EDGE).unfold(3, EDGE, EDGE).permute(0, 2, 3, 1, 4, 5)
    patches = cut.reshape(rows, SLOTS - 1, channels * EDGE**2)
    whole = torch.cat([torch.randn(rows, 1, patches.shape[2]), patches], 1).flatten(0, 1)
    return pixels, PatchInput(whole, torch.rand(len(whole), 5), Layout.even(rows, SLOTS))


def flat(states: Tensor) -> Tensor:
    return states.flatten(0, 1)


@KERNELS
def test_vit_states_and_pool(which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heedful.model.kernels.choose", lambda *_: which)
    theirs = PICTURES["vit"].made()
    model, _ = imported(theirs, tmp_path)
    pixels, patches = pictures(3, channels=2)
    result = theirs(pixels, output_hidden_states=True)

    layers = after_each_step(model, {"picture": patches})
    for ours, states in zip(layers[:-1], result.hidden_states, strict=True):
        assert_close("ViT: states", ours["picture"], flat(states))
    states, layouts = model.encode({"picture": patches})
    assert_close("ViT: last states", states["picture"], flat(result.last_hidden_state))
    assert_close("ViT: pool", model.pooled("picture", states, layouts), result.pooler_output)


@KERNELS
def test_vit_labels(which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logits, loss and gradients."""
    monkeypatch.setattr("heedful.model.kernels.choose", lambda *_: which)
    theirs = PICTURES["vit-label"].made()
    model, found = imported(theirs, tmp_path)
    pixels, patches = pictures(4, channels=2)
    wanted = torch.tensor([0, 4, 2, 2])
    result = theirs(pixels, labels=wanted)

    states, layouts = model.encode({"picture": patches})
    assert_close("ViT: logits", model.logits("label", states, layouts), result.logits)
    sums = model({"picture": patches}, {"label": Labels(wanted)})["label"]
    assert_close("ViT: loss", mean(sums), result.loss)
    (LOUD * result.loss).backward()
    (LOUD * mean(sums)).backward()
    compare_gradients("ViT", model, theirs, found)


@KERNELS
def test_clip(which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both towers' states, vectors, how alike they are, the contrastive loss and its gradients."""
    monkeypatch.setattr("heedful.model.kernels.choose", lambda *_: which)
    theirs = PICTURES["clip"].made()
    model, found = imported(theirs, tmp_path)
    ids, mask, _, layout = sentences(LENGTHS, 3)
    ids[torch.arange(len(LENGTHS)), torch.tensor(LENGTHS) - 1] = VOCAB - 1  # a text's vector is that of its end
    pixels, patches = pictures(len(LENGTHS))
    given = {"input_ids": ids, "attention_mask": mask.long(), "pixel_values": pixels}
    result = theirs(**given, return_loss=True)

    inputs = {"text": TokenInput(ids[mask], layout), "picture": patches}
    layers = after_each_step(model, inputs)
    assert_close("CLIP: text", layers[-1]["text"], result.text_model_output.last_hidden_state[mask])
    seen = result.vision_model_output.last_hidden_state  # they normalise what is pooled alone
    assert_close("CLIP: picture", layers[-2]["picture"], flat(seen))
    states, layouts = model.encode(inputs)
    text, picture = (
        torch.nn.functional.normalize(model.pooled(stream, states, layouts), dim=-1) for stream in ("text", "picture")
    )
    assert_close("CLIP: text vectors", text, result.text_embeds)
    assert_close("CLIP: picture vectors", picture, result.image_embeds)
    sharpness = model.plan.heads[0].sharpness
    assert_close("CLIP: likeness", sharpness * text @ picture.T, result.logits_per_text)
    both = torch.cat([model.pooled(stream, states, layouts) for stream in ("text", "picture")])
    assert_close("CLIP: head", model.logits("likeness", states, layouts), both)

    sums = model(inputs, {"likeness": Labels(torch.arange(len(LENGTHS)))})["likeness"]
    assert_close("CLIP: loss", mean(sums), result.loss)
    result.loss.backward()
    mean(sums).backward()  # loud as it is: cosines are multiplied
    compare_gradients("CLIP", model, theirs, found)


REGIONS = [3, 5, 2, 4]
UNLEARNED = ("text.embedding.positions.weight", "text.embedding.segments.weight")


def looked_at() -> tuple[dict[str, Tensor], dict[str, Any], Tensor, Tensor]:
    """Texts and regions: for theirs, for ours, and which slots are real of either."""
    ids, mask, _, layout = sentences(LENGTHS, 4)
    seen = torch.tensor([[i < n for i in range(max(REGIONS))] for n in REGIONS])
    features, boxes = torch.randn(*seen.shape, 11), torch.rand(*seen.shape, 4)
    segments = torch.randint(0, 2, ids.shape)
    theirs = {
        "input_ids": ids, "attention_mask": mask.long(), "token_type_ids": segments, "visual_feats": features,
        "visual_pos": boxes, "visual_attention_mask": seen.long(),
    }  # fmt: skip
    regions = RegionInput(features[seen], boxes[seen], Layout.packed(np.array(REGIONS)))
    return theirs, {"text": TokenInput(ids[mask], layout, segments[mask]), "picture": regions}, mask, seen


@KERNELS
def test_lxmert_streams(which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every layer's states of both streams, and the pool."""
    monkeypatch.setattr("heedful.model.kernels.choose", lambda *_: which)
    theirs = PICTURES["lxmert-trunk"].made()
    model, _ = imported(theirs, tmp_path)
    given, inputs, mask, seen = looked_at()
    result = theirs(**given, output_hidden_states=True)

    layers = after_each_step(model, inputs)
    alone, crossed = [1, 2, 3], [5, 6]  # text, then one layer of pictures, then both
    for stream, hidden, real, steps in (
        ("text", result.language_hidden_states, mask, [*alone, *crossed]),
        ("picture", result.vision_hidden_states, seen, [4, *crossed]),
    ):
        assert len(hidden) == len(steps), "each of their layers is compared"
        for step, states in zip(steps, hidden, strict=True):
            assert_close("LXMERT: states", layers[step][stream], states[real])
    assert_close("LXMERT: text", layers[-1]["text"], result.language_output[mask])
    assert_close("LXMERT: picture", layers[-1]["picture"], result.vision_output[seen])
    states, layouts = model.encode(inputs)
    assert_close("LXMERT: pool", model.pooled("text", states, layouts), result.pooled_output)


@KERNELS
@pytest.mark.parametrize("name", ["lxmert", "lxmert-objects"])
def test_lxmert_pretraining(name: str, which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The logits of all heads, the sum of their losses as theirs weighs them, and its gradients."""
    monkeypatch.setattr("heedful.model.kernels.choose", lambda *_: which)
    theirs = PICTURES[name].made()
    model, found = imported(theirs, tmp_path)
    given, inputs, mask, seen = looked_at()
    states, layouts = model.encode(inputs)
    logits = {head.name: model.logits(head.name, states, layouts) for head in model.plan.heads}

    result = theirs(**given)
    assert_close("LXMERT: words", logits["masked_token"], result.prediction_logits[mask])
    assert_close("LXMERT: pairs", logits["alignment"], result.cross_relationship_score)
    said = theirs.obj_predict_head(theirs.lxmert(**given).vision_output)
    names = {"obj": "region_object", "attr": "region_attribute", "feat": "region_feature"}
    assert {names[key] for key in said} | {"masked_token", "alignment", "label"} >= logits.keys()
    for key, scores in said.items():
        assert_close("LXMERT: regions", logits[names[key]], scores[seen])

    words, pairs = torch.where(mask, torch.randint(0, VOCAB, mask.shape), IGNORED), torch.tensor([0, 1, 1, 0])
    scored = seen & (torch.rand(seen.shape) < 0.6)
    rows = scored[seen].nonzero().view(-1)
    wanted = {key: torch.randint(0, said[key].shape[-1], seen.shape) for key in said}
    # Their loss of vectors is squared only where it is below 1.
    wanted["feat"] = said["feat"].detach() + 0.9 * (2 * torch.rand(said["feat"].shape) - 1)
    labels = {"masked_token": Labels(words[mask]), "alignment": Labels(pairs)}
    labels |= {names[key]: Labels(wanted[key][scored], rows) for key in said}
    more = {"labels": words, "matched_label": pairs, "obj_labels": {key: (wanted[key], scored.float()) for key in said}}
    if "label" in logits:
        answers = torch.tensor([6, 0, 3, 3])
        assert_close("LXMERT: answers", logits["label"], result.question_answering_score)
        labels["label"], more["ans"] = Labels(answers), answers
    sums = model(inputs, labels)
    assert sums.keys() == logits.keys()
    shares = {names[key]: theirs.visual_loss_normalizer / seen.numel() for key in said}
    shares["region_feature"] /= said["feat"].shape[-1]
    loss = sum((part.loss * shares.get(head, 1 / part.count) for head, part in sums.items()), torch.zeros(()))
    reference = theirs(**given, **more).loss
    assert_close("LXMERT: loss", loss, reference)
    (LOUD * reference).backward()
    (LOUD * loss).backward()
    compare_gradients("LXMERT", model, theirs, found, unlearned=UNLEARNED)


@KERNELS
def test_lxmert_answers(which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heedful.model.kernels.choose", lambda *_: which)
    theirs = PICTURES["lxmert-answer"].made()
    model, found = imported(theirs, tmp_path)
    given, inputs, _, _ = looked_at()
    answers = torch.tensor([6, 0, 3, 3])
    result = theirs(**given, labels=answers)
    states, layouts = model.encode(inputs)
    assert_close("LXMERT: answers", model.logits("label", states, layouts), result.question_answering_score)
    sums = model(inputs, {"label": Labels(answers)})["label"]
    assert_close("LXMERT: loss", mean(sums), result.loss)
    (LOUD * result.loss).backward()
    (LOUD * mean(sums)).backward()
    compare_gradients("LXMERT", model, theirs, found, unlearned=UNLEARNED)
