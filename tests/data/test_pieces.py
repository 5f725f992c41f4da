"""Long documents in pieces: every prediction once an epoch, the same whenever asked, no piece over two documents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heedful.data.batches import Batches
from heedful.data.pieces import Pieces
from heedful.data.shards import build_shards
from heedful.text.tokenizer import Tokenizer, train_tokenizer

TEXTS = ["abc def\n" * count for count in (1, 7, 40, 2, 300)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(["abc def\n"], "characters", size=300, prose=True)


@pytest.fixture
def pieces(tokenizer: Tokenizer, tmp_path: Path) -> Pieces:
    shards = build_shards(tmp_path / "s", [(text,) for text in TEXTS], {"text": tokenizer}, longest=10**9)
    return Pieces(shards, tokenizer, context=50, seed=3)


@pytest.mark.parametrize("epoch", [None, 0, 1, 2])
def test_every_prediction_comes_once(pieces: Pieces, tokenizer: Tokenizer, epoch: int | None) -> None:
    numbers = np.arange(len(pieces.cut(epoch).document))
    read, said, lengths = pieces.rows(numbers, epoch)
    assert lengths.min() >= 1
    assert lengths.max() <= 50
    expected_read, expected_said = [], []
    for text in TEXTS:
        ids = tokenizer.encode(text)
        expected_read += [tokenizer.start, *ids]
        expected_said += [*ids, tokenizer.end]
    assert (read.tolist(), said.tolist()) == (expected_read, expected_said)
    assert pieces.predictions == len(read)
    assert sum(lengths == 50) >= sum(lengths < 50) - len(TEXTS)


def test_an_epoch_cuts_elsewhere_and_alike(pieces: Pieces) -> None:
    first = [pieces.cut(epoch).first.tolist() for epoch in (0, 1, 0)]
    assert first[0] == first[2] != first[1]


def test_batches_of_pieces(pieces: Pieces) -> None:
    batches = Batches(pieces, 200, seed=1, drawn=pieces.drawn)
    for epoch in (0, 1):
        made = batches.epoch(epoch)
        assert sorted(np.concatenate(made).tolist()) == pieces.drawn(epoch).tolist()
        assert max(pieces.rows(batch, epoch)[2].sum() for batch in made) == 200


def test_prose_is_read_line_by_line(tokenizer: Tokenizer, tmp_path: Path) -> None:
    text = "ab\n\n  c d\nх \x10▁<0x41> e"
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert ids == [token for line in ("ab\n", "\n", "  c d\n", "х \x10▁<0x41> e") for token in tokenizer.encode(line)]
    assert tokenizer.encode("") == []
    tokenizer.save(tmp_path / "t.json")
    again = Tokenizer.load(tmp_path / "t.json")
    assert again.prose
    assert again.encode(text) == ids
    assert not train_tokenizer(["ab"], "bpe", size=300).prose
