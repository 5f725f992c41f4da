"""Words by number and their ids: the tokenizer's own, or drawn; unknown ones drawn as well."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heedful.config import Tokenizer as Settings
from heedful.data.spelled import END, START, Spelled, Words, open_spellings, save_spellings
from heedful.data.table import Table
from heedful.text.tokenizer import Tokenizer, train_tokenizer

TEXTS = ["the lowest cat sat, slowest", "a cat", "", "the newest and widest lowest cats 1996"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS * 20, size=330)


def spelled(tokenizer: Tokenizer, longest: int = 100, dropout: float = 0.0, sampling: float = 0.0) -> Spelled:
    words = Words(tokenizer)
    rows = [[words.number(START), *words.of(text), words.number(END)] for text in TEXTS]
    found = words.spellings(Settings(sampling=sampling, segmentations=8), 1)
    return Spelled(Table.of(("word",), {"word": rows}), found, tokenizer, longest, 1, dropout)


def test_without_sampling_the_ids_are_the_tokenizers(tokenizer: Tokenizer) -> None:
    found = spelled(tokenizer).rows(np.array([3, 0, 2]))
    wanted = [[tokenizer.start, *tokenizer.encode(TEXTS[n]), tokenizer.end] for n in (3, 0, 2)]
    assert np.split(found.ids, np.cumsum(found.lengths)[:-1])[0].tolist() == wanted[0]
    assert found.ids.tolist() == [token for row in wanted for token in row]
    assert found.lengths.tolist() == [len(row) for row in wanted]
    assert found.sizes.sum() == len(found.ids)


def test_sampling_draws_other_spellings_of_the_same_text(tokenizer: Tokenizer) -> None:
    rows, everything = spelled(tokenizer, sampling=0.5), np.arange(4)
    one, again, other = rows.rows(everything, 1), rows.rows(everything, 1), rows.rows(everything, 2)
    assert one.ids.tolist() == again.ids.tolist() != other.ids.tolist()
    assert [tokenizer.decode(row) for row in np.split(one.ids, np.cumsum(one.lengths)[:-1])] == TEXTS
    alone = rows.rows(np.array([3]), 1)
    assert alone.ids.tolist() == one.ids[-int(one.lengths[-1]) :].tolist()  # whatever else is in the batch
    assert rows.rows(everything).ids.tolist() == spelled(tokenizer).rows(everything).ids.tolist()


def test_a_row_that_would_get_too_long_is_spelt_as_ever(tokenizer: Tokenizer) -> None:
    own = spelled(tokenizer).rows(np.arange(4))
    rows = spelled(tokenizer, longest=int(own.lengths.max()), sampling=0.9)
    for epoch in range(5):
        assert rows.rows(np.arange(4), epoch).lengths.max() <= own.lengths.max()


def test_a_share_is_unknown_but_never_a_control(tokenizer: Tokenizer) -> None:
    rows = spelled(tokenizer, dropout=0.5)
    found, own = rows.rows(np.arange(4), 3), rows.rows(np.arange(4))
    hidden = found.ids != own.ids
    assert set(found.ids[hidden]) == {tokenizer.unknown}
    assert 0 < hidden.sum() < (own.ids > 3).sum()
    assert rows.rows(np.arange(4), 4).ids.tolist() != found.ids.tolist()
    assert (
        rows.rows(np.array([1, 0]), 3).ids[: found.lengths[1]].tolist()
        == found.ids[found.lengths[0] :][: found.lengths[1]].tolist()
    )


def test_spellings_are_kept(tokenizer: Tokenizer, tmp_path: Path) -> None:
    words = Words(tokenizer)
    words.of(TEXTS[3])
    found = words.spellings(Settings(sampling=0.3, segmentations=3), 1)
    save_spellings(tmp_path / "s.safetensors", found, "key")
    again = open_spellings(tmp_path / "s.safetensors")
    assert again.count == 3
    assert again.tokens.tolist() == found.tokens.tolist()
    assert again.offsets.tolist() == found.offsets.tolist()


def test_as_many_words_as_fit(tokenizer: Tokenizer) -> None:
    words = Words(tokenizer)
    row = words.of(TEXTS[0])
    sizes = [words.count([word]) for word in row]
    assert words.fitting(row, sum(sizes)) == row
    assert words.fitting(row, sum(sizes) - 1) == row[:-1]
    assert words.fitting(row, sizes[0] - 1) == []
    assert words.fitting([], 5) == []
