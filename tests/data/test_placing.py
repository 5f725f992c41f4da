"""Placeholders in training pairs: the same on both sides, other pairs in every epoch, nothing else changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.config import parse_recipe
from heedful.data.lexicon import learn_lexicon
from heedful.data.parallel import load_tokenizers, prepare
from heedful.data.placing import SECOND, Alternating, Placing
from heedful.data.shards import Sampling, Shards, build_shards
from heedful.text.placeholders import Marked, encode, legible, words
from heedful.text.tokenizer import Tokenizer, train_tokenizer

NOUNS = {"dog": "Hund", "cat": "Katze", "house": "Haus", "tree": "Baum", "street": "Straße", "boat": "Boot"}
PAIRS = [
    (f"The {one} and the {other} in {year}.", f"{NOUNS[one]} samt {NOUNS[other]} anno {year}.")
    for year in range(2000, 2010)
    for one in NOUNS
    for other in NOUNS
    if one != other
]
LEXICON = {"dog": "Hund", "cat": "Katze"}


def texts(*sides: str | Marked) -> list[str]:
    return ["".join(side.texts) if isinstance(side, Marked) else side for side in sides]


def test_words_that_always_meet_are_found() -> None:
    lexicon = learn_lexicon([*PAIRS, *((f"word{n} x", f"Wort{n} y") for n in range(5000))])
    assert {word: lexicon.get(word) for word in NOUNS} == NOUNS
    assert "the" not in lexicon or lexicon["the"] != "Hund"
    assert learn_lexicon([]) == {}


def test_what_stands_on_both_sides_is_one_placeholder() -> None:
    place = Placing(16, seed=1)
    source, target = place(0, ("Open {a} and <b>{b}</b>, {c} {a}", "{b} <b>{b}</b> und {a}: {a} {d}"))
    assert isinstance(source, Marked)
    assert isinstance(target, Marked)
    assert source.texts == ("Open ", " and ", ", {c} ", "")
    assert target.texts == ("{b} ", " und ", ": ", " {d}")
    assert list(source.numbers) == sorted(set(source.numbers))
    assert [source.numbers.index(number) for number in target.numbers] == [1, 0, 2]


def test_pairs_without_anything_to_protect_stay_as_they_are() -> None:
    for pair in (("one", "eins"), ("{x}", "eins"), ("", "{x}"), ("{x}", ""), (" ", "{x} ")):
        assert Placing(16, seed=1)(0, pair) == pair


def test_no_more_than_there_are() -> None:
    text = " ".join(f"a {{x{n}}}" for n in range(30))
    source, target = Placing(4, seed=1)(0, (text, text))
    assert source == target
    assert isinstance(source, Marked)
    assert len(source.numbers) == 4


ANY = st.text(st.sampled_from("dog cat Hund Katze 1 2024 {x} <b> . , é日'-"), max_size=40)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**9), ANY, ANY)
def test_the_second_form_has_the_same_placeholders_on_both_sides(number: int, source: str, target: str) -> None:
    place = Placing(16, seed=3, lexicon=LEXICON)
    forms = place(number, (source, target))
    assert forms == place(number, (source, target))
    for one, other in (forms[:2], forms[2:]):
        assert isinstance(one, Marked) == isinstance(other, Marked)
        if isinstance(one, Marked) and isinstance(other, Marked):
            assert sorted(one.numbers) == sorted(other.numbers) == sorted(set(one.numbers)) != []
            assert list(one.numbers) == sorted(one.numbers)
            assert set(one.numbers) <= set(range(1, 17))


def test_all_placeholders_and_all_kinds_are_taught() -> None:
    place = Placing(16, seed=1, lexicon=LEXICON)
    second = [place(number, pair)[2:] for number, pair in enumerate(PAIRS)]
    assert {number for source, _ in second if isinstance(source, Marked) for number in source.numbers} == set(
        range(1, 17)
    )
    whole = [texts(*pair) == list(PAIRS[number]) for number, pair in enumerate(second)]
    assert 0.2 < np.mean(whole) < 0.9  # around and at the ends, or in the place of words
    assert [place(number, pair)[2:] for number, pair in enumerate(PAIRS)] == second
    assert [Placing(16, 2, LEXICON)(number, pair)[2:] for number, pair in enumerate(PAIRS)] != second


@pytest.fixture(scope="module", params=[None, Sampling(0.3, 4)])
def shards(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Shards, Tokenizer]:
    tokenizer = train_tokenizer((text for pair in PAIRS for text in pair), "bpe", 400, placeholders=16)
    streams = dict.fromkeys(("source", "target", "source" + SECOND, "target" + SECOND), tokenizer)
    place = Placing(16, 1, LEXICON)
    folder = tmp_path_factory.mktemp("shards") / "a"
    return build_shards(folder, PAIRS, streams, sampling=request.param, placing=place), tokenizer


def rows(shards: Shards | Alternating, stream: str, examples: np.ndarray, epoch: int | None) -> list[list[int]]:
    ids, lengths = shards.rows(stream, examples, epoch)
    return [row.tolist() for row in np.split(ids, np.cumsum(lengths)[:-1])]


def test_each_epoch_reads_a_share_in_the_second_form(shards: tuple[Shards, Tokenizer]) -> None:
    built, tokenizer = shards
    both = Alternating(built, 0.3, seed=1)
    assert both.streams == ("source", "target")
    assert len(both) == len(PAIRS)
    examples = np.random.default_rng(1).permutation(len(PAIRS))
    marked = {}
    for epoch in (0, 1):
        sides = [rows(both, stream, examples, epoch) for stream in both.streams]
        first = [rows(built, stream, examples, epoch) for stream in both.streams]
        second = [rows(built, stream + SECOND, examples, epoch) for stream in both.streams]
        chosen = [set(row).intersection(tokenizer.placeholders) != set() for row in sides[0]]
        for side in (0, 1):
            expected = [two if own else one for own, one, two in zip(chosen, first[side], second[side], strict=True)]
            assert sides[side] == expected
            lengths = both.lengths(both.streams[side], epoch)
            assert lengths[examples].tolist() == [len(row) for row in sides[side]]
        assert 0.2 < np.mean(chosen) < 0.4
        marked[epoch] = chosen
    assert marked[0] != marked[1]
    assert rows(both, "target", examples, None) == rows(built, "target", examples, None)
    assert rows(both, "source", np.array([], np.int64), 0) == [[]]


def test_the_text_is_in_the_shards(shards: tuple[Shards, Tokenizer]) -> None:
    built, tokenizer = shards
    for number, pair in enumerate(PAIRS[:20]):
        text = Placing(16, 1, LEXICON)(number, pair)[2]
        expected = [token for ids in tokenizer.encode_words(words(tokenizer, text)) for token in ids]
        assert rows(built, "source" + SECOND, np.array([number]), None) == [expected]


@pytest.mark.parametrize(
    ("settings", "streams"),
    [([], 4), (["data.placeholders=0"], 2), (["tokenizer.placeholders=0"], 2)],
)
def test_what_is_prepared(tmp_path: Path, settings: list[str], streams: int) -> None:
    for side, suffix in enumerate(("src", "tgt")):
        (tmp_path / f"a.{suffix}").write_text("".join(pair[side] + "\n" for pair in PAIRS), "utf-8")
    files = [f'data.source=["{tmp_path}/a.src"]', f'data.target=["{tmp_path}/a.tgt"]', "tokenizer.size=400"]
    prepare(parse_recipe({}, [*files, *settings]), tmp_path / "data")
    assert len(Shards.open(tmp_path / "data" / "train-0").streams) == streams
    assert len(Shards.open(tmp_path / "data" / "dev-0").streams) == 2
    count = len(load_tokenizers(tmp_path / "data")["source"].placeholders)
    assert count == (0 if settings == ["tokenizer.placeholders=0"] else 16)


def test_another_form_of_tokenizer_takes_the_place_of_the_first(tmp_path: Path) -> None:
    """Prepared data stay when a run is refused; the next one in that folder may share its vocabulary."""
    for side, suffix in enumerate(("src", "tgt")):
        (tmp_path / f"a.{suffix}").write_text("".join(pair[side] + "\n" for pair in PAIRS), "utf-8")
    files = [f'data.source=["{tmp_path}/a.src"]', f'data.target=["{tmp_path}/a.tgt"]', "tokenizer.size=400"]
    for joint in ("false", "true", "false"):
        prepare(parse_recipe({}, [*files, f"tokenizer.joint={joint}"]), tmp_path / "data")
        found = load_tokenizers(tmp_path / "data")
        assert (found["source"] is found["target"]) == (joint == "true")


def test_a_reader_sees_where_placeholders_stand() -> None:
    tokenizer = train_tokenizer(["open now"], size=320, placeholders=2)
    assert legible(tokenizer, encode(tokenizer, Marked(("open ", " now", ""), (2, 1)))) == "open⟨2⟩ now⟨1⟩"
