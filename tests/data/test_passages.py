"""Documents as rows: every token once an epoch; pairs of passages of which half follow one another."""

from __future__ import annotations

import numpy as np
import pytest

from heedful.data.batches import Batches
from heedful.data.passages import Encoded, Passages
from heedful.text.tokenizer import Tokenizer, train_tokenizer

WORDS = ["abc", "def", "ghi", "jkl"]
TEXTS = [" ".join(WORDS[(number + place) % 4] for place in range(number)) for number in (1, 3, 9, 40, 2, 100, 5)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS, "bpe", size=300)


def split(rows: object, values: str = "ids") -> list[list[int]]:
    return [row.tolist() for row in np.split(getattr(rows, values), np.cumsum(rows.lengths)[:-1])]  # type: ignore[attr-defined]


@pytest.mark.parametrize("epoch", [None, 0, 1])
def test_every_token_comes_once(tokenizer: Tokenizer, epoch: int | None) -> None:
    passages = Passages(Encoded(tokenizer, [*TEXTS, ""]), tokenizer, longest=12, seed=3)
    numbers = np.arange(len(passages)) if epoch is None else passages.drawn(epoch)
    rows = passages.rows(numbers, epoch)
    assert rows.lengths.max() <= 12
    assert (passages.lengths("text", epoch) + 1).tolist() == rows.lengths.tolist()
    found = split(rows)
    assert all((row[0], row[-1]) == (tokenizer.start, tokenizer.end) for row in found)
    said = [token for row in found for token in row[1:-1]]
    assert said == [token for text in TEXTS for token in tokenizer.encode(text)]
    assert not rows.segments.any()
    assert (rows.follows == -1).all()


def test_long_documents_are_cut_elsewhere_in_each_epoch(tokenizer: Tokenizer) -> None:
    passages = Passages(Encoded(tokenizer, TEXTS), tokenizer, longest=12, seed=3)
    cuts = [passages.rows(passages.drawn(epoch), epoch).lengths.tolist() for epoch in (0, 1, 0)]
    assert cuts[0] == cuts[2] != cuts[1]


@pytest.mark.parametrize("between", [1, 2])
@pytest.mark.parametrize("epoch", [None, 0, 5])
def test_pairs_of_passages(epoch: int | None, between: int) -> None:
    tokenizer = train_tokenizer(TEXTS, "bpe", size=300)
    tokenizer.between = between
    texts = [" ".join(WORDS[(number * place) % 4] for place in range(2 + number % 30)) for number in range(400)]
    passages = Passages(Encoded(tokenizer, [*texts, "abc"]), tokenizer, longest=16, seed=3, parting=True)
    numbers = np.arange(len(passages)) if epoch is None else passages.drawn(epoch)
    rows = passages.rows(numbers, epoch)
    assert rows.lengths.max() <= 16
    assert (passages.lengths("text", epoch) + 1).tolist() == rows.lengths.tolist()
    encoded = [tokenizer.encode(text) for text in texts]
    inside = {
        tuple(ids[first:end]) for ids in encoded for first in range(len(ids)) for end in range(first, len(ids) + 1)
    }
    for ids, segments, follows in zip(split(rows), split(rows, "segments"), rows.follows.tolist(), strict=True):
        parts = [[one for one, side in zip(ids, segments, strict=True) if side == which] for which in (0, 1)]
        assert (parts[0][0], parts[0][-1]) == (tokenizer.start, tokenizer.end)
        if follows == -1:
            assert not parts[1]
            continue
        assert ids.count(tokenizer.end) == 1 + between
        parts[0] = parts[0][: len(parts[0]) + 1 - between]
        assert parts[1][-1] == tokenizer.end
        assert tokenizer.begins_word(parts[1][0])
        assert tuple(parts[0][1:-1]) in inside
        if follows == 0:
            assert tuple(parts[0][1:-1] + parts[1][:-1]) in inside
    assert (rows.follows == 1).mean() == pytest.approx(0.5, abs=0.07)
    assert (rows.follows == -1).mean() < 0.1


def test_they_make_batches(tokenizer: Tokenizer) -> None:
    passages = Passages(Encoded(tokenizer, TEXTS * 20), tokenizer, longest=16, seed=3, parting=True)
    batches = Batches(passages, 64, seed=1, drawn=passages.drawn).epoch(2)
    assert sorted(np.concatenate(batches).tolist()) == passages.drawn(2).tolist()
    assert max(passages.rows(batch, 2).lengths.sum() for batch in batches) <= 64
