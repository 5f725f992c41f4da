"""Greedy and beam search under "hf" give the answers of transformers' `generate`, token for token."""

from __future__ import annotations

import logging
import random
from typing import Any

import pytest
import torch

from heedful.decode import Options, Wanted, decode

from .peers import mappings

transformers = pytest.importorskip("transformers")
logging.getLogger("transformers").setLevel(logging.ERROR)
VOCAB, END, PAD = 50, 0, 49


def marian(seed: int, forced_end: bool) -> Any:
    torch.manual_seed(seed)
    config = transformers.MarianConfig(
        vocab_size=VOCAB, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=64,
        activation_function="relu", scale_embedding=True, pad_token_id=PAD, eos_token_id=END, bos_token_id=END,
        decoder_start_token_id=PAD, forced_eos_token_id=END if forced_end else None, init_std=0.3,
        tie_word_embeddings=True, share_encoder_decoder_embeddings=True,
    )  # fmt: skip
    model = transformers.MarianMTModel(config).eval()
    with torch.no_grad():
        model.final_logits_bias.normal_(0, 0.5)
        model.final_logits_bias[0, END] = 1.0 + seed / 2  # early ends, the more so with the seed
        model.final_logits_bias[0, PAD] = -1e4
    return model


def rows(seed: int, count: int, low: int) -> list[list[int]]:
    draw = random.Random(seed)
    return [[draw.randrange(low, VOCAB - 2) for _ in range(draw.randrange(1, 15))] for _ in range(count)]


def without_end(row: list[int]) -> list[int]:
    row = row[: row.index(END)] if END in row else row
    while row and row[-1] == PAD:
        row = row[:-1]
    return row


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("beam", "alpha"), [(1, 1.0), (4, 1.0), (4, 0.6), (4, 0.0), (3, 2.0)])
@pytest.mark.parametrize("longest", [3, 20])
def test_translation(seed: int, beam: int, alpha: float, longest: int) -> None:
    forced = seed % 2 == 1
    theirs = marian(seed, forced)
    ours = mappings().marian(theirs)
    given = [[*row, END] for row in rows(seed, 10, 5)]
    width = max(map(len, given))
    ids = torch.tensor([row + [PAD] * (width - len(row)) for row in given])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in given])
    best = min(beam, 2)
    expected = theirs.generate(
        input_ids=ids, attention_mask=mask, num_beams=beam, max_new_tokens=longest, do_sample=False,
        length_penalty=alpha, num_return_sequences=best, return_dict_in_generate=True, output_scores=True,
    )  # fmt: skip
    options = Options(
        beam=beam, best=best, length_penalty="hf", alpha=alpha, start=PAD, end=END, max_ratio=0.0,
        max_extra=longest, forced_last=END if forced else None,
    )  # fmt: skip
    answers = [answer for found in decode(ours, given, options) for answer in found]
    assert [answer.ids for answer in answers] == [without_end(row[1:]) for row in expected.sequences.tolist()]
    if beam > 1:
        assert [answer.score for answer in answers] == pytest.approx(expected.sequences_scores.tolist(), abs=1e-4)


def test_forced_and_banned_tokens() -> None:
    theirs = marian(0, False)
    given = [[*row, END] for row in rows(5, 6, 5)]
    for beam in (1, 4):
        for row in given:
            expected = theirs.generate(
                input_ids=torch.tensor([row]), num_beams=beam, max_new_tokens=9, do_sample=False,
                forced_bos_token_id=7, bad_words_ids=[[11], [12]], min_new_tokens=4,
            )  # fmt: skip
            options = Options(
                beam=beam, length_penalty="hf", start=PAD, end=END, max_ratio=0.0, max_extra=9, forced_first=7,
                banned=(11, 12), min_length=5,
            )  # fmt: skip
            ((answer,),) = decode(mappings().marian(theirs), [row], options)
            assert answer.ids == without_end(expected[0, 1:].tolist())


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_ngram_twice_and_banned_phrases(beam: int, size: int) -> None:
    theirs = marian(1, False)
    banned = [[11, 12], [13, 14, 15], [9], [20, 20]]
    for row in rows(7, 6, 5):
        expected = theirs.generate(
            input_ids=torch.tensor([[*row, END]]), num_beams=beam, max_new_tokens=20, do_sample=False,
            no_repeat_ngram_size=size, bad_words_ids=banned,
        )  # fmt: skip
        options = Options(
            beam=beam, length_penalty="hf", start=PAD, end=END, max_ratio=0.0, max_extra=20,
            no_repeat_ngram=size, banned_phrases=tuple(map(tuple, banned)),
        )  # fmt: skip
        ((answer,),) = decode(mappings().marian(theirs), [[*row, END]], options)
        assert answer.ids == without_end(expected[0, 1:].tolist())


@pytest.mark.parametrize("beam", [1, 4])
def test_prefix(beam: int) -> None:
    """Their decoder is given the prefix, and counts only what follows."""
    theirs = marian(2, False)
    for row in rows(8, 6, 5):
        expected = theirs.generate(
            input_ids=torch.tensor([[*row, END]]), decoder_input_ids=torch.tensor([[PAD, 7, 8]]), num_beams=beam,
            max_new_tokens=12, do_sample=False, length_penalty=0.0,
        )  # fmt: skip
        options = Options(beam=beam, length_penalty="hf", alpha=0.0, start=PAD, end=END, max_ratio=0.0, max_extra=14)
        wanted = [Wanted(prefix=(7, 8))]
        ((answer,),) = decode(mappings().marian(theirs), [[*row, END]], options, wanted=wanted)
        assert answer.ids == without_end(expected[0, 1:].tolist())


def gpt2(seed: int) -> Any:
    torch.manual_seed(seed)
    config = transformers.GPT2Config(
        vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=END, eos_token_id=END,
        pad_token_id=PAD, initializer_range=0.3,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config).eval()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("longest", [1, 20])
def test_continuation(seed: int, beam: int, longest: int) -> None:
    theirs = gpt2(seed)
    ours = mappings().gpt2(theirs)
    given = rows(seed, 6, 5)
    width = max(map(len, given))
    ids = torch.tensor([[PAD] * (width - len(row)) + row for row in given])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in given])
    expected = theirs.generate(
        input_ids=ids, attention_mask=mask, num_beams=beam, max_new_tokens=longest, do_sample=False,
        bad_words_ids=[[PAD]],
    )  # fmt: skip
    options = Options(
        beam=beam, length_penalty="hf", start=None, end=END, max_ratio=0.0, max_extra=longest, banned=(PAD,)
    )
    answers = [found[0].ids for found in decode(ours, given, options)]
    assert answers == [without_end(row[width:]) for row in expected.tolist()]


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("penalty", [1.3, 0.8])
def test_repetition_penalty(beam: int, penalty: float) -> None:
    for theirs, ours, start in (
        (gpt2(1), mappings().gpt2, None),
        (marian(1, False), mappings().marian, PAD),
    ):
        given = rows(7, 6, 5)
        options = Options(
            beam=beam, length_penalty="hf", start=start, end=END, max_ratio=0.0, max_extra=16, banned=(PAD,),
            repetition_penalty=penalty,
        )  # fmt: skip
        answers = [found[0].ids for found in decode(ours(theirs), given, options)]
        for row, answer in zip(given, answers, strict=True):
            expected = theirs.generate(
                input_ids=torch.tensor([row]), attention_mask=torch.ones(1, len(row)), num_beams=beam,
                max_new_tokens=16, do_sample=False, bad_words_ids=[[PAD]], repetition_penalty=penalty,
            )[0].tolist()  # fmt: skip
            assert answer == without_end(expected[len(row) if start is None else 1 :])
