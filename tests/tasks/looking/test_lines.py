"""Tokens as people read them, and the words they make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from foreign_examples import wordpiece, write

from heedful.inside.record import Picture
from heedful.tasks.looking.lines import line_of, picture_line
from heedful.text.foreign_files import read
from heedful.text.tokenizer import Tokenizer, train_tokenizer

TEXTS = ["der schnelle Hund läuft heute (sehr) weit.", "Am 3. März 2024, um 12 Uhr: 日本語のテキスト!", "naïve 👩‍🚀 x"]


@pytest.fixture(scope="module", params=["bpe", "unigram", "bytes", "characters"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return train_tokenizer(TEXTS[:1] * 20, request.param, 330, tags=("2de",), placeholders=2)


@pytest.mark.parametrize("text", TEXTS)
def test_words_together_are_the_text(tokenizer: Tokenizer, text: str) -> None:
    ids = [tokenizer.tag("2de"), *tokenizer.encode(text), tokenizer.end]
    line = line_of("source", "source", tokenizer, ids)
    assert len(line) == len(ids) == len(line.word)
    assert line.word.tolist() == sorted(line.word.tolist())
    assert set(line.word.tolist()) == set(range(len(line.words)))
    assert [word for word, control in zip(line.words, line.control, strict=True) if control] == ["2de", "</s>"]
    plain = [word for word, control in zip(line.words, line.control, strict=True) if not control]
    assert "".join(plain) == "".join(tokenizer.decode(ids).split()) or tokenizer.kind == "characters"


def test_punctuation_stands_alone_and_a_space_belongs_to_what_follows() -> None:
    tokenizer = train_tokenizer(["am 3. März (sehr) weit, und wie: gut"] * 20, "bpe", 330)
    line = line_of("source", "source", tokenizer, tokenizer.encode("am 3. März (sehr) weit, und"))
    assert line.words == ("am", "3", ".", "März", "(", "sehr", ")", "weit", ",", "und")


def test_where_no_spaces_are_written_a_token_is_a_word() -> None:
    tokenizer = train_tokenizer(["日本語 の 文章 を 読む"] * 20, "characters", 330)
    line = line_of("text", "text", tokenizer, tokenizer.encode("日本語"))
    assert [word for word in line.words if word != "␣"] == ["日", "本", "語"]


def test_lines_of_prose_end_in_words_of_their_own() -> None:
    tokenizer = train_tokenizer(["one two\n", "three four\n"] * 20, "bpe", 330, prose=True)
    line = line_of("text", "text", tokenizer, tokenizer.encode("one two\nthree"))
    assert line.words == ("one", "two", "⏎", "three")


def test_a_part_of_a_character_is_shown_as_its_byte() -> None:
    tokenizer = train_tokenizer(["abc"] * 9, "bpe", 300)
    line = line_of("text", "text", tokenizer, tokenizer.encode("ü"))
    assert [piece for piece in line.pieces if piece.startswith("<0x")] == ["<0xC3>", "<0xBC>"]
    assert "ü" in line.words


def test_word_pieces_lose_their_mark_and_a_mask_is_a_word(tmp_path: Path) -> None:
    own = read(write(tmp_path / "files", vocab__txt=wordpiece()))
    assert own.mask is not None
    ids = [own.start, *own.encode("playing"), own.mask, own.end]
    line = line_of("text", "text", own, ids)
    assert not any(piece.startswith("##") for piece in line.pieces)
    assert line.words == ("[CLS]", "playing", "[MASK]", "[SEP]")
    assert line.control == (True, False, False, True)


def test_a_pictures_first_token_may_be_the_whole() -> None:
    shown = Picture(b"", 1, 1, np.zeros((3, 4), np.float32))
    assert picture_line("picture", "picture", shown, True).words == ("whole", "patch 1", "patch 2")
    assert picture_line("picture", "picture", shown, True).control == (True, False, False)
    assert picture_line("picture", "picture", shown, False, "region").words == ("region 1", "region 2", "region 3")
