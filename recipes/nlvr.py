"""NLVR's archives (Suhr et al. 2017) as statements about pictures: picture, statement, label.

    python recipes/nlvr.py nlvr/train.tar nlvr/dev.tar OUT

Each archive has a .json with a statement a line, its identifier and its label, and six pictures of each in images/:
the same three boxes in every order. The first archive becomes OUT/train.jsonl, the second OUT/dev.jsonl; of the first
those statements are left out that are in the second, too. Pictures go to OUT/pictures.
"""

from __future__ import annotations

import json
import re
import sys
import tarfile
from pathlib import Path, PurePosixPath

PICTURE = re.compile(r".+-(\d+-\d+)-\d+\.png")


def unpack(archive: Path, pictures: Path) -> list[dict[str, str]]:
    """A row for each picture with its statement; the pictures are written to a folder."""
    pictures.mkdir(parents=True, exist_ok=True)
    names: dict[str, list[str]] = {}
    statements: list[dict[str, str]] = []
    with tarfile.open(archive) as tar:
        for member in tar:
            name, file = PurePosixPath(member.name).name, tar.extractfile(member)
            if file is None:
                continue
            if found := PICTURE.fullmatch(name):
                (pictures / name).write_bytes(file.read())
                names.setdefault(found[1], []).append(name)
            elif name.endswith(".json"):
                statements += [json.loads(line) for line in file.read().decode().split("\n") if line.strip()]
    return [
        {"picture": f"{pictures.name}/{name}", "statement": one["sentence"], "label": one["label"]}
        for one in statements
        for name in sorted(names.get(one["identifier"], []))
    ]


def same(statement: str) -> str:
    """What two statements have in common that differ in case, white space and the full stop only."""
    return " ".join(statement.lower().rstrip(" .").split())


def main(train: Path, dev: Path, out: Path) -> None:
    learned, held = (unpack(archive, out / "pictures") for archive in (train, dev))
    there = {same(row["statement"]) for row in held}
    kept = [row for row in learned if same(row["statement"]) not in there]
    for name, rows in (("train", kept), ("dev", held)):
        (out / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        true = sum(row["label"] == "true" for row in rows) / len(rows)
        different = len({row["statement"] for row in rows})
        print(f"{name}: {len(rows):,} pictures with {different:,} statements, {true:.1%} true")
    print(f"left out of training: {len(learned) - len(kept):,} pictures, whose statements are in {dev.name}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
