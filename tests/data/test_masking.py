"""What is hidden: the right share, whole words, at least one a row, never a control token; always the same."""

from __future__ import annotations

import numpy as np
import pytest

from heedful.data.masking import MOST_PIECES, Masking
from heedful.text.pipeline import MASK, Cut
from heedful.text.tokenizer import Kind, Tokenizer, train_tokenizer

TEXT = "the cat's 12 boats, seaworthy: they sat by the unfathomable harbour"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer([TEXT] * 3, "bpe", size=360, tags=(MASK,))


def rows(tokenizer: Tokenizer, count: int) -> tuple[np.ndarray, np.ndarray]:
    ids = [tokenizer.start, *tokenizer.encode(TEXT), tokenizer.end]
    return np.array(ids * count), np.full(count, len(ids))


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("share", [0.15, 0.5])
def test_shares_are_those_of_the_paper(tokenizer: Tokenizer, whole: bool, share: float) -> None:
    ids, lengths = rows(tokenizer, 3000)
    hidden = Masking(tokenizer, share, whole, seed=1).hide(ids, lengths, np.arange(3000), epoch=0)
    texts = int((ids > 2).sum())
    assert len(hidden.places) / texts == pytest.approx(share, rel=0.05)
    shown = hidden.ids[hidden.places]
    assert (shown == tokenizer.tag(MASK)).mean() == pytest.approx(0.8, abs=0.01)
    assert (shown == hidden.wanted).mean() == pytest.approx(0.1, abs=0.01)
    others = shown[(shown != tokenizer.tag(MASK)) & (shown != hidden.wanted)]
    assert all(map(tokenizer.is_text, np.unique(others).tolist()))
    assert len(np.unique(others)) > 0.8 * (tokenizer.vocab_size - 5)  # any of them
    assert (hidden.wanted == ids[hidden.places]).all()
    assert (hidden.wanted > 2).all(), "a control token was hidden"
    untouched = np.setdiff1d(np.arange(len(ids)), hidden.places)
    assert (hidden.ids[untouched] == ids[untouched]).all()


def test_a_function_of_seed_epoch_and_example(tokenizer: Tokenizer) -> None:
    ids, lengths = rows(tokenizer, 4)
    masking = Masking(tokenizer, 0.15, seed=1)
    whole = masking.hide(ids, lengths, np.array([7, 8, 9, 10]), epoch=3)
    alone = masking.hide(ids[: lengths[0]], lengths[:1], np.array([9]), epoch=3)
    third = slice(2 * lengths[0], 3 * lengths[0])
    assert whole.ids[third].tolist() == alone.ids.tolist()
    for other in (
        masking.hide(ids, lengths, np.array([7, 8, 9, 10]), epoch=4),
        Masking(tokenizer, 0.15, seed=2).hide(ids, lengths, np.array([7, 8, 9, 10]), epoch=3),
    ):
        assert other.places.tolist() != whole.places.tolist()


def test_at_least_one_in_each_row_that_has_text(tokenizer: Tokenizer) -> None:
    word = tokenizer.encode("the")
    row = [tokenizer.start, *word, tokenizer.end]
    ids = np.array(row * 200 + [tokenizer.start, tokenizer.end])
    lengths = np.array([len(row)] * 200 + [2])
    hidden = Masking(tokenizer, 0.0).hide(ids, lengths, np.arange(201), epoch=0)
    assert len(hidden.places) == 200 * len(word)


@pytest.mark.parametrize("cut", ["classes", "digits", "spaces"])
def test_words_are_those_of_the_tokenizer(cut: Cut) -> None:
    """A full stop after a word is a part of it where only white space cuts; a digit a word where digits stand alone."""
    tokenizer = train_tokenizer([TEXT] * 3, "bpe", size=360, cut=cut, tags=(MASK,))
    ids, lengths = rows(tokenizer, 1)
    begins = np.flatnonzero(Masking(tokenizer, 0.15).begins(ids, lengths))
    found = [tokenizer.decode(part) for part in np.split(ids, begins)[1:]]
    expected = [part.strip("▁") for part in tokenizer.words(TEXT) if part != "▁"]
    assert [word for word in found if word] == expected
    hidden = Masking(tokenizer, 0.3).hide(np.tile(ids, 50), np.tile(lengths, 50), np.arange(50), epoch=0)
    ends = np.append(begins[1:], len(ids))
    chosen = np.zeros(50 * len(ids), bool)
    chosen[hidden.places] = True
    for row in chosen.reshape(50, -1):
        assert all(len(set(row[first:end])) == 1 for first, end in zip(begins, ends, strict=True))


def test_long_runs_are_hidden_token_by_token() -> None:
    text = "猫が座ったそして犬も座ったのでみんな座った"
    tokenizer = train_tokenizer([text], "characters", size=320, tags=(MASK,))
    ids = np.array(tokenizer.encode(text))
    assert len(ids) > MOST_PIECES
    assert Masking(tokenizer, 0.15).begins(ids, np.array([len(ids)])).all()


@pytest.mark.parametrize("kind", ["bpe", "unigram", "bytes", "characters"])
def test_every_kind_of_tokenizer(kind: Kind) -> None:
    tokenizer = train_tokenizer([TEXT], kind, size=400, tags=(MASK,))
    ids, lengths = rows(tokenizer, 20)
    hidden = Masking(tokenizer, 0.15).hide(ids, lengths, np.arange(20), epoch=0)
    assert len(hidden.places) >= 20
