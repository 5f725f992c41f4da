"""Pairs of pictures and captions for recipes/emoji.toml: python recipes/emoji.py [FOLDER], with HEEDFUL_DATA set.

Writes FOLDER/train.tsv (every emoji with its name and its keywords in each language), FOLDER/names.en.tsv (only their
English names) and, for each language, FOLDER/dev.LANGUAGE.tsv with the names of the emoji that are in no training pair,
nor another form of one that is.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

LANGUAGES = ("en", "de", "fr", "es")


def clean(text: str) -> str:
    return " ".join(text.split())


def main() -> None:
    data, out = (
        Path(os.environ.get("HEEDFUL_DATA", "")).absolute() / "emoji",
        Path((sys.argv[1:] or ["emoji-pairs"])[0]),
    )
    if not (data / "train.json").exists():
        sys.exit("set HEEDFUL_DATA to a folder with emoji/: train.json, dev.json and their .images.npz")
    out.mkdir(parents=True, exist_ok=True)
    header, by_language = "picture\tcaption", {}
    lines, names = [header], [header]
    for number, one in enumerate(json.loads((data / "train.json").read_text("utf-8"))):
        names.append(f"{data / 'train.images.npz'}#{number}\t{clean(one['name']['en'])}")
        for language in LANGUAGES:
            name = one["name"].get(language, "")
            words = ", ".join(clean(word) for word in one["keywords"].get(language, []))
            for caption in dict.fromkeys(text for text in (clean(name), words) if text):
                lines.append(f"{data / 'train.images.npz'}#{number}\t{caption}")
    (out / "train.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    (out / "names.en.tsv").write_text("\n".join(names) + "\n", "utf-8")
    print(f"{out / 'train.tsv'}: {len(lines) - 1:,} pairs")
    for number, one in enumerate(json.loads((data / "dev.json").read_text("utf-8"))):
        for language in LANGUAGES:
            line = f"{data / 'dev.images.npz'}#{number}\t{clean(one['name'][language])}"
            by_language.setdefault(language, [header]).append(line)
    for language, lines in by_language.items():
        (out / f"dev.{language}.tsv").write_text("\n".join(lines) + "\n", "utf-8")
        print(f"{out}/dev.{language}.tsv: {len(lines) - 1} pairs")


if __name__ == "__main__":
    main()
