"""Models of texts in `transformers`, read from the files they write: states, logits, losses and gradients are ours.

Rows are unequal: theirs are padded and masked, ours are packed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from laws.closeness import assert_close
from torch import Tensor

from heedful.model.embeddings import TokenInput
from heedful.model.heads import Labels
from heedful.model.plan import FinalNorm

from .checkpoints import (
    DECODERS,
    ENCODERS,
    IGNORED,
    LENGTHS,
    LOUD,
    TARGET_LENGTHS,
    TRANSLATORS,
    after_each_step,
    compare_gradients,
    imported,
    mean,
    positions_of,
    sentences,
)

# Each on one side, so that both kernels see either.
SIDES = pytest.mark.parametrize(("which", "side"), [("explicit", "left"), ("fused", "right")])
WITH_SIDES = {"m2m100", "t5", "t5-1.1", "mt5"}  # others count positions from where padding begins


def some(mask: Tensor, share: float = 0.4) -> Tensor:
    """Some of the real slots, one at least."""
    chosen = mask & (torch.rand(mask.shape) < share)
    chosen[0, mask[0].nonzero()[0]] = True
    return chosen


def labels_for(head: Any, mask: Tensor) -> tuple[dict[str, Tensor], Labels]:
    """Random labels of a head: as theirs wants them, padded, and as ours does."""
    rows = len(mask)
    if head.objective == "span":
        starts = torch.arange(rows) * mask.shape[1]
        first, last = torch.randint(0, mask.shape[1], (2, rows))
        ours = Labels(torch.stack([first, last], 1) + starts[:, None])
        return {"start_positions": first, "end_positions": last}, ours
    if head.objective in ("several", "values"):
        wanted = torch.randint(0, 2, (rows, head.outputs)).float()
        return {"labels": wanted.squeeze(1) if head.outputs == 1 else wanted}, Labels(wanted)
    if head.reads != "tokens":
        wanted = torch.randint(0, head.outputs, (rows,))
        name = "next_sentence_label" if head.name == "next_sentence" else "labels"
        return {name: wanted}, Labels(wanted)
    chosen, wanted = some(mask), torch.randint(0, head.outputs, mask.shape)
    ours = Labels(wanted[chosen], chosen[mask].nonzero().view(-1))
    return {"labels": torch.where(chosen, wanted, IGNORED)}, ours


def their_loss(head: Any, sums: Any) -> Tensor:
    """Our sums as the mean that they take: of all outputs, and of squares that are not halved."""
    return mean(sums) * {"values": 2.0, "several": 1 / head.outputs}.get(head.objective, 1.0)


def logits_of(result: Any, head: str, mask: Tensor) -> Tensor:
    if head == "span":
        return torch.stack([result.start_logits, result.end_logits], -1)[mask]
    if head == "next_sentence":
        return result.seq_relationship_logits
    logits = result.prediction_logits if "prediction_logits" in result else result.logits
    return logits[mask] if logits.ndim == 3 else logits


@SIDES
@pytest.mark.parametrize("name", ENCODERS)
def test_encoders(name: str, which: str, side: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every layer's states, pool, logits, losses and gradients, under every head."""
    monkeypatch.setattr("heedful.model.kernels.choose", lambda *_: which)
    theirs = ENCODERS[name].made()
    model, found = imported(theirs, tmp_path)
    heads = {head.name: head for head in model.plan.heads}
    lengths = [7, 7, 7] if "span" in heads else LENGTHS  # their loss of spans counts what pads
    if any(head.reads != "tokens" for head in heads.values()):
        side = "right"  # they read rows from the first slot, whatever is in it
    ids, mask, flat, layout = sentences(lengths, 0, side, theirs.config.pad_token_id)
    given, segments = {"input_ids": ids, "attention_mask": mask.long()}, None
    if name.startswith(("bert", "distilbert")):
        given["position_ids"] = positions_of(mask)  # others count them from what pads
    if not name.startswith("distilbert"):
        segments = torch.randint(0, theirs.config.type_vocab_size, ids.shape)
        given["token_type_ids"] = segments
    both = {name: labels_for(head, mask) for name, head in heads.items()}
    wanted = {key: value for ours, _ in both.values() for key, value in ours.items()}
    result = theirs(**given, **wanted, output_hidden_states=True)

    inputs = {"text": TokenInput(flat, layout, None if segments is None else segments[mask])}
    layers = after_each_step(model, inputs)
    if isinstance(model.plan.steps[-1], FinalNorm):  # they keep no state before the final norm
        del layers[-2]
    for number, (ours, states) in enumerate(zip(layers, result.hidden_states, strict=True)):
        last = number == len(layers) - 1 and "last_hidden_state" in result
        assert_close(f"{name}: states", ours["text"], (result.last_hidden_state if last else states)[mask])
    states, layouts = model.encode(inputs)
    if side == "right" and result.get("pooler_output") is not None:
        assert_close(f"{name}: pool", model.pooled("text", states, layouts), result.pooler_output)
    for head in heads:
        assert_close(f"{name}: logits", model.logits(head, states, layouts), logits_of(result, head, mask))
    if not heads:
        return
    sums = model(inputs, {head: labels for head, (_, labels) in both.items()})
    loss = sum((their_loss(heads[head], part) for head, part in sums.items()), torch.zeros(()))
    assert_close(f"{name}: loss", loss, result.loss)
    (LOUD * result.loss).backward()
    (LOUD * loss).backward()
    compare_gradients(name, model, theirs, found)


@SIDES
@pytest.mark.parametrize("name", DECODERS)
def test_decoders(name: str, which: str, side: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every layer's states, logits, the shifted loss and all gradients of GPT-2, whose matrices lie transposed."""
    monkeypatch.setattr("heedful.model.kernels.choose", lambda *_: which)
    theirs = DECODERS[name].made()
    model, found = imported(theirs, tmp_path)
    ids, mask, flat, layout = sentences(LENGTHS, 1, side)
    ids_after = torch.where(mask & (positions_of(mask) > 0), ids, IGNORED)  # a row's first token follows nothing
    labels = {"labels": ids_after} if model.plan.heads else {}
    result = theirs(
        ids, attention_mask=mask.long(), position_ids=positions_of(mask), output_hidden_states=True, **labels
    )

    inputs = {"text": TokenInput(flat, layout)}
    layers = after_each_step(model, inputs)
    del layers[-2]  # they keep no state before the final norm
    for ours, states in zip(layers, result.hidden_states, strict=True):
        assert_close(f"{name}: states", ours["text"], states[mask])
    if not model.plan.heads:
        return
    states, layouts = model.encode(inputs)
    assert_close(f"{name}: logits", model.logits("next_token", states, layouts), result.logits[mask])
    ends = layout.starts + layout.lengths - 1
    scored = torch.tensor([token for token in range(layout.tokens) if token not in set(ends.tolist())])
    sums = model(inputs, {"next_token": Labels(flat[scored + 1], scored)})["next_token"]
    assert_close(f"{name}: loss", mean(sums), result.loss)
    (LOUD * result.loss).backward()
    (LOUD * mean(sums)).backward()
    compare_gradients(name, model, theirs, found)


@SIDES
@pytest.mark.parametrize("name", TRANSLATORS)
def test_translators(name: str, which: str, side: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every layer's states of both sides, logits, loss and all gradients of encoder-decoders."""
    monkeypatch.setattr("heedful.model.kernels.choose", lambda *_: which)
    theirs = TRANSLATORS[name].made()
    model, found = imported(theirs, tmp_path)
    side = side if name in WITH_SIDES else "right"
    source_ids, source_mask, source, source_layout = sentences(LENGTHS, 2, side)
    target_ids, target_mask, target, target_layout = sentences(TARGET_LENGTHS, 3, side)
    outputs = model.plan.heads[0].outputs
    target_ids, target = target_ids.clamp(max=outputs - 1), target.clamp(max=outputs - 1)
    wanted = torch.randint(0, outputs, target_ids.shape)
    result = theirs(
        source_ids, attention_mask=source_mask.long(), decoder_input_ids=target_ids,
        decoder_attention_mask=target_mask.long(), labels=torch.where(target_mask, wanted, IGNORED),
        output_hidden_states=True,
    )  # fmt: skip

    inputs = {"source": TokenInput(source, source_layout), "target": TokenInput(target, target_layout)}
    states, layouts = model.encode(inputs)
    layers = after_each_step(model, inputs)
    for stream, hidden, mask in (
        ("source", result.encoder_hidden_states, source_mask), ("target", result.decoder_hidden_states, target_mask)
    ):  # fmt: skip
        changed = [layers[0][stream]]
        changed += [now[stream] for now, was in zip(layers[1:], layers, strict=False) if now[stream] is not was[stream]]
        del changed[len(hidden) - 1 : -1]  # they keep no state before the final norm
        for ours, reference in zip(changed, hidden, strict=True):
            assert_close(f"{name}: states", ours, reference[mask])
    assert_close(f"{name}: logits", model.logits("next_token", states, layouts), result.logits[target_mask])
    sums = model(inputs, {"next_token": Labels(wanted[target_mask])})["next_token"]
    assert_close(f"{name}: loss", mean(sums), result.loss)
    (LOUD * result.loss).backward()
    (LOUD * mean(sums)).backward()
    # A bias of logits is a parameter with us and a constant with them.
    compare_gradients(name, model, theirs, found, fixed=("heads.next_token.output.bias",))
