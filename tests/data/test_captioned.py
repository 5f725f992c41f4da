"""Pairs of pictures and captions: reading, holding out, hiding tokens and regions, negatives that share a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heedful.config import parse_recipe
from heedful.data.captioned import Part, Sharing, covered, overlap, read_captioned, split_captioned
from heedful.data.patches import boxes_of
from heedful.data.table import Table
from heedful.errors import UserError
from heedful.text.tokenizer import Tokenizer, train_tokenizer

MASK = 4


def test_reading_pairs(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("picture\tcaption\na.png\ta red heart\na.png\tein Herz\n", "utf-8")
    (tmp_path / "b.jsonl").write_text('{"picture": "b.png", "caption": "x", "group": 3}\n', "utf-8")
    first, second = read_captioned(tmp_path / "a.tsv")
    assert (first.picture.name, first.caption, first.group) == ("a.png", "a red heart", "a.png")
    assert second.picture.where == f"{tmp_path}/a.tsv:3"
    assert read_captioned(tmp_path / "b.jsonl")[0].group == "3"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("picture\tcaption\na.png\t \n", r"a.tsv:2: the caption is ' '"),
        ("picture\tcaption\n\tx\n", r"a.tsv:2: the picture is ''"),
        ("picture\tcaption\na.png\n", r"a.tsv:2: 1 columns"),
        ("picture\tcaption\n", "no pairs"),
        ("", "no pairs"),
    ],
)
def test_what_is_no_pair(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "a.tsv").write_text(content, "utf-8")
    with pytest.raises(UserError, match=words):
        read_captioned(tmp_path / "a.tsv")


def test_whole_groups_are_held_out(tmp_path: Path) -> None:
    lines = [f"{number % 20}.png\tcaption {number}" for number in range(100)]
    (tmp_path / "a.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    recipe = parse_recipe({"task": "match"}, [f'data.train=["{tmp_path}/a.tsv"]', "data.dev_share=0.3"])
    train, (dev,) = split_captioned(recipe)
    assert len(train) + len(dev) == 100
    assert dev
    assert not {pair.group for pair in train} & {pair.group for pair in dev}


def tokenizer() -> Tokenizer:
    return train_tokenizer(["a caption"], "characters", size=300)


def captions(count: int = 400, length: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    ids = rng.integers(10, 50, (count, length))
    ids[:, 0], ids[:, -1] = 1, 2
    return ids.reshape(-1), np.full(count, length), np.arange(count)


def test_covered_regions() -> None:
    """Of the chosen 90 % are zeroed, and never the row of the whole picture (Lu et al. 2019, 3.2)."""
    boxes, count = np.tile(boxes_of((32, 32), 4), (50, 1)), 50
    chosen, gone = covered(np.full(count, 65), boxes, np.arange(count), 0.15, 1, 2)
    assert chosen.reshape(count, 65)[:, 1:].mean() == pytest.approx(0.15, abs=0.02)
    assert gone[chosen].mean() == pytest.approx(0.9, abs=0.04)
    assert not gone[~chosen].any()
    assert not (chosen | gone).reshape(count, 65)[:, 0].any()


def test_what_overlaps_a_hidden_region_is_hidden_too() -> None:
    """The official code computes this and forgets to zero it (its defect 5 in our list): the answer shows through."""
    boxes = np.array([[0, 0, 1, 1, 1], [0, 0, 0.5, 0.5, 0.25], [0, 0, 0.5, 0.45, 0.2], [0.6, 0, 1, 1, 0.4]], np.float32)
    examples = np.arange(300)
    found = covered(np.full(300, 4), np.tile(boxes, (300, 1)), examples, 0.2, 1, 2)
    chosen, gone = (part.reshape(300, 4) for part in found)
    assert (gone[:, 1] == gone[:, 2]).all()
    assert (gone[:, 2] & ~chosen[:, 2]).any()
    assert not (gone[:, 3] & ~chosen[:, 3]).any()
    assert overlap(boxes[1:2], boxes[2:3])[0, 0] == pytest.approx(0.9, abs=1e-6)
    assert overlap(boxes[1:2] * 0, boxes[1:2] * 0)[0, 0] == 0


def test_captions_have_their_ends() -> None:
    rows = [[10, 11], [12], [13, 14, 15]]
    table = Table.of(("caption",), {"caption": rows, "picture": [[0]] * 3, "group": [[0]] * 3, "pool": [[1], [0], [0]]})
    ids, lengths = Part(table, 0, tokenizer()).captions(np.array([1, 0, 0]))
    assert ids.tolist() == [1, 13, 14, 15, 2, 1, 12, 2, 1, 12, 2]
    assert lengths.tolist() == [5, 3, 3]


def test_negatives_that_share_a_word() -> None:
    rows = [[10, 11], [11, 12], [13, 11], [14], [10, 15]]
    table = Table.of(("caption",), {"caption": rows, "picture": [[0]] * 5, "group": [[0]] * 5, "pool": [[0]] * 5})
    sharing = Sharing(Part(table, 0, tokenizer()))
    found = np.stack([sharing.drawn(np.arange(5), 1, epoch, 0) for epoch in range(60)])
    assert set(found[:, 0]) == {0, 1, 2, 4}  # itself too: whoever takes it looks at the groups
    assert set(found[:, 1]) == {0, 1, 2}
    assert set(found[:, 3]) == {-1}
    assert (sharing.drawn(np.array([1]), 1, 5, 0) == found[5, 1]).all()
