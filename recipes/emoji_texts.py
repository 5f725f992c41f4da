"""Pair files for `heedful train embed` from emoji names and keywords (Unicode CLDR; data named emoji/*.json).

python recipes/emoji_texts.py [--data DIR, or HEEDFUL_DATA] [--out emoji-texts] [--languages en,de,fr,es]

An emoji's name in one language goes with its keywords in another. train.tsv has all pairs of languages; dev.tsv has
each held-out emoji once, the languages in turn; dev.en-de.tsv and the like have all held-out emoji in two languages.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

Row = tuple[str, str, str]


def row(emoji: dict[str, Any], named: str, described: str) -> Row | None:
    """Name, keywords and which emoji it is; None where there is not both in these languages."""
    name, words = emoji["name"].get(named), emoji["keywords"].get(described)
    return (name, ", ".join(words), emoji["unified"]) if name and words else None


def write(path: Path, rows: Iterable[Row | None]) -> None:
    """A TSV file with a header."""
    there = [one for one in rows if one is not None]
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("first\tsecond\tgroup\n")
        file.writelines("\t".join(" ".join(value.split()) for value in one) + "\n" for one in there)
    print(f"{path}: {len(there):,} pairs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("HEEDFUL_DATA", ""))
    parser.add_argument("--out", type=Path, default=Path("emoji-texts"))
    parser.add_argument("--languages", default="en,de,fr,es")
    given = parser.parse_args()
    ways = list(product(given.languages.split(","), repeat=2))
    try:
        train, dev = (json.loads(Path(given.data, "emoji", f"{name}.json").read_bytes()) for name in ("train", "dev"))
    except (OSError, ValueError) as error:
        sys.exit(f"{error}; give --data DIR (or HEEDFUL_DATA): a folder with emoji/train.json and emoji/dev.json")
    given.out.mkdir(parents=True, exist_ok=True)
    write(given.out / "train.tsv", (row(emoji, *way) for emoji in train for way in ways))
    write(given.out / "dev.tsv", (row(emoji, *ways[number % len(ways)]) for number, emoji in enumerate(dev)))
    for way in ways:
        write(given.out / f"dev.{'-'.join(way)}.tsv", (row(emoji, *way) for emoji in dev))


if __name__ == "__main__":
    main()
