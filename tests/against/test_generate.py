"""Greedy and beam answers of models read from files of `transformers`: those of its `generate`, token for token."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from heedful.decode import Options, decode

from .checkpoints import DECODERS, PAD, TRANSLATORS, VOCAB, imported

END, LANGUAGE, LONGEST = 2, 57, 14
TEXT_END = 0  # GPT-2's
# As the real ones begin: M2M100, NLLB and mBART-50 with the end, then the target's language; mBART with the language;
# BART with the end; others with padding.
BEGINS: dict[str, dict[str, Any]] = {
    "m2m100": {"decoder_start_token_id": END, "forced_bos_token_id": LANGUAGE},
    "mbart": {"decoder_start_token_id": LANGUAGE},
    "bart": {"decoder_start_token_id": END},
}
# Seeds with which answers vary and end early or late.
SEEDS = {
    "marian": 2, "marian-own": 22, "pegasus": 0, "bart": 1, "mbart": 2, "m2m100": 0, "t5": 1, "t5-1.1": 1, "mt5": 2,
    "gpt2": 1, "gpt2-silu": 1, "gpt2-untied": 0,
}  # fmt: skip
# Theirs makes no room for more decoder layers than encoder layers in T5's cache.
LAYERS = {"num_layers": 3, "num_decoder_layers": 2}
SEARCHES = pytest.mark.parametrize(("beam", "alpha", "once"), [(1, 1.0, 2), (4, 1.0, 2), (4, 0.6, 2), (4, 1.0, 0)])


def spread(theirs: Any, seed: int) -> Any:
    """The model with larger weights, so that answers vary, and with an end that is said early or late."""
    torch.manual_seed(seed)
    table, output = theirs.get_input_embeddings().weight, theirs.get_output_embeddings().weight
    vocabularies = {id(table), id(output), id(theirs.get_encoder().get_input_embeddings().weight)}
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if parameter.ndim > 1 and parameter.requires_grad and "norm" not in name:
                parameter.copy_(torch.randn(parameter.shape) * (0.4 if id(parameter) in vocabularies else 0.5))
        output[theirs.config.eos_token_id] *= 2.0
        if hasattr(theirs, "final_logits_bias"):
            theirs.final_logits_bias.normal_(0, 0.3)
            theirs.final_logits_bias[0, END] = 1.5
    return theirs


def rows(count: int, seed: int, high: int = VOCAB - 8) -> list[list[int]]:
    draw = random.Random(seed)
    return [[draw.randrange(4, high) for _ in range(draw.randrange(1, 12))] for _ in range(count)]


def padded(given: list[list[int]], side: str) -> dict[str, torch.Tensor]:
    width = max(map(len, given))
    fill = [[PAD] * (width - len(row)) for row in given]
    ids = [pad + row if side == "left" else row + pad for row, pad in zip(given, fill, strict=True)]
    mask = [[int(i >= len(pad)) if side == "left" else int(i < width - len(pad)) for i in range(width)] for pad in fill]
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}


def until(end: int, row: list[int]) -> list[int]:
    """Without the end and what pads after it."""
    return row[: row.index(end)] if end in row else row


@SEARCHES
@pytest.mark.parametrize("name", TRANSLATORS)
def test_translators(name: str, beam: int, alpha: float, once: int, tmp_path: Path) -> None:
    case, begins = TRANSLATORS[name], BEGINS.get(name, {"decoder_start_token_id": PAD})
    options = {**case.options, "decoder_start_token_id": begins["decoder_start_token_id"]}
    options |= LAYERS if "num_layers" in options else {}
    theirs = spread(case._replace(options=options).made(), SEEDS[name])
    model, _ = imported(theirs, tmp_path)
    given = [[*row, END] for row in rows(12, 1)]
    start = begins["decoder_start_token_id"]
    unsaid = sorted({PAD, start} - {END})  # theirs takes an answer's start for a part of it, were it said again
    expected = theirs.generate(
        **padded(given, "right"), num_beams=beam, max_new_tokens=LONGEST, do_sample=False, length_penalty=alpha,
        bad_words_ids=[[token] for token in unsaid], no_repeat_ngram_size=once, **begins,
    )[:, 1:].tolist()  # fmt: skip
    found = decode(model, given, Options(
        beam=beam, length_penalty="hf", alpha=alpha, start=start, end=END, max_ratio=0.0,
        max_extra=LONGEST, banned=tuple(unsaid), forced_first=begins.get("forced_bos_token_id"), no_repeat_ngram=once,
        forced_last=theirs.generation_config.forced_eos_token_id,
    ))  # fmt: skip
    answers = [answer.ids for (answer,) in found]
    assert answers == [until(END, row) for row in expected]
    if once:  # small models like to repeat themselves
        assert_telling(answers)


@pytest.mark.parametrize(("beam", "alpha"), [(1, 1.0), (4, 1.0), (4, 0.6)])
@pytest.mark.parametrize("name", ["gpt2", "gpt2-silu", "gpt2-untied"])
def test_continuations(name: str, beam: int, alpha: float, tmp_path: Path) -> None:
    """Theirs are padded on the left."""
    case = DECODERS[name]._replace(options={**DECODERS[name].options, "n_positions": 32})
    theirs = spread(case.made(), SEEDS[name])
    model, _ = imported(theirs, tmp_path)
    given = rows(12, 2)
    batch = padded(given, "left")
    expected = theirs.generate(
        **batch, num_beams=beam, max_new_tokens=LONGEST, do_sample=False, length_penalty=alpha, bad_words_ids=[[PAD]],
        pad_token_id=PAD,
    )[:, batch["input_ids"].shape[1] :].tolist()  # fmt: skip
    found = decode(model, given, Options(
        beam=beam, length_penalty="hf", alpha=alpha, start=None, end=TEXT_END, max_ratio=0.0, max_extra=LONGEST,
        banned=(PAD,),
    ))  # fmt: skip
    answers = [answer.ids for (answer,) in found]
    assert answers == [until(PAD, until(TEXT_END, row)) for row in expected]
    assert_telling(answers)


def assert_telling(answers: list[list[int]]) -> None:
    """The answers vary, in words and in length."""
    assert len({len(answer) for answer in answers}) >= 3
    assert len({tuple(answer) for answer in answers}) >= 5
    assert len({token for answer in answers for token in answer}) >= 9
