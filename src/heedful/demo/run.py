"""The two minutes of `heedful demo`: make phrases, train on them, translate phrases never seen, write a page.

Training is the command `heedful train translate` over a recipe and files that stay in the folder, to be looked at and
run again by hand. Sizes and rates below were chosen on the development split; the test split is only scored.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import Data, Decoding, Recipe, Tokenizer, Training, write_toml
from ..errors import UserError
from ..train.distributed import cores
from .corpus import KINDS, TARGETS, Example, combinations, examples, names
from .draw import Split

if TYPE_CHECKING:
    from ..tasks.translate import Translator

SECONDS = 114.0  # for everything
STARTING = 4.5  # of them, until a training process counts its own time
ENDING = 8.0  # and for translating and the page
LEAST = 5.0  # training
PHRASES = 60_000
DEV_PHRASES = 540
PER_KIND = 40  # scored phrases of each kind and language


@dataclass(frozen=True)
class Scored:
    """A held-out phrase and what the model made of it."""

    example: Example
    hypothesis: str

    @property
    def exact(self) -> bool:
        return self.hypothesis == self.example.target


def run_demo(
    out: Path,
    seed: int = 1,
    seconds: float = SECONDS,
    phrases: int = PHRASES,
    per_kind: int = PER_KIND,
) -> Path:
    """Do all of it in a new folder (`out`, or `out-2` and so on where there is something already); returns the page.

    `seconds` bounds the wall time of everything. UserError without Babel, or where the folder cannot be written.
    """
    from rich.console import Console

    began = time.monotonic()
    console = Console(highlight=False)
    folder = _fresh(out)
    console.print(f"[bold]heedful demo[/] in {folder}: English into German, French and Spanish, one model")
    recipe_file = write_data(folder, seed, phrases, limit=seconds - STARTING - ENDING)
    total = sum(combinations().values())
    console.print(
        f"made {phrases:,} phrases of {len(KINDS)} kinds, of {total:,} that {sum(map(len, names().values()))} names,"
        f" numbers, days and times allow ({time.monotonic() - began:.1f} s)"
    )
    limit = max(LEAST, seconds - (time.monotonic() - began) - STARTING - ENDING)
    began_training = time.monotonic()
    train(recipe_file, folder / "run", limit)
    trained = time.monotonic() - began_training
    from ..tasks.translate import load
    from .report import print_table, write_page  # these and torch are not needed any earlier

    translator = load(folder / "run")
    test = held_out(seed, per_kind)
    scored = translate(translator, test)
    print_table(console, scored)
    page = write_page(folder, translator, scored, trained, began)
    console.print(f"{len(scored):,} held-out phrases scored; {time.monotonic() - began:.0f} s in all")
    console.print(f"page: [bold]{page}[/]", soft_wrap=True)
    return page


def write_data(folder: Path, seed: int, phrases: int, limit: float) -> Path:
    """Training and development phrases as TSV, a file a language, and the recipe; returns the recipe's path."""
    splits: dict[Split, list[Example]] = {
        "train": examples(seed, phrases, "train"),
        "dev": examples(seed, DEV_PHRASES, "dev"),
    }
    try:
        (folder / "data").mkdir(parents=True)
        for split, some in splits.items():
            for target in TARGETS:
                lines = [f"{one.source}\t{one.target}\n" for one in some if one.target_language == target]
                _file(folder, split, target).write_bytes("".join(lines).encode())
        path = folder / "recipe.toml"
        path.write_bytes(write_toml(recipe(folder, seed, limit)).encode())
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}; choose another with --out") from None
    return path


def recipe(folder: Path, seed: int, limit: float) -> Recipe:
    """What the demo trains: a small pre-norm Transformer with rotary positions, digit by digit."""
    processes = min(2, cores())
    return Recipe(
        seed=seed,
        data=Data(
            pairs=tuple(str(_file(folder, "train", target)) for target in TARGETS),
            dev_pairs=tuple(str(_file(folder, "dev", target)) for target in TARGETS),
            tags=TARGETS,
        ),
        # A vocabulary that holds nearly every word whole: a name is then learned as one thing.
        tokenizer=Tokenizer(kind="bpe", size=2600, cut="digits"),
        model={
            "preset": "transformer-tiny",
            "positions": "rotary",
            "place": "pre",
            "feedforward": 128,
            "dropout": 0.0,
        },
        training=Training(
            limit=f"{limit:.1f}s",
            # Many small steps learn this faster than fewer large ones: with 512 tokens a step 96 % were exact after the
            # time in which 1,024 tokens a step led to 84 %.
            batch_tokens=512 // processes,
            rate=3e-3,
            schedule="cosine",
            warmup=150,
            label_smoothing=0.0,
            precision="auto",
            processes=processes,
            validate_every=400,
            save_every=10_000,
            keep=1,
        ),
        decoding=Decoding(beam=1, protect=False),  # its phrases are made of what changes with the language
    )


def train(recipe_file: Path, run: Path, limit: float) -> None:
    """`heedful train translate` as a process of its own, which shares the terminal; UserError if it ends badly."""
    command = [sys.executable, "-m", "heedful.cli", "train", "translate", "--recipe", str(recipe_file)]
    command += ["--out", str(run), "--for", f"{limit:.1f}s"]
    process = subprocess.Popen(command)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.wait()  # the same Ctrl-C has reached it: it saves and ends
        raise
    if code in (130, 143):
        raise KeyboardInterrupt
    if code:
        raise UserError(f"training ended with exit code {code}; what it said is above")


def held_out(seed: int, per_kind: int) -> list[Example]:
    """Test phrases, all different: `per_kind` of each kind in each language, none with a value seen in training."""
    wanted = per_kind * len(KINDS) * len(TARGETS)
    chosen: dict[tuple[str, str], dict[str, Example]] = {(kind, target): {} for kind in KINDS for target in TARGETS}
    for one in examples(seed, 4 * wanted + 200, "test"):
        group = chosen[one.kind, one.target_language]
        if len(group) < per_kind:
            group.setdefault(one.source, one)
    found = [one for group in chosen.values() for one in group.values()]
    assert len(found) == wanted, "the test split has too few phrases of a kind"
    return found


def translate(translator: Translator, some: Iterable[Example]) -> list[Scored]:
    """Every phrase with its translation, in order of language."""
    scored = []
    every = list(some)
    for target in TARGETS:
        mine = [one for one in every if one.target_language == target]
        hypotheses = translator.translate([one.source for one in mine], tag=target)
        scored += [Scored(one, hypothesis) for one, hypothesis in zip(mine, hypotheses, strict=True)]
    return scored


def _file(folder: Path, split: Split, target: str) -> Path:
    return (folder / "data" / f"{split}.en-{target}.tsv").absolute()


def _fresh(out: Path) -> Path:
    """`out`, or the first of out-2, out-3, ... that is not there or empty: nothing is overwritten."""
    number, folder = 1, out
    while folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        number += 1
        folder = out.with_name(f"{out.name}-{number}")
    return folder
