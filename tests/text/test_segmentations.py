"""Sampling: repeatable, true to the text, as frequent as asked; the counters behind it are uniform."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.text.draws import below, draws
from heedful.text.ragged import offsets, spans, sums
from heedful.text.segmentations import Sampler, Segmentations
from heedful.text.tokenizer import Tokenizer, train_tokenizer

LINES = [
    "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.",
    "Mehrere Männer mit Schutzhelmen bedienen ein Antriebsradsystem.",
    "Ein kleines Mädchen klettert in ein Spielhaus aus Holz.",
] * 9
KINDS = ["bpe", "unigram", "bytes"]


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request) -> Tokenizer:
    return train_tokenizer(LINES, request.param, 420)


@pytest.fixture(scope="module")
def words(tokenizer) -> list[str]:
    unknown = "漢字 \U0001f600 <0x41> \x10 ▁ 2024 " + "x" * 200
    return sorted({word for line in [*LINES, unknown] for word in tokenizer.words(line)})


def spelt(tokenizer: Tokenizer, ids: list[int]) -> bytes:
    """What ids stand for, as bytes: the pieces' text, byte tokens as what they are."""
    pieces = tokenizer.pieces(ids)
    return b"".join(
        bytes([int(p[3:5], 16)]) if p.startswith("<0x") and len(p) == 6 and p.endswith(">") else p.encode()
        for p in pieces
    )


def test_without_dropout_the_tokenizer_itself(tokenizer, words):
    drawn = Segmentations.build(tokenizer, words, count=3, probability=0.0, seed=1)
    for number, own in enumerate(tokenizer.encode_words(words)):
        assert [drawn.segmentation(number, k) for k in range(4)] == [own] * 4


@pytest.mark.parametrize("probability", [0.1, 0.6, 0.99])
def test_every_segmentation_spells_its_word(tokenizer, words, probability):
    drawn = Segmentations.build(tokenizer, words, count=8, probability=probability, seed=1)
    assert len(drawn.offsets) == len(words) * 9 + 1
    assert drawn.offsets[-1] == len(drawn.tokens)
    for number, word in enumerate(words):
        for k in range(9):
            assert spelt(tokenizer, drawn.segmentation(number, k)) == word.encode()


def test_a_draw_depends_on_seed_and_word_only(tokenizer, words):
    whole = Segmentations.build(tokenizer, words, count=6, probability=0.4, seed=5)
    again = Segmentations.build(tokenizer, words, count=6, probability=0.4, seed=5)
    assert np.array_equal(whole.tokens, again.tokens)
    sampler = Sampler(tokenizer, 6, 0.4, 5)
    for number in (0, len(words) // 2, len(words) - 1):
        alone = sampler.sample([words[number]])
        assert [alone.segmentation(0, k) for k in range(7)] == [whole.segmentation(number, k) for k in range(7)]
    other = Segmentations.build(tokenizer, words, count=6, probability=0.4, seed=6)
    assert whole.tokens.tolist() != other.tokens.tolist()


def test_segmentations_differ_and_grow_with_the_probability(tokenizer, words):
    sizes = [len(Segmentations.build(tokenizer, words, 16, p, 1).tokens) for p in (0.0, 0.2, 0.5, 0.9)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    drawn = Segmentations.build(tokenizer, words, 16, 0.5, 1)
    word = next(number for number, word in enumerate(words) if word.endswith("Antriebsradsystem"))
    assert len({tuple(drawn.segmentation(word, k)) for k in range(17)}) > 4


def test_a_single_merge_is_left_out_as_often_as_asked():
    tokenizer = train_tokenizer(["ab " * 9], "bpe", 300)
    assert tokenizer.merges == [("a", "b"), ("▁", "ab")]
    drawn = Segmentations.build(tokenizer, ["ab"], 20_000, 0.3, 1)
    split = np.mean(np.diff(drawn.offsets)[1:] == 2)
    assert abs(split - 0.3) < 0.02


def test_merging_stops_when_all_merges_are_left_out_as_in_the_paper():
    """ "▁ab" has one candidate at each of two steps: both happen with (1 - p)^2, the first only with p (1 - p)."""
    tokenizer = train_tokenizer(["ab " * 9], "bpe", 300)
    drawn = Segmentations.build(tokenizer, ["▁ab"], 20_000, 0.3, 2)
    shares = np.bincount(np.diff(drawn.offsets)[1:], minlength=4)[1:] / 20_000
    assert np.abs(shares - [0.49, 0.21, 0.30]).max() < 0.02


def test_draws_are_uniform_and_order_free():
    numbers = np.arange(70_000)
    bits = draws(3, 1, numbers)
    counts = np.bincount(below(bits, 7), minlength=7)
    assert np.abs(counts - 10_000).max() < 400  # about 4 standard deviations
    shuffled = np.random.default_rng(0).permutation(70_000)
    assert np.array_equal(draws(3, 1, shuffled), bits[shuffled])
    assert len(np.unique(bits)) == 70_000
    assert not np.array_equal(draws(3, 2, numbers), bits)
    assert not np.array_equal(draws(1, 3, numbers), bits)


@pytest.mark.parametrize("coordinates", [(-1,), (2**64 - 1,), (2**70 + 1, 5)])
def test_draws_take_any_whole_number(coordinates):
    assert draws(*coordinates).shape == (1,)


def test_draws_are_frozen():
    """A run must resume to the same bits with the next version: these numbers never change."""
    assert draws(1, 2, np.arange(2)).tolist() == [16613338946343043936, 937349279089814987]


@settings(max_examples=100)
@given(lengths=st.lists(st.integers(0, 5), max_size=12))
def test_ragged_rows(lengths):
    rows = [list(range(10 * n, 10 * n + length)) for n, length in enumerate(lengths)]
    sizes = np.array(lengths, np.int64)
    flat = [item for row in rows for item in row]
    assert spans(np.arange(len(rows)) * 10, sizes).tolist() == flat
    assert sums(np.array(flat, np.int64), sizes).tolist() == [sum(row) for row in rows]
    assert offsets(sizes).tolist() == [sum(lengths[:n]) for n in range(len(lengths) + 1)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_placeholder_is_never_segmented(kind):
    tokenizer = train_tokenizer(LINES, kind, 420, placeholders=2)
    words = ["Männer", " <ph2>", " <ph1>"] if kind != "bytes" else ["ĠMänner", " <ph2>", " <ph1>"]
    drawn = Segmentations.build(tokenizer, words, count=4, probability=0.9, seed=1)
    assert [drawn.segmentation(1, k) for k in range(5)] == [[tokenizer.placeholders[1]]] * 5
    assert [drawn.segmentation(2, k) for k in range(5)] == [[tokenizer.placeholders[0]]] * 5
    alone = Segmentations.build(tokenizer, words[1:], count=4, probability=0.9, seed=1)
    assert alone.segmentation(0, 3) == [tokenizer.placeholders[1]]
