"""Small translators on one core: speed and memory of training, speed of beam search, against JoeyNMT's model.

    python benchmarks/small.py [--data DIR] [--tokens 4096] [--steps 3] [--run RUN]

The model of Multi30k papers: 4+4 layers, width 128, 4 heads, feed-forward 256, dropout 0.3, label smoothing 0.1, a
joint vocabulary of 10,000. Clock: process CPU time of one thread. Training: the steps of all systems take turns in one
process; figures are real target tokens a second, JoeyNMT's in random batches as its own trainer's. Memory: the peak of
a process that trains one system for --memory-steps. Beam search: beam 5 of random weights, which end nowhere, so that
both make as many steps as the longest reference of each batch has tokens. With --run also the sentences a second of a
finished run on multi30k/test_2016_flickr.en, as it is meant to be used.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import systems
import torch
from record import write
from systems import Pair, Step
from training import measure, utilise

import heedful
from heedful.decode import Options, decode
from heedful.model import hardware
from heedful.model.shapes import flops_per_token

DROP, SMOOTHING, BEAM, BATCH = 0.3, 0.1, 5, 32
systems.WIDTH, systems.HEADS, systems.FEED, systems.LAYERS, systems.VOCAB = 128, 4, 256, 4, 10_000

MAKERS: dict[str, Callable[[list[Pair]], tuple[Any, Step]]] = {
    "JoeyNMT": lambda pairs: systems.theirs_joey(pairs, SMOOTHING, DROP),
    "heedful": lambda pairs: systems.ours_translation(pairs, SMOOTHING, DROP),
    "heedful, bf16": lambda pairs: systems.ours_translation(pairs, SMOOTHING, DROP, "bf16"),
}


def batches(name: str, pairs: list[Pair], count: int) -> list[Any]:
    return systems.random_batches(pairs, count) if name == "JoeyNMT" else systems.bucketed(pairs, count)


def training(pairs: list[Pair], steps: int, choices: hardware.Choices) -> dict[str, Any]:
    """Tokens a second of each system, ratios to JoeyNMT, and the share of the processor's peak."""
    made = {name: (make(pairs)[1], batches(name, pairs, steps + 2)) for name, make in MAKERS.items()}
    result = measure(made, steps, 2, choices)
    sizes = {"width": systems.WIDTH, "layers": systems.LAYERS, "feedforward": systems.FEED, "vocab": systems.VOCAB}
    cost = flops_per_token(systems.plan("encoder-decoder", **sizes))
    sources = sum(len(source) + 1 for source, _ in pairs) / sum(len(target) + 1 for _, target in pairs)
    return {"peak GFLOP/s": utilise(result, cost["target"] + sources * cost["source"], choices), "systems": result}


def memory(arguments: argparse.Namespace) -> dict[str, float]:
    """Peak resident MB of a process that trains one system, by name."""
    command = [sys.executable, __file__, "--data", arguments.data, "--tokens", str(arguments.tokens)]
    command += ["--memory-steps", str(arguments.memory_steps), "--only"]
    run = lambda name: subprocess.run([*command, name], capture_output=True, text=True, check=True).stdout
    return {name: float(run(name).split()[-1]) for name in MAKERS if "heedful" in name}


def train_only(name: str, pairs: list[Pair], steps: int) -> None:
    _, step = MAKERS[name](pairs)
    for rows in batches(name, pairs, steps):
        step(rows)
    print(round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def searching(pairs: list[Pair], choices: hardware.Choices) -> dict[str, Any]:
    """Sentences a second of beam search: as many steps for both, the same sources, random weights."""
    from joeynmt.search import beam_search

    rows = sorted(pairs[:BATCH], key=lambda pair: len(pair[0]))
    sources, longest = [[*source, systems.END] for source, _ in rows], max(len(target) + 1 for _, target in rows)
    ours, theirs = MAKERS["heedful"](pairs)[0].eval(), MAKERS["JoeyNMT"](pairs)[0].eval()
    options = Options(beam=BEAM, banned=(systems.END,), end=None, max_ratio=0.0, max_extra=longest, batch=BATCH)
    padded = systems.padded_ids(sources, 1)
    mask, lengths = (padded != 1).unsqueeze(1), (padded != 1).sum(1)

    def joey() -> Any:
        states, hidden, _, _ = theirs(return_type="encode", src=padded, src_length=lengths, src_mask=mask)
        return beam_search(theirs, BEAM, states, hidden, mask, longest, 1.0, min_output_length=longest)

    work = {"JoeyNMT": joey, "heedful": lambda: decode(ours, sources, options, choices)}
    work["heedful"]()
    speeds = {}
    with torch.no_grad(), hardware.applied(choices):
        for name, run in work.items():
            seconds = []
            for _ in range(2):
                begin = time.process_time()
                run()
                seconds.append(time.process_time() - begin)
            speeds[name] = round(len(rows) / min(seconds), 1)
    return {"steps": longest, "sentences/s": speeds, "ratio": round(speeds["heedful"] / speeds["JoeyNMT"], 1)}


def translating(run: Path, data: Path) -> dict[str, float]:
    """Sentences a second of a finished run on the test set, and how long its answers are."""
    translator = heedful.load(run)
    lines = (data / "multi30k/test_2016_flickr.en").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    options = translator.options(beam=BEAM)
    translator.translate(lines[:8], options=options)
    begin = time.process_time()
    answers = translator.translate(lines, options=options)
    spent = time.process_time() - begin
    words = sum(len(answer.split()) for answer in answers) / len(lines)
    return {"sentences/s": round(len(lines) / spent, 1), "words an answer": round(words, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("HEEDFUL_DATA", ""))
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--memory-steps", type=int, default=20)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--only", choices=list(MAKERS))
    arguments = parser.parse_args()
    if not arguments.data:
        sys.exit(
            "give --data DIR (or HEEDFUL_DATA): a folder with multi30k/, the raw files of multi30k/dataset, task 1"
        )
    torch.set_num_threads(1)
    choices = msgspec.structs.replace(hardware.probe(), threads=1)
    hardware.apply(choices)
    systems.TOKENS = arguments.tokens
    figures: dict[str, Any] = {"batch tokens": arguments.tokens, "fp32 by": choices.fp32_gemm}
    if not arguments.only:  # before this process grows: a child's peak begins at its parent's
        figures[f"peak MB of {arguments.memory_steps} steps"] = memory(arguments)
    pairs = systems.corpus(Path(arguments.data), limit=29_000)
    if arguments.only:
        return train_only(arguments.only, pairs, arguments.memory_steps)
    figures["training"] = training(pairs, arguments.steps, choices)
    figures["beam search, random weights"] = searching(pairs, choices)
    if arguments.run:
        figures["beam search of a finished run"] = translating(arguments.run, Path(arguments.data))
    print(msgspec.json.format(msgspec.json.encode(figures)).decode())
    print(write("small", figures))


if __name__ == "__main__":
    main()
