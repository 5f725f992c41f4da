"""Tags, variables, addresses and numbers in generated strings: how many come out unharmed, how many are marked.

python benchmarks/placeholders.py [--data DIR] [--steps N] [--runs DIR: where to train; finished runs are only asked]

Two small translators are trained on Multi30k, alike but for placeholders (their vocabularies share all text pieces).
Each translates the strings of tests/tasks/markup.py, which says itself what must come out. Besides: what placeholders
cost plain text (loss, BLEU, time outside of the search), where tags go (a word is tagged whose translation the
reference holds once: is that what stands in the tags?), and what splitting does for several sentences in one line.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from record import write
from sacrebleu.metrics import BLEU

from heedful.data.lexicon import WORD, learn_lexicon
from heedful.tasks.translate import Translator, load

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from tasks.markup import generate, kept

PIECES = 4000
SETTINGS = {
    "training.processes": 1, "training.warmup": 200, "training.batch_tokens": 1024, "training.precision": "fp32",
    "training.limit": "10h", "model.preset": "transformer-tiny",
}  # fmt: skip


def lines(path: Path) -> list[str]:
    return path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")


def train(run: Path, data: str, steps: int, placeholders: int) -> None:
    own = {**SETTINGS, "training.steps": steps, "tokenizer.placeholders": placeholders}
    own["tokenizer.size"] = PIECES + placeholders
    recipe = Path(__file__).parents[1] / "recipes" / "multi30k-en-de.toml"
    command = [sys.executable, "-m", "heedful.cli", "train", "translate", "--recipe", str(recipe), "--data", data]
    settings = [word for key, value in own.items() for word in ("--set", f"{key}={value}")]
    subprocess.run([*command, "--out", str(run), *settings], check=True, stdout=subprocess.DEVNULL)


def strings(translator: Translator, count: int) -> dict[str, Any]:
    """Of generated strings: those kept, those marked, and those that are neither, of which there must be none."""
    made = generate(count, seed=2026)
    began = time.process_time()
    answers = translator.answer([one.text for one in made])
    spent = time.process_time() - began
    good = [kept(one, answer.text) for one, answer in zip(made, answers, strict=True)]
    marked = [bool(answer.problems) for answer in answers]
    return {
        "strings": count,
        "kept": sum(good),
        "kept and not marked": sum(one and not other for one, other in zip(good, marked, strict=True)),
        "marked": sum(marked),
        "neither": sum(not one and not other for one, other in zip(good, marked, strict=True)),
        "CPU seconds": round(spent, 1),
    }


def plain(translator: Translator, source: list[str], target: list[str]) -> dict[str, Any]:
    """BLEU with and without protection; what protection takes, beside greedy search (the least of three times)."""
    figures: dict[str, Any] = {}
    for name, protect in (("protected", True), ("not protected", False)):
        answers = translator.translate(source, protect=protect)
        figures[f"BLEU, {name}"] = round(BLEU().corpus_score(answers, [target]).score, 2)
    timed = Timed(translator)
    without_numbers = [text for text in source if not re.search(r"\d", text)]
    times = [[timed(without_numbers, protect) for protect in (True, False)] for _ in range(3)]
    extra = min(one[0] for one, _ in times) - min(other[0] for _, other in times)
    figures["ms of protection, a line"] = round(1000 * extra / len(without_numbers), 4)
    figures["% of the time"] = round(100 * extra / min(sum(other) for _, other in times), 2)
    problems = [answer.problems for answer in translator.answer(source)]
    return {**figures, "lines marked": sum(map(bool, problems)), "lines": len(source)}


class Timed:
    """Translates greedily and says how long that took outside of the search, and in it (CPU seconds, one thread)."""

    def __init__(self, translator: Translator) -> None:
        self.translator, self.inner, self.spent = translator, translator.search, 0.0

    def __call__(self, texts: list[str], protect: bool) -> tuple[float, float]:
        self.translator.search, self.spent = self.search, 0.0  # type: ignore[method-assign]
        began = time.process_time()
        self.translator.translate(texts, options=self.translator.options(beam=1), protect=protect)
        total = time.process_time() - began
        del self.translator.search  # type: ignore[method-assign]
        return total - self.spent, self.spent

    def search(self, *given: Any) -> Any:
        began = time.process_time()
        found = self.inner(*given)
        self.spent += time.process_time() - began
        return found


def tags(translator: Translator, source: list[str], target: list[str], lexicon: dict[str, str]) -> dict[str, Any]:
    """A word in tags: does its translation stand in them?"""
    tagged, expected = [], []
    for text, reference in zip(source, target, strict=True):
        for match in WORD.finditer(text):
            other = lexicon.get(match[0])
            if other and WORD.findall(reference).count(other) == 1:
                tagged.append(f"{text[: match.start()]}<b>{match[0]}</b>{text[match.end() :]}")
                expected.append(other)
                break
    answers = translator.translate(tagged)
    inside = [(re.search(r"<b>(.*?)</b>", answer) or ["", ""])[1] for answer in answers]
    exact = sum(one == other for one, other in zip(inside, expected, strict=True))
    near = sum(other in one.split() for one, other in zip(inside, expected, strict=True))
    return {"words tagged": len(tagged), "% exactly": round(100 * exact / len(tagged), 1),
            "% with other words": round(100 * near / len(tagged), 1)}  # fmt: skip


def several(translator: Translator, source: list[str], target: list[str]) -> dict[str, Any]:
    """BLEU of three captions in a line, read as one text and sentence by sentence."""
    groups = range(0, len(source) - 2, 3)
    texts = [" ".join(re.sub(r"\s*(?<![.!?])$", ".", text) for text in source[at : at + 3]) for at in groups]
    references = [" ".join(target[at : at + 3]) for at in groups]
    split = {"as one": "never", "sentence by sentence": "always", "as the translator chooses": "auto"}
    return {
        f"BLEU, {name}": round(
            BLEU(force=True).corpus_score(translator.translate(texts, split=how), [references]).score, 2  # type: ignore[arg-type]
        )
        for name, how in split.items()
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("HEEDFUL_DATA", ""))
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--runs", type=Path)
    arguments = parser.parse_args()
    if not arguments.data:
        sys.exit(
            "give --data DIR (or HEEDFUL_DATA): a folder with multi30k/, the raw files of multi30k/dataset, task 1"
        )
    torch.set_num_threads(1)
    runs = arguments.runs or Path(tempfile.mkdtemp())
    folder = Path(arguments.data, "multi30k")
    source, target = (lines(folder / f"test_2016_flickr.{side}") for side in ("en", "de"))
    lexicon = learn_lexicon(zip(*(lines(folder / f"train.{side}") for side in ("en", "de")), strict=True))
    figures: dict[str, Any] = {"data": "multi30k en-de", "steps": arguments.steps}
    for name, placeholders in (("with placeholders", 16), ("without", 0)):
        run = runs / name.replace(" ", "-")
        if not (run / "model").exists():
            train(run, arguments.data, arguments.steps, placeholders)
        journal = [json.loads(line) for line in lines(run / "journal.jsonl")]
        translator = load(run)
        figures[name] = {
            "dev loss": next(line["loss"] for line in reversed(journal) if line["kind"] == "validation"),
            "generated strings": strings(translator, arguments.count),
            "plain text": plain(translator, source, target),
            "a word in tags": tags(translator, source, target, lexicon),
            "three captions in a line": several(translator, source, target),
        }
        print(json.dumps({name: figures[name]}, indent=1), flush=True)
    print(write("placeholders", figures))


if __name__ == "__main__":
    main()
