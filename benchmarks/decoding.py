"""Decoding speed against Hugging Face `generate`: fp32, the same weights, the same sentences, token for token.

    python benchmarks/decoding.py [--models small base] [--settings 1x1 1x4 32x1 32x4] [--sentences N] [--write]

Weights are random. In the first variant the end token is suppressed, so that both sides decode every batch to the
length of its longest source; in the second ("ends") it may occur, and rows and hypotheses finish early. The two systems
take turns in one process on one thread; the time is the process's CPU time, the median of the repetitions of each
batch. Sentences on which they differ are scored by the reference model in fp64, so that ties can be told from faults.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from mappings import marian
from record import write

from heedful.decode import Options, decode
from heedful.model import hardware

# layers (encoder and decoder each), width, heads, feed-forward, vocabulary
SHAPES = {"base": (6, 512, 8, 2048, 32000), "small": (3, 256, 4, 1024, 8000)}
END = 0
# What the ratio should reach, by (model, batch, beam).
GOALS = {
    ("base", 1, 1): 1.7, ("base", 1, 4): 2.4, ("base", 32, 1): 2.0, ("base", 32, 4): 2.4,
    ("small", 1, 1): 2.0, ("small", 1, 4): 2.1, ("small", 32, 1): 1.9, ("small", 32, 4): 2.2,
}  # fmt: skip
Rows = list[list[int]]


def build(name: str, ends: bool) -> Any:
    """A MarianMTModel with random weights."""
    from transformers import MarianConfig, MarianMTModel

    layers, width, heads, feedforward, vocab = SHAPES[name]
    torch.manual_seed(1)
    config = MarianConfig(
        vocab_size=vocab, d_model=width, encoder_layers=layers, decoder_layers=layers,
        encoder_attention_heads=heads, decoder_attention_heads=heads, encoder_ffn_dim=feedforward,
        decoder_ffn_dim=feedforward, max_position_embeddings=256, activation_function="relu", scale_embedding=True,
        pad_token_id=vocab - 1, eos_token_id=END, bos_token_id=END, decoder_start_token_id=vocab - 1,
        forced_eos_token_id=None, tie_word_embeddings=True, share_encoder_decoder_embeddings=True, init_std=0.05,
    )  # fmt: skip
    model = MarianMTModel(config).eval()
    with torch.no_grad():
        for name_, parameter in model.named_parameters():
            if name_.endswith("bias"):  # they begin at 0, which nothing trained has
                parameter.normal_(0, 0.05)
        model.final_logits_bias.normal_(0, 0.1)
        model.final_logits_bias[0, END] = ENDS[name] if ends else -1e4
        model.final_logits_bias[0, vocab - 1] = -1e4
        model.model.shared.weight[vocab - 1] = 0
    return model


# Random weights end at once or hardly ever; at these biases some answers do and some do not.
ENDS = {"base": 2.6, "small": 3.0}


def sentences(vocab: int, count: int) -> Rows:
    """Random sources of 5 to 40 tokens, about 18 on average (log-normal), longest first."""
    draw = random.Random(7)
    made = []
    for _ in range(200):
        length = min(40, max(5, int(draw.lognormvariate(2.9, 0.5))))
        made.append([draw.randrange(5, vocab - 1) for _ in range(length - 1)] + [END])
    made.sort(key=len, reverse=True)
    return made[:: max(1, len(made) // count)][:count]


def theirs(model: Any, rows: Rows, beam: int, longest: int) -> Rows:
    """Answers of `generate`, without start, end and padding."""
    pad = model.config.pad_token_id
    width = max(map(len, rows))
    ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    found = model.generate(
        input_ids=ids, attention_mask=mask, num_beams=beam, max_new_tokens=longest, do_sample=False
    ).tolist()
    return [_cut(row[1:], pad) for row in found]


def _cut(row: list[int], pad: int) -> list[int]:
    row = row[: row.index(END)] if END in row else row
    while row and row[-1] == pad:
        row.pop()
    return row


def score(model: Any, source: list[int], target: list[int], longest: int, beam: int) -> float:
    """What `generate` would give the answer, in fp64: its log-probability, per token under beam search."""
    whole = target if len(target) >= longest else [*target, END]
    start = model.config.decoder_start_token_id
    given = torch.tensor([[start, *whole[:-1]]])
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([source]), decoder_input_ids=given).logits
    total = float(logits.log_softmax(-1)[0, range(len(whole)), whole].sum())
    return total / len(whole) if beam > 1 else total


def measure(model: Any, rows: Rows, batch: int, beam: int, repetitions: int, choices: Any) -> dict[str, Any]:
    """CPU seconds of both for all batches, and where their answers differ."""
    ours = marian(model)
    start = model.config.decoder_start_token_id
    batches = [rows[begin : begin + batch] for begin in range(0, len(rows), batch)]
    decode(ours, rows[:1], Options(start=start, end=END, max_length=2), choices)  # weights are laid out once
    spent: dict[str, list[float]] = {"theirs": [], "ours": []}
    differing = []
    for some in batches:
        longest = max(map(len, some))
        options = Options(
            beam=beam, length_penalty="hf", start=start, end=END, max_ratio=0.0, max_extra=longest, batch=batch
        )
        work: dict[str, Callable[[], Any]] = {
            "theirs": lambda some=some, longest=longest: theirs(model, some, beam, longest),
            "ours": lambda some=some, options=options: [a[0].ids for a in decode(ours, some, options, choices)],
        }
        times: dict[str, list[float]] = {"theirs": [], "ours": []}
        answers: dict[str, Rows] = {}
        for turn in range(repetitions):
            for name in sorted(work, reverse=bool(turn % 2)):
                begin = time.process_time()
                answers[name] = work[name]()
                times[name].append(time.process_time() - begin)
        for name, seconds in times.items():
            spent[name].append(statistics.median(seconds))
        for source, one, other in zip(some, answers["theirs"], answers["ours"], strict=True):
            if one != other:
                differing.append((source, one, other, longest))
    tokens = sum(max(map(len, some)) * len(some) for some in batches)
    ratio = sum(spent["theirs"]) / sum(spent["ours"])
    exact = model.double()
    ties = [
        {"theirs": score(exact, source, one, longest, beam), "ours": score(exact, source, other, longest, beam)}
        for source, one, other, longest in differing
    ]
    model.float()
    return {
        "batch": batch, "beam": beam, "sentences": len(rows), "ratio": round(ratio, 2), "repetitions": repetitions,
        "theirs_seconds": round(sum(spent["theirs"]), 3), "ours_seconds": round(sum(spent["ours"]), 3),
        "most_tokens": tokens, "same": len(rows) - len(differing), "differing_scores": ties,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=["small", "base"], choices=list(SHAPES))
    parser.add_argument("--settings", nargs="+", default=["1x1", "1x4", "32x1", "32x4"], metavar="BATCHxBEAM")
    parser.add_argument("--variants", nargs="+", default=["forced", "ends"], choices=["forced", "ends"])
    parser.add_argument("--sentences", type=int, help="default: 8 singly, 64 in batches (32 with a beam)")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write results/PROCESSOR/decoding.json")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    choices = hardware.probe()
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if busy > 1.0:
        print(f"other programs keep this machine busy (load {busy:.1f}): cache and memory are shared with them")
    figures = []
    for variant in arguments.variants:
        for name in arguments.models:
            model = build(name, variant == "ends")
            for setting in arguments.settings:
                batch, beam = (int(part) for part in setting.split("x"))
                count = arguments.sentences or (8 if batch == 1 else 32 if beam > 1 else 64)
                rows = sentences(SHAPES[name][-1], count)
                figure = measure(model, rows, batch, beam, arguments.repetitions, choices)
                goal = GOALS.get((name, batch, beam))
                figures.append({"model": name, "variant": variant, "goal": goal, **figure})
                print(
                    f"{variant:6} {name:5} batch {batch:2} beam {beam}: {figure['ratio']:.2f} x (goal {goal}), "
                    f"{figure['sentences'] / figure['ours_seconds']:.1f} sentences/s, "
                    f"same {figure['same']} of {figure['sentences']}",
                    *(f"  differs: {tie}" for tie in figure["differing_scores"]),
                    sep="\n",
                    flush=True,
                )
                if arguments.write:
                    write("decoding", {"load": busy, "choices": repr(choices), "figures": figures})


if __name__ == "__main__":
    main()
