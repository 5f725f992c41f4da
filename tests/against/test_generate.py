"""Greedy and beam answers of models read from files of `transformers`: those of its `generate`, token for token."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from heedful.decode import Options, decode

from .checkpoints import DECODERS, PAD, TRANSLATORS, VOCAB, imported

END, START, LANGUAGE, LONGEST = 2, 0, 57, 14
# As the real ones begin: M2M100, NLLB and mBART-50 with the end, then the target's language; mBART with the language.
BEGINS: dict[str, dict[str, Any]] = {
    "m2m100": {"decoder_start_token_id": END, "forced_bos_token_id": LANGUAGE},
    "mbart": {"decoder_start_token_id": LANGUAGE},
    "pegasus": {"decoder_start_token_id": PAD},
    "marian": {"decoder_start_token_id": PAD},
}
BEAMS = pytest.mark.parametrize(("beam", "alpha"), [(1, 1.0), (4, 1.0), (4, 0.6)])


def spread(theirs: Any, seed: int) -> Any:
    """The model with larger weights, so that answers vary, and an end that is said early or late."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if parameter.ndim > 1 and parameter.requires_grad and "norm" not in name:
                parameter.copy_(torch.randn(parameter.shape) * (0.6 if "bias" in name else 0.45))
        table = theirs.get_input_embeddings().weight
        table[END if "GPT2" not in type(theirs).__name__ else 0] *= 1.8
        if hasattr(theirs, "final_logits_bias"):
            theirs.final_logits_bias.normal_(0, 0.5)
            theirs.final_logits_bias[0, END] = 2.0
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


@BEAMS
@pytest.mark.parametrize("name", TRANSLATORS)
def test_translators(name: str, beam: int, alpha: float, tmp_path: Path) -> None:
    case, begins = TRANSLATORS[name], BEGINS.get(name, {"decoder_start_token_id": START})
    options = {**case.options, "decoder_start_token_id": begins["decoder_start_token_id"]}
    theirs = spread(case._replace(options=options).made(), seed=len(name))
    model, _ = imported(theirs, tmp_path)
    given = [[*row, END] for row in rows(12, 1)]
    expected = theirs.generate(
        **padded(given, "right"), num_beams=beam, max_new_tokens=LONGEST, do_sample=False, length_penalty=alpha,
        bad_words_ids=[[PAD]], **begins,
    )[:, 1:].tolist()  # fmt: skip
    found = decode(model, given, Options(
        beam=beam, length_penalty="hf", alpha=alpha, start=begins["decoder_start_token_id"], end=END, max_ratio=0.0,
        max_extra=LONGEST, banned=(PAD,), forced_first=begins.get("forced_bos_token_id"),
        forced_last=theirs.generation_config.forced_eos_token_id,
    ))  # fmt: skip
    answers = [answer.ids for (answer,) in found]
    assert answers == [until(END, row) for row in expected]
    assert_telling(answers)


@BEAMS
@pytest.mark.parametrize("name", ["gpt2", "gpt2-silu", "gpt2-untied"])
def test_continuations(name: str, beam: int, alpha: float, tmp_path: Path) -> None:
    """Theirs are padded on the left."""
    case = DECODERS[name]._replace(options={**DECODERS[name].options, "n_positions": 32})
    theirs = spread(case.made(), seed=len(name))
    model, _ = imported(theirs, tmp_path)
    given = rows(12, 2)
    batch = padded(given, "left")
    expected = theirs.generate(
        **batch, num_beams=beam, max_new_tokens=LONGEST, do_sample=False, length_penalty=alpha, bad_words_ids=[[PAD]],
        pad_token_id=PAD,
    )[:, batch["input_ids"].shape[1] :].tolist()  # fmt: skip
    found = decode(model, given, Options(
        beam=beam, length_penalty="hf", alpha=alpha, start=None, end=START, max_ratio=0.0, max_extra=LONGEST,
        banned=(PAD,),
    ))  # fmt: skip
    answers = [answer.ids for (answer,) in found]
    assert answers == [until(PAD, until(START, row)) for row in expected]
    assert_telling(answers)


def assert_telling(answers: list[list[int]]) -> None:
    """The answers vary, in words and in length."""
    assert len({tuple(answer) for answer in answers}) >= len(answers) // 2, answers
    assert len({len(answer) for answer in answers}) >= 3, [len(answer) for answer in answers]
    assert len({token for answer in answers for token in answer}) >= 12
