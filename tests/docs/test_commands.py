"""Every ```sh test block of the docs runs, in order, in a folder of the page's own with small files.

Each block is a new `bash -euo pipefail` in that folder and must end with 0. Output is compared only where a ```text
block follows; there `...` stands for anything, as in doctest. Two comments may stand before a block:

    <!-- test: setup corpus -->                       run a function of SETUPS first
    <!-- test: replace --for 60m => --steps 2 -->     what the reader is told => what is run here

All pages together should stay near two minutes of CPU time.
"""

from __future__ import annotations

import doctest
import itertools
import os
import random
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from . import files
from .pages import DOCS, Block, blocks, marked_pages

SECONDS = 300  # of a block, on a busy machine


def corpus(folder: Path) -> None:
    """train, dev and test in English and German: 300, 30 and 30 pairs, all different."""
    who = {"the dog": "der Hund", "the cat": "die Katze", "the child": "das Kind", "the man": "der Mann"}
    who |= {"the woman": "die Frau", "the bird": "der Vogel", "my brother": "mein Bruder", "my aunt": "meine Tante"}
    does = {"sees": "sieht", "finds": "findet", "takes": "nimmt", "brings": "bringt", "loses": "verliert"}
    what = {"a ball": "einen Ball", "a book": "ein Buch", "a lamp": "eine Lampe", "the key": "den Schlüssel"}
    what |= {"two shoes": "zwei Schuhe", "bread": "Brot", "the map": "die Karte", "an apple": "einen Apfel"}
    what |= {"three stones": "drei Steine", "the letter": "den Brief"}
    triples = itertools.product(who.items(), does.items(), what.items())
    pairs = [tuple(f"{' '.join(words)}.".capitalize() for words in zip(*triple, strict=True)) for triple in triples]
    random.Random(1).shuffle(pairs)
    for part, some in (("train", pairs[:300]), ("dev", pairs[300:330]), ("test", pairs[330:360])):
        for language, lines in zip(("en", "de"), zip(*some, strict=True), strict=True):
            (folder / f"{part}.{language}").write_text("".join(f"{line}\n" for line in lines), "utf-8")


SETUPS: dict[str, Callable[[Path], None]] = {
    "corpus": corpus,
    **{one.__name__: one for one in (files.story, files.reviews, files.entities, files.questions, files.pairs)},
    "pictures": files.pictures,
}


def command(block: Block, folder: Path) -> str:
    """What is run for a block, after its setups; ValueError for a comment that means nothing here."""
    source = block.source
    for directive in block.directives:
        kind, _, rest = directive.partition(" ")
        old, arrow, new = rest.partition(" => ")
        if kind == "setup" and rest in SETUPS:
            SETUPS[rest](folder)
        elif kind == "replace" and arrow and old in source:
            source = source.replace(old, new)
        else:
            raise ValueError(f"line {block.line}: <!-- test: {directive} -->: no such setup, or nothing to replace")
    return source


def run_commands(page: str, name: str, folder: Path) -> None:
    """Run a page's blocks; AssertionError at the first that fails or prints something else."""
    known = {key: value for key, value in os.environ.items() if key != "HEEDFUL_DATA"}
    path = os.pathsep.join([sysconfig.get_path("scripts"), known.get("PATH", "")])
    source = os.pathsep.join([str(DOCS.parent / "src"), known.get("PYTHONPATH", "")])
    environment = {**known, "PATH": path, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"}
    for block in blocks(page, "sh"):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command(block, folder)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
        )
        told = f"{name}:{block.line}\n{done.stdout}{done.stderr}"
        assert done.returncode == 0, told
        if block.expected is not None:
            assert doctest.OutputChecker().check_output(block.expected, done.stdout, doctest.ELLIPSIS), told


@pytest.mark.parametrize("page", marked_pages("sh"), ids=lambda page: page.name)
def test_the_commands_of_a_page_work(page: Path, tmp_path: Path) -> None:
    run_commands(page.read_text("utf-8"), page.name, tmp_path)


GOOD = """# A page

<!-- test: setup corpus -->

```sh test
wc -l < train.en
paste test.en test.de | head -1
```

```text
300
The ...<TAB>D...
```

Then train for an hour:

<!-- test: replace --for 60m => --steps 2 --processes 1 --set tokenizer.size=400 -->

```sh test
heedful train translate --source train.en --target train.de --dev-source dev.en --dev-target dev.de --out run --for 60m
heedful translate -m run test.en --output test.out
wc -l < test.out
```

```text
30
```
""".replace("<TAB>", "\t")


def test_a_page_trains_and_translates(tmp_path: Path) -> None:
    run_commands(GOOD, "page", tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("300\n", "301\n", "page:6"),
        ("wc -l", "wc --misspelt", "page:6"),
        ("wc -l", "cat absent | wc -l", "absent"),  # the end of a pipe does not hide its beginning
        ("wc -l", "false; wc -l", "page:6"),
    ],
)
def test_a_page_that_says_something_else_fails(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        run_commands(GOOD.replace(old, new, 1), "page", tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [("setup corpus", "setup corpse"), ("replace --for 60m", "replace --for 6m"), ("setup", "set up"), (" => ", " ")],
)
def test_a_comment_that_means_nothing_is_refused(tmp_path: Path, old: str, new: str) -> None:
    found = blocks(GOOD.replace(old, new), "sh")
    with pytest.raises(ValueError, match="no such setup, or nothing to replace"):
        [command(block, tmp_path) for block in found]


def test_the_corpus_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        corpus(tmp_path / name)
    files = sorted((tmp_path / "a").iterdir())
    assert [file.name for file in files] == ["dev.de", "dev.en", "test.de", "test.en", "train.de", "train.en"]
    assert all(file.read_bytes() == (tmp_path / "b" / file.name).read_bytes() for file in files)
    english = "".join((tmp_path / "a" / f"{part}.en").read_text("utf-8") for part in ("train", "dev", "test"))
    assert len(set(english.split("\n"))) == 361  # and the empty piece after the last line
