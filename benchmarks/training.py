"""Training speed against transformers and JoeyNMT: same model, same real tokens, steps in turn in one process.

    python benchmarks/training.py translation|gpt|bert [--steps 8] [--data DIR]
    python benchmarks/training.py memory    (translation, each system in a process of its own: peak resident memory)
    python benchmarks/training.py equality  (50 steps of MarianMTModel and heedful from the same weights, no dropout)

Clock: process CPU time of one thread. A step is batch assembly, forward, backward, clipping and AdamW. Figures are real
target tokens a second; ratios are of medians over the same batches. heedful's bf16 is its runs' own: bf16 working
weights, fp32 master; the peers are fp32. Peers run with torch's defaults, heedful with what its probe chose; "oneDNN"
is the peer with the same choice for fp32 products, where the probe made it.

`peak` is the speed of one large product, in GFLOP/s, and `utilisation` the share of it that the model's own products
(of real tokens, forward and backward) take: what no software can raise above 1 on this processor in this precision.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import systems
import torch
from record import write
from systems import Step

from heedful.model import hardware

SPEEDS = {
    "translation": (systems.translation, systems.translation_flops),
    "gpt": (systems.gpt, systems.gpt_flops),
    "bert": (systems.bert, systems.bert_flops),
}


def measure(
    made: dict[str, tuple[Step, list[Any]]], steps: int, warm: int, choices: hardware.Choices
) -> dict[str, dict[str, float]]:
    """Steps of all systems in turn; tokens a CPU second as the median over steps, and ratios to the first system."""
    speeds: dict[str, list[float]] = {name: [] for name in made}
    losses: dict[str, float] = {}
    plain = hardware.Choices(threads=1)
    for number in range(steps + warm):
        for name, (step, batches) in made.items():
            hardware.apply(choices if "heedful" in name or "oneDNN" in name else plain)
            begin = time.process_time()
            losses[name], tokens = step(batches[number % len(batches)])
            if number >= warm:
                speeds[name].append(tokens / (time.process_time() - begin))
    first = statistics.median(next(iter(speeds.values())))
    return {
        name: {
            "tokens/s": round(statistics.median(values), 1),
            "loss": round(losses[name], 4),
            "ratio": round(statistics.median(values) / first, 3),
        }
        for name, values in speeds.items()
    }


def peak(dtype: torch.dtype) -> float:
    """GFLOP/s of the best of some large products."""
    left, right = torch.rand(1024, 512).to(dtype), torch.rand(512, 2048).to(dtype)
    seconds = []
    for _ in range(9):
        begin = time.process_time()
        left @ right
        seconds.append(time.process_time() - begin)
    return 2 * 1024 * 512 * 2048 / min(seconds) / 1e9


def utilise(result: dict[str, dict[str, float]], flops: float, choices: hardware.Choices) -> dict[str, float]:
    """Adds `utilisation` to every system; `flops` are a counted token's, forward. Returns the peaks."""
    hardware.apply(choices)
    peaks = {"fp32": round(peak(torch.float32), 1), "bf16": round(peak(torch.bfloat16), 1)}
    for name, figures in result.items():
        precision = "bf16" if "bf16" in name else "fp32"
        figures["utilisation"] = round(figures["tokens/s"] * 3 * flops / peaks[precision] / 1e9, 3)
    return peaks


def memory(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Peak resident memory of a process that trains one system."""
    found = {}
    for name in ("transformers", "transformers, length buckets", "heedful", "heedful, random batches"):
        command = [sys.executable, __file__, "translation", "--only", name, "--data", arguments.data, "--steps", "6"]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        found[name] = {"peak MB": float(result.stderr.strip().split("\n")[-1].split()[-2])}
    return found


def equality(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Losses of the same 50 batches from the same weights; the optimizer is the same, too."""
    from mappings import marian

    pairs = systems.corpus(Path(arguments.data), limit=4000)
    theirs, their_step = systems.theirs_translation(pairs, 0.0)
    ours = marian(theirs).train()
    # Both start from the same weights; the logit bias is a constant in MarianMTModel.
    ours.heads["next_token"].output.bias.requires_grad_(False)
    adam = systems.optimizer(ours)
    batches = systems.random_batches(pairs, 50)
    largest = 0.0
    for rows in batches:
        source, target, labels = systems.translation_batch(pairs, rows)
        sums = ours({"source": source, "target": target}, {"next_token": labels})["next_token"]
        systems.finish(ours, adam, sums.loss / sums.count)
        mine, other = float(sums.nll) / sums.count, their_step(rows)[0]
        largest = max(largest, abs(mine - other))
    return {
        "transformers": {"loss of step 50": other},
        "heedful": {"loss of step 50": mine, "steps": len(batches), "largest difference": largest},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=[*SPEEDS, *OTHERS])
    parser.add_argument("--data", default=os.environ.get("HEEDFUL_DATA", ""))
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--warm", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[])
    arguments = parser.parse_args()
    if not arguments.data and arguments.task not in ("gpt", "bert"):
        sys.exit(
            "give --data DIR (or HEEDFUL_DATA): a folder with multi30k/, the raw files of multi30k/dataset, task 1"
        )
    choices = msgspec.structs.replace(hardware.probe(), threads=1)
    hardware.apply(choices)
    peaks: dict[str, float] = {}
    if arguments.task in OTHERS:
        result = OTHERS[arguments.task](arguments)
    else:
        made, flops = SPEEDS[arguments.task]
        result = measure(made(arguments), arguments.steps, arguments.warm, choices)
        peaks = utilise(result, flops(arguments), choices)
        print("peak", peaks)
    for name, figures in result.items():
        print(f"{name:32s}", "  ".join(f"{key} {value:g}" for key, value in figures.items()))
    if arguments.only:
        print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB", file=sys.stderr)
    else:
        chosen = {"fp32_gemm": choices.fp32_gemm, "bf16": choices.bf16}
        print(write(f"training-{arguments.task}", {"chosen": chosen, "peak GFLOP/s": peaks, "systems": result}))


OTHERS = {"memory": memory, "equality": equality}

if __name__ == "__main__":
    main()
